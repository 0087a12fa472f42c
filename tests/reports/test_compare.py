"""Two versions differ exactly where an application gets another answer, and it is said why."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.errors import Damaged, NoInput
from batch.reports.diff.compare import Comparison, DateChange, choose, compare
from batch.store import open_store
from tests.support.jobs import JobFolder, save_tiny_model
from tests.support.published import Output, flip_byte, part


def diff(job: JobFolder, first: int | None = None, second: int | None = None) -> Comparison:
    """Compare two versions of a job."""
    store = open_store(job.output_url)
    return compare(store, *choose(store, first, second), shown=5)


def diff_of(output: Output, first: int, second: int, shown: int = 5) -> Comparison:
    """Compare two versions that were made by hand."""
    return compare(output.store, *choose(output.store, first, second), shown=shown)


def lines(found: Comparison) -> list[tuple[str, str, int, int, int, int]]:
    """What the table says: date, why, new, gone, changed, same."""
    return [_line(one) for one in found.dates]


def _line(one: DateChange) -> tuple[str, str, int, int, int, int]:
    return f"{one.date}", one.why, one.new, one.gone, one.changed, one.same


def go_back(job: JobFolder, to: int) -> None:
    """Roll back to a version and let runs go on."""
    job.roll_back(to)
    job.unpause()


@pytest.fixture
def dated(job: JobFolder) -> JobFolder:
    """Two versions: the first of January 1, the second also of January 2 and 3."""
    job.configure(input={"path": "data/{date}.csv"}, output={"passthrough": ["note"]})
    for day in (1, 2, 3):
        add(job, day, [(f"{day}-a", 1, 2, "x"), (f"{day}-b", 3, 4, "x")])
        if day != 2:
            job.run()
    return job


def add(job: JobFolder, day: int, rows: list[Any]) -> None:
    """Write the input of a day of January, with a column that is carried along."""
    job.add(f"2026-01-{day:02}.csv", rows, header="id,x,y,note")


def test_keys_of_new_inputs_are_new_on_their_dates(dated: JobFolder) -> None:
    """By default the live version is compared with the one before it."""
    found = diff(dated)
    assert (found.before.version, found.after.version) == (1, 2)
    assert lines(found) == [
        ("2026-01-02", "new input", 2, 0, 0, 0),
        ("2026-01-03", "new input", 2, 0, 0, 0),
    ]
    assert not found.largest


def test_another_model_changes_exactly_the_dates_that_it_predicted(dated: JobFolder) -> None:
    """Their sizes are those of the predictions; keys of other dates are not named."""
    go_back(dated, to=1)
    before = {row["id"]: row["probability_yes"] for row in load(dated, 2)}
    save_tiny_model(dated.folder / "model.joblib", strength=0.01)
    dated.run()
    found = diff(dated, 2, 5)
    assert lines(found) == [
        ("2026-01-02", "other recipe", 0, 0, 2, 0),
        ("2026-01-03", "other recipe", 0, 0, 2, 0),
    ]
    after = {row["id"]: row["probability_yes"] for row in load(dated, 5)}
    changes = [abs(after[key] - before[key]) for key in before if key[0] in "23"]
    assert found.number == "probability_yes"
    assert found.totals.largest == pytest.approx(max(changes))
    assert found.totals.mean == pytest.approx(sum(changes) / 4)
    largest = found.largest[0]
    assert abs(largest.change or 0) == pytest.approx(max(changes))
    assert (largest.before.input, largest.before.row) == (largest.after.input, largest.after.row)
    assert largest.after.predictions["probability_yes"] == after[largest.key["id"]]


def load(job: JobFolder, version: int) -> list[dict[str, Any]]:
    """The rows of one version."""
    from tests.support import oracle

    manifest = json.loads((job.output / f"manifests/{version:010}.json").read_text())
    return oracle.rows_of(job.output, manifest)


def test_a_changed_input_is_told_from_its_neighbours_in_one_part(dated: JobFolder) -> None:
    """Theirs is written anew, and for them nothing changed; carried columns are no predictions."""
    add(dated, 2, [("2-a", 1, 2, "other"), ("2-b", 0, 0, "x"), ("2-c", 1, 1, "x")])
    dated.run()
    assert lines(diff(dated)) == [("2026-01-02", "changed input", 1, 0, 1, 1)]
    add(dated, 2, [("2-a", 1, 2, "other")])
    dated.run()
    assert lines(diff(dated)) == [("2026-01-02", "changed input", 0, 2, 0, 1)]


def test_a_rollback_drops_keys_and_looking_back_they_are_new(dated: JobFolder) -> None:
    """The order of the versions is the direction of the comparison."""
    go_back(dated, to=1)
    dropped = [(f"2026-01-0{day}", "dropped", 0, 2, 0, 0) for day in (2, 3)]
    assert lines(diff(dated, 2, 4)) == dropped
    assert lines(diff(dated, 4, 2)) == [
        (f"2026-01-0{day}", "new input", 2, 0, 0, 0) for day in (2, 3)
    ]


def test_a_later_record_of_a_key_changes_it_and_says_where_both_are(dated: JobFolder) -> None:
    """An earlier one that arrives late changes nothing."""
    add(dated, 4, [("1-a", 9, 9, "x")])
    dated.run()
    found = diff(dated)
    assert lines(found) == [("2026-01-04", "new input", 0, 0, 1, 0)]
    assert (found.largest[0].before.input, found.largest[0].after.input) == (
        "2026-01-01.csv", "2026-01-04.csv")  # fmt: skip
    dated.add("2025-12-31.csv", [("1-b", 9, 9, "x")], header="id,x,y,note")
    dated.run()
    assert diff(dated).is_equal
    assert not diff(dated).dates


def test_versions_of_the_same_files_are_equal(dated: JobFolder) -> None:
    """A version and itself, and what an unpause publishes."""
    go_back(dated, to=1)
    for first, second in ((2, 2), (3, 4), (1, 4)):
        found = diff(dated, first, second)
        assert (found.is_equal, found.dates) == (True, ())
    text = dated.command("diff", str(dated.folder), "3", "4").stdout
    assert "every key has the same predictions in both" in text


def test_a_part_that_is_damaged_or_gone_is_named(dated: JobFolder) -> None:
    """Half a comparison would be a wrong one."""
    manifest = json.loads((dated.output / "manifest.json").read_text())
    path = manifest["files"][-1]["path"]
    flip_byte(dated.output / path)
    with pytest.raises(Damaged, match=path):
        diff(dated)
    (dated.output / path).unlink()
    found = dated.command("diff", str(dated.folder))
    assert (found.returncode, path in found.stderr) == (69, True)


@pytest.mark.parametrize("versions", [("2", "3"), ("7",), ("99", "1")])
def test_a_version_that_is_not_kept_is_refused(dated: JobFolder, versions: tuple[str, ...]) -> None:
    """Exit 66, and those that are kept."""
    found = dated.command("diff", str(dated.folder), *versions)
    assert found.returncode == 66
    assert "versions 1–2 are kept" in found.stderr


def test_without_a_version_there_is_nothing_to_compare(job: JobFolder) -> None:
    """It says so; and so does an output with a single one."""
    with pytest.raises(NoInput, match="nothing is published yet"):
        diff(job)
    job.add("1.csv", [("a", 1, 2)])
    job.run()
    with pytest.raises(NoInput, match="there is no earlier version; only version 1 is kept"):
        diff(job)


def test_json_has_what_the_table_has(dated: JobFolder) -> None:
    """And no more digits are lost than JSON loses."""
    dated.add("2026-01-04.csv", [("1-a", 9, 9, "x"), ("z", 9, 9, "x")], header="id,x,y,note")
    dated.run()
    found = dated.command("diff", str(dated.folder), "2", "3", "--json")
    data = json.loads(found.stdout)
    assert data["totals"]["changed"] == data["totals"]["new"] == 1
    assert data["dates"][0] | {"mean": 0, "largest": 0} == {
        "date": "2026-01-04", "why": "new input", "new": 1, "gone": 0, "changed": 1, "same": 0,
        "labels": data["totals"]["labels"], "mean": 0, "largest": 0}  # fmt: skip
    assert data["largest"][0]["key"] == {"id": "1-a"}
    assert data["largest"][0]["before"]["row"] == 0


def test_a_table_of_many_dates_keeps_the_newest(job: JobFolder) -> None:
    """And counts the others."""
    job.configure(input={"path": "data/{date}.csv"})
    job.add("2025-12-31.csv", [("a", 1, 1)])
    job.run()
    for day in range(1, 60):
        job.add(f"2026-{1 + day // 31:02}-{1 + day % 28:02}.csv", [(f"{day}", 1, 1)])
    job.run()
    text = job.command("diff", str(job.folder)).stdout
    assert "earlier lines omitted" in text
    assert "2026-02-28" in text
    assert "2026-01-01" not in text
    assert len(text.splitlines()) < 50


def test_nulls_and_missing_columns_are_values_like_others(tmp_path: Path) -> None:
    """Null equals null, and has no size."""
    output = Output(tmp_path / "out")
    output.publish(part("2026-01-01", id=[1, 2, 3, 4], score=[None, None, 1.0, math.nan]))
    output.publish(
        part("2026-01-01", id=[1, 2, 3, 4], score=[None, 2.0, None, math.nan]), keep=False
    )
    found = diff_of(output, 1, 2)
    assert (found.totals.changed, found.totals.same) == (2, 2)
    assert (found.totals.mean, found.totals.largest) == (None, None)
    output.publish(part("2026-01-01", id=[1], score=[1.0], other=["x"]), keep=False)
    assert diff_of(output, 2, 3).largest[0].after.predictions == {"score": 1.0, "other": "x"}


def test_an_output_without_rows_can_be_compared(tmp_path: Path) -> None:
    """Everything is new, or gone."""
    output = Output(tmp_path / "out")
    output.publish()
    output.publish(part("2026-01-01", id=["a", "b"], prediction=["x", "y"]))
    output.publish(keep=False)
    assert diff_of(output, 1, 2).totals.new == 2
    assert diff_of(output, 2, 3).totals.gone == 2
    assert diff_of(output, 1, 3).is_equal


@pytest.mark.parametrize("key", [("id",), ("shop", "id"), ("number",)], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_any_two_versions_are_compared_as_by_hand(
    tmp_path: Path, key: tuple[str, ...], seed: int
) -> None:
    """Random parts, some in both versions, with keys that recur: against a plain loop."""
    chance = random.Random(seed)
    output = Output(tmp_path / "out", key=key)
    tables = [_random_part(chance, day, key) for day in range(12)]
    common, old, new = tables[:6], tables[6:9], tables[9:]
    output.publish(*common, *old)
    output._live = output._live[: len(common)]
    output.publish(*new)
    found = diff_of(output, 1, 2, shown=1000)
    before, after = (_latest([*common, *more], key) for more in (old, new))
    changed = {
        one for one in before.keys() & after.keys() if _value(before, one) != _value(after, one)
    }
    assert {tuple(one.key.values()) for one in found.largest} == changed
    assert found.totals.new == len(after.keys() - before.keys())
    assert found.totals.gone == len(before.keys() - after.keys())
    for one in found.largest:
        ours = tuple(one.key.values())
        assert one.before.predictions["prediction"] == _value(before, ours)
        assert (one.after.input, one.after.row) == after[ours][1:3]


def _random_part(chance: random.Random, day: int, key: tuple[str, ...]) -> pa.Table:
    rows = chance.choice([1, 3, 10, 40])
    numbers = [chance.randrange(30) for _ in range(rows)]
    columns = {
        "shop": [f"shop-{number % 3}" for number in numbers],
        "id": [f"{number}" for number in numbers],
        "number": numbers,
    }
    return part(
        f"2026-01-{chance.randrange(1, 5):02}",
        source=f"{chance.choice('abc')}-{day}.csv",
        **{name: columns[name] for name in key},
        prediction=pa.array([chance.choice([0.0, 0.5, None]) for _ in numbers], pa.float64()),
    )


def _latest(tables: list[Any], key: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for table in tables:
        for row in table.to_pylist():
            ours = tuple(row[name] for name in key)
            place = (row["_as_of"], row["_input"], row["_row"])
            if ours not in found or place > found[ours][:3]:
                found[ours] = (*place, row["prediction"])
    return found


def _value(rows: dict[tuple[Any, ...], tuple[Any, ...]], key: tuple[Any, ...]) -> Any:
    return rows[key][3]
