from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest

from batch.client import NotPublished, Predictions
from batch.errors import BadData, BatchError, Damaged, DoesNotFit, StoreDown
from batch.output import layout
from batch.output.manifest import Paused
from batch.records.columns import type_name
from batch.records.documents import encode
from tests.support.published import Output, flip_byte, part

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.jobs import JobFolder

SOON = 30.0  # seconds: only a failing test waits this long

TWO_ROWS = part("2013-12-01", id=["a", "b"], prediction=[0.25, 0.75])
ONE_MORE = part("2013-12-02", id=["c"], prediction=[0.5])


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """An output that nothing is published to yet."""
    return Output(tmp_path / "output")


def opened(output: Output, **options: Any) -> Predictions:
    """The client of an output."""
    return Predictions(str(output.folder), **options)


# What is answered


def test_get_gives_the_row_of_a_key(output: Output) -> None:
    """A key's row comes back as a dict of every column, key first, with plain Python values."""
    output.publish(TWO_ROWS)
    assert opened(output).get("b") == {
        "id": "b",
        "prediction": 0.75,
        "_input": "2013-12-01.csv",
        "_row": 1,
        "_as_of": datetime(2013, 12, 1, tzinfo=UTC),
    }


def test_get_gives_none_for_a_key_without_a_prediction(output: Output) -> None:
    """A key of the right type that has no row is None, not an error."""
    output.publish(TWO_ROWS)
    assert opened(output).get("nobody") is None


@pytest.mark.parametrize("key", [1, 1.0, None, b"a", ("a",), ["a"]])
def test_a_key_of_the_wrong_type_is_an_error(output: Output, key: Any) -> None:
    """A string key asked for as anything else raises TypeError that names what is expected."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    with pytest.raises(TypeError, match=r"expected str \(id\)"):
        predictions.get(key)
    with pytest.raises(TypeError):
        predictions.get_many(["a", key])


@pytest.mark.parametrize("key", ["1", 1.0, True, None])
def test_an_integer_key_takes_int_only(output: Output, key: Any) -> None:
    """An integer key asked for as text, float or bool raises TypeError."""
    output.publish(part("2013-12-01", id=[0, 1], prediction=[0.0, 1.0]))
    with pytest.raises(TypeError, match=r"expected int \(id\)"):
        opened(output).get(key)


def test_integer_keys_stay_exact(output: Output) -> None:
    """Neighbours above 2**53 and the ends of int64 are different keys, as they are not in floats."""
    keys = [2**53, 2**53 + 1, 2**63 - 1, -(2**63), -1, -2, 0]
    output.publish(part("2013-12-01", id=keys, prediction=[float(i) for i in range(len(keys))]))
    predictions = opened(output)
    assert [predictions.get(key)["prediction"] for key in keys] == list(range(len(keys)))
    assert [row["id"] for row in predictions.get_many(keys)] == keys
    assert predictions.frame()["id"].tolist() == keys


def test_an_integer_that_no_column_holds_is_simply_absent(output: Output) -> None:
    """Integers beyond 64 bits find nothing, also where they equal a key modulo 2**64."""
    output.publish(part("2013-12-01", id=[5], prediction=[0.5]))
    predictions = opened(output)
    assert predictions.get(2**64 + 5) is None
    assert predictions.get_many([2**64 + 5, 5])[1] == predictions.get(5)


def test_several_key_columns_are_a_tuple(tmp_path: Path) -> None:
    """A composite key is looked up as a tuple in the order of the job's key."""
    output = Output(tmp_path, key=("carrier", "day"))
    days = [date(2013, 12, 1), date(2013, 12, 2)]
    output.publish(part("2013-12-01", carrier=["UA", "UA"], day=days, prediction=[0.1, 0.2]))
    predictions = opened(output)
    assert predictions.get(("UA", days[1]))["prediction"] == 0.2
    assert predictions.get(("AA", days[1])) is None
    found = predictions.get_many([("UA", days[0]), ("AA", days[0])])
    assert [row and row["prediction"] for row in found] == [0.1, None]


@pytest.mark.parametrize(
    "key", ["UA", ("UA",), ("UA", 1, 2), ("UA", "1"), ("UA", True), ["UA", 1], (1, "UA")]
)
def test_a_tuple_of_wrong_length_or_type_is_an_error(tmp_path: Path, key: Any) -> None:
    """Every member of a composite key is checked, and how many there are."""
    output = Output(tmp_path, key=("carrier", "flight"))
    output.publish(part("2013-12-01", carrier=["UA"], flight=[1], prediction=[0.1]))
    with pytest.raises(TypeError, match=r"a tuple of str \(carrier\), int \(flight\)"):
        opened(output).get(key)


def test_keys_of_one_hash_are_told_apart(tmp_path: Path) -> None:
    """Python gives -1 and -2 one hash; the keys that hold them are still two."""
    output = Output(tmp_path, key=("a", "b"))
    output.publish(part("2013-12-01", a=[-1, -2, -1], b=["x"] * 3, prediction=[0.3, 0.2, 0.1]))
    predictions = opened(output)
    assert hash((-1, "x")) == hash((-2, "x"))
    assert predictions.get((-1, "x"))["prediction"] == 0.1
    assert predictions.get((-2, "x"))["prediction"] == 0.2
    assert [row["prediction"] for row in predictions.get_many([(-2, "x"), (-1, "x")])] == [0.2, 0.1]
    assert predictions.table()["prediction"].to_pylist() == [0.2, 0.1]


@pytest.mark.parametrize("zone", [UTC, None])
def test_a_timestamp_key_is_asked_for_as_it_was_written(output: Output, zone: Any) -> None:
    """With a time zone in the column the key needs one, without it must have none."""
    right, wrong = datetime(2013, 12, 1, 12, tzinfo=zone), datetime(2013, 12, 1, 12, tzinfo=UTC)
    wrong = wrong.replace(tzinfo=None if zone else UTC)
    column = pa.array([right], pa.timestamp("us", "UTC" if zone else None))
    output.publish(part("2013-12-01", id=column, prediction=[0.5]))
    predictions = opened(output)
    assert predictions.get(right)["prediction"] == 0.5
    with pytest.raises(TypeError, match="time zone"):
        predictions.get(wrong)


def test_get_many_answers_in_the_order_of_the_keys(output: Output) -> None:
    """One answer for each key, repeated and missing ones too, each equal to `get`."""
    output.publish(TWO_ROWS, ONE_MORE)
    predictions = opened(output)
    keys = ["c", "nobody", "a", "c", ""]
    assert predictions.get_many(iter(keys)) == [predictions.get(key) for key in keys]
    assert predictions.get_many([]) == []


def test_every_type_comes_back_as_itself(output: Output) -> None:
    """get, get_many and table agree on every type that a part can hold, nulls included."""
    instant = datetime(2013, 12, 1, 5, 6, 7, 8, tzinfo=UTC)
    columns = {
        "text": pa.array(["é", None, "", "日本語"]),
        "large": pa.array(["x", None, "y", ""], pa.large_string()),
        "whole": pa.array([2**53 + 1, None, -1, 0]),
        "small": pa.array([1, 2, None, 4], pa.int16()),
        "unsigned": pa.array([2**63 + 1, 2, None, 4], pa.uint64()),
        "real": pa.array([0.1, None, float("inf"), -0.0]),
        "single": pa.array([0.5, None, 1.5, 2.5], pa.float32()),
        "truth": pa.array([True, False, None, True]),
        "day": pa.array([date(2013, 12, 1), None, date(1960, 1, 1), None]),
        "instant": pa.array([instant, None, instant, None], pa.timestamp("us", "UTC")),
        "naive": pa.array([None, datetime(2013, 1, 1), None, None], pa.timestamp("us")),  # noqa: DTZ001 - on purpose
        "void": pa.array([None] * 4, pa.string()),
    }
    output.publish(part("2013-12-01", id=list("abcd"), **columns))
    predictions = opened(output)
    expected = predictions.table().to_pylist()
    assert [predictions.get(key) for key in "abcd"] == expected
    assert predictions.get_many("abcd") == expected
    assert [row["whole"] for row in expected] == [2**53 + 1, None, -1, 0]


def test_columns_limits_what_is_loaded(output: Output) -> None:
    """Only the named columns and the key come back, in the order they were named."""
    output.publish(part("2013-12-01", id=["a"], x=[1], y=[2], z=[3]))
    predictions = opened(output, columns=["z", "_row", "x"])
    assert list(predictions.get("a").items()) == [("id", "a"), ("z", 3), ("_row", 0), ("x", 1)]
    assert predictions.table().column_names == ["id", "z", "_row", "x"]
    assert opened(output, columns=[]).get("a") == {"id": "a"}


def test_a_column_that_nobody_has_is_refused(output: Output) -> None:
    """A misspelt column is an error that names the ones there are."""
    output.publish(TWO_ROWS)
    with pytest.raises(DoesNotFit, match="no column predicton") as caught:
        opened(output, columns=["predicton"])
    assert "prediction" in caught.value.hint


# The latest row of a key


@pytest.mark.parametrize("seed", range(3))
def test_the_latest_row_is_the_greatest_as_of_input_row(tmp_path: Path, seed: int) -> None:
    """Whatever the order of parts and rows, the winner is that of a plain maximum."""
    chance, output = random.Random(seed), Output(tmp_path, key=("id", "kind"))
    days = [f"2013-12-{day:02}" for day in range(1, 8)]
    inputs = [(day, f"{chance.choice('äzZ')}{number}") for number, day in enumerate(days * 4)]
    chance.shuffle(inputs)
    tables = [
        part(
            day,
            source=name,
            id=[chance.randrange(50) for _ in range(20)],
            kind=[chance.choice("xy") for _ in range(20)],
            prediction=[chance.random() for _ in range(20)],
        )
        for day, name in inputs
    ]
    mixed = [pa.concat_tables(tables[at : at + 4]) for at in range(0, len(tables), 4)]
    output.publish(*(table.take(chance.sample(range(80), 80)) for table in mixed))
    winners: dict[tuple[int, str], Any] = {}
    for row in pa.concat_tables(tables).to_pylist():
        held = winners.setdefault((row["id"], row["kind"]), row)
        rank = (row["_as_of"], row["_input"], row["_row"])
        if rank > (held["_as_of"], held["_input"], held["_row"]):
            winners[row["id"], row["kind"]] = row
    predictions = opened(output)
    assert {key: predictions.get(key) for key in winners} == winners
    latest = predictions.table().to_pylist()
    assert sorted(latest, key=str) == sorted(winners.values(), key=str)
    assert predictions.key_count == len(winners)


def test_table_and_frame_hold_the_latest_rows_or_all(output: Output) -> None:
    """By default one row for each key, earliest first; every row on request."""
    output.publish(TWO_ROWS, part("2013-12-02", id=["a"], prediction=[0.9]))
    predictions = opened(output)
    assert predictions.table()["prediction"].to_pylist() == [0.75, 0.9]
    assert predictions.table(all_rows=True)["prediction"].to_pylist() == [0.25, 0.75, 0.9]
    assert predictions.frame()["prediction"].tolist() == [0.75, 0.9]


def test_table_has_the_types_of_the_manifest(output: Output) -> None:
    """Nothing of how it is kept in memory shows in the table's schema."""
    manifest = output.publish(TWO_ROWS)
    schema = opened(output).table().schema
    found = [(field.name, type_name(field.type)) for field in schema]
    assert found == [(column.name, column.type) for column in manifest.columns]


def test_integers_with_nulls_stay_exact_in_a_frame(output: Output) -> None:
    """A whole number beside a null does not become a float."""
    output.publish(part("2013-12-01", id=["a", "b"], whole=[2**53 + 1, None]))
    assert opened(output).frame()["whole"].tolist() == [2**53 + 1, None]


def test_a_column_that_a_part_lacks_reads_as_null(output: Output) -> None:
    """The columns are the union over the live parts, in the manifest's order."""
    more = part("2013-12-02", id=["c"], prediction=[0.5], reason=["late"])
    manifest = output.publish(TWO_ROWS, more)
    predictions = opened(output)
    assert predictions.get("a")["reason"] is None
    assert predictions.get("c")["reason"] == "late"
    assert predictions.table().column_names == [column.name for column in manifest.columns]


def test_a_part_of_another_type_than_the_manifest_says_is_refused(output: Output) -> None:
    """Parts are never cast: a type that disagrees is damage."""
    text = part("2013-12-02", id=["c"], prediction=["high"])
    output.publish(text, TWO_ROWS)
    with pytest.raises(Damaged, match="type of prediction: found string, expected float64"):
        opened(output)


# What is said about the version


def test_the_version_says_what_and_how_old_it_is(output: Output) -> None:
    """Version, time of publication and age are those of the manifest."""
    at = datetime.now(UTC) - timedelta(hours=3)
    output.publish(TWO_ROWS, published_at=at)
    predictions = opened(output)
    assert (predictions.version, predictions.published_at) == (1, at)
    assert timedelta(hours=3) <= predictions.age < timedelta(hours=4)
    assert predictions.is_stale(timedelta(hours=2))
    assert not predictions.is_stale(timedelta(hours=5))


@pytest.mark.parametrize(("hours", "stale"), [(-1, True), (1, False), (None, False)])
def test_staleness_is_what_the_job_promised(output: Output, hours: int | None, stale: bool) -> None:
    """Without a limit of its own, an application goes by `stale_after`; never stale without."""
    moment = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    output.publish(TWO_ROWS, stale_after=moment)
    assert opened(output).is_stale() is stale


def test_a_paused_job_says_who_and_why(output: Output) -> None:
    """After a rollback the client tells the application that the line stands still."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    assert predictions.paused is None
    paused = Paused(by="operator", at=datetime.now(UTC), reason="wrong model")
    output.publish(paused=paused, kind="rollback")
    assert predictions.refresh()
    assert predictions.paused == paused


def test_a_version_without_files_answers_nothing(output: Output) -> None:
    """An empty version is a version: no rows, the right columns, and it can grow."""
    manifest = output.publish()
    predictions = opened(output)
    assert predictions.get("a") is None
    assert predictions.get_many(["a"]) == [None]
    assert predictions.key_count == 0
    found = [(field.name, type_name(field.type)) for field in predictions.table().schema]
    assert found == [(column.name, column.type) for column in manifest.columns]
    output.publish(TWO_ROWS)
    assert predictions.refresh()
    assert predictions.get("a")["prediction"] == 0.25


# The first load


def test_a_version_without_any_record_yet_can_be_served(job: JobFolder) -> None:
    """Nobody knows its columns besides the key; they come with the first record."""
    job.add("1.csv", [])
    job.run()
    predictions = Predictions(str(job.output))
    assert (predictions.get("a"), predictions.table().num_rows) == (None, 0)
    job.add("2.csv", [("a", 1, 2)])
    job.run()
    predictions.refresh()
    assert predictions.get("a") is not None


def test_nothing_published_yet_is_an_error_of_its_own(output: Output) -> None:
    """An output without a version raises NotPublished, at once or after `wait` seconds."""
    with pytest.raises(NotPublished, match="nothing is published here yet"):
        opened(output)
    with pytest.raises(BatchError):
        opened(output, wait=0.01)


def test_wait_lasts_until_the_first_publication(output: Output) -> None:
    """With `wait` an application may start before the first run has ended."""
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(opened, output, wait=SOON)
        output.publish(TWO_ROWS)
        assert waiting.result(SOON).version == 1


def test_without_a_pointer_the_newest_manifest_counts(output: Output) -> None:
    """The numbered manifest is the commit: a pointer that was never written hides nothing."""
    output.publish(TWO_ROWS, pointer=False)
    predictions = opened(output)
    assert predictions.version == 1
    output.publish(ONE_MORE, pointer=False)
    assert predictions.refresh()
    assert predictions.get("c")["prediction"] == 0.5
    assert not predictions.refresh()
    assert not (output.folder / layout.POINTER).exists()


@pytest.mark.parametrize("data", [b"", b'{"format": "batch-predict/1", "ver', b"\xff\xfe"])
def test_a_torn_pointer_is_an_error_at_first(output: Output, data: bytes) -> None:
    """A pointer that cannot be read raises instead of being passed over."""
    output.publish(TWO_ROWS)
    output.point_to(data)
    with pytest.raises(Damaged, match=layout.POINTER):
        opened(output)


def test_a_damaged_part_is_an_error_at_first(output: Output) -> None:
    """One flipped byte is found before a single prediction is served."""
    path = output.path(output.publish(TWO_ROWS))
    flip_byte(path)
    with pytest.raises(Damaged, match="sha256") as caught:
        opened(output)
    assert str(path) in caught.value.message


# New versions


def test_refresh_swaps_to_a_newer_version(output: Output) -> None:
    """Refresh says whether something newer is served now."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    assert not predictions.refresh()
    output.publish(ONE_MORE, part("2013-12-02", source="b", id=["a"], prediction=[0.9]))
    assert predictions.refresh()
    assert predictions.version == 2
    assert predictions.get("c")["prediction"] == 0.5
    assert predictions.get("a")["prediction"] == 0.9


def test_rows_that_left_the_live_version_are_gone(output: Output) -> None:
    """A version is the complete list: what it does not name is not served any more."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    output.publish(ONE_MORE, keep=False)
    assert predictions.refresh()
    assert predictions.get("a") is None
    assert predictions.table()["id"].to_pylist() == ["c"]


def test_a_part_that_is_loaded_is_not_read_again(output: Output) -> None:
    """Parts are immutable, so only new ones are fetched."""
    first = output.publish(TWO_ROWS)
    predictions = opened(output)
    output.path(first).unlink()
    output.publish(ONE_MORE)
    assert predictions.refresh()
    assert predictions.get_many(["a", "c"]) == [predictions.get("a"), predictions.get("c")]
    assert predictions.get("a")["prediction"] == 0.25


def test_a_damaged_part_leaves_the_last_good_version(output: Output) -> None:
    """A flipped byte in a new part changes nothing but last_error, until it is mended."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    path = output.path(output.publish(ONE_MORE))
    flip_byte(path)
    assert not predictions.refresh()
    assert predictions.version == 1
    assert predictions.get("c") is None
    assert str(path) in str(predictions.last_error)
    flip_byte(path)
    assert predictions.refresh()
    assert predictions.last_error is None
    assert predictions.get("c")["prediction"] == 0.5


def test_a_missing_or_short_part_leaves_the_last_good_version(output: Output) -> None:
    """Neither a part that is gone nor one that is cut is used."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    path = output.path(output.publish(ONE_MORE))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert not predictions.refresh()
    assert "bytes: found" in str(predictions.last_error)
    path.unlink()
    assert not predictions.refresh()
    assert "does not exist" in str(predictions.last_error)
    assert predictions.get("a")["prediction"] == 0.25


def test_a_file_that_is_no_parquet_leaves_the_last_good_version(output: Output) -> None:
    """A part whose hash is right and whose content is not is named, not raised."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    file = msgspec.structs.replace(
        output.publish().files[0],
        path="data/x.parquet",
        bytes=0,
        sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    )
    (output.folder / "data/x.parquet").touch()
    output.publish(files=(file,))
    assert not predictions.refresh()
    assert "cannot be read" in str(predictions.last_error)


def test_a_lower_version_is_never_served(output: Output) -> None:
    """A pointer that moved back keeps the version that was reached and says so."""
    first = output.publish(TWO_ROWS)
    output.publish(ONE_MORE)
    predictions = opened(output)
    output.point_to(encode(first))
    assert not predictions.refresh()
    assert predictions.version == 2
    assert isinstance(predictions.last_error, StoreDown)
    assert "found version 1" in str(predictions.last_error)


def test_another_output_of_the_same_version_is_noticed(output: Output) -> None:
    """A version number that comes back with another commit is not the version we know."""
    manifest = output.publish(TWO_ROWS)
    predictions = opened(output)
    output.point_to(encode(msgspec.structs.replace(manifest, commit_id="another")))
    assert not predictions.refresh()
    assert isinstance(predictions.last_error, StoreDown)
    output.point_to(encode(manifest))
    assert not predictions.refresh()
    assert predictions.last_error is None


@pytest.mark.parametrize(
    "change", [{"job": "other"}, {"key": ("prediction",)}, {"mode": "replace"}]
)
def test_a_change_of_what_the_output_is_keeps_the_old_version(
    output: Output, change: dict[str, Any]
) -> None:
    """Another job name, key or mode under a running application is refused."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    output.publish(**change)
    assert not predictions.refresh()
    assert predictions.version == 1
    assert next(iter(change)) in str(predictions.last_error)


def test_an_unknown_format_keeps_the_old_version(output: Output) -> None:
    """A manifest of another major version is refused; unknown fields are not."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    output.publish(format="batch-predict/2")
    assert not predictions.refresh()
    assert isinstance(predictions.last_error, DoesNotFit)
    manifest = output.publish(ONE_MORE)
    output.point_to(encode(manifest).replace(b"{", b'{"later": [1],', 1))
    assert predictions.refresh()
    assert predictions.version == 3


def test_a_torn_pointer_keeps_the_last_good_version(output: Output) -> None:
    """Half a manifest is no reason to stop, nor to look elsewhere."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    output.publish(ONE_MORE, pointer=False)
    output.point_to(b'{"format"')
    assert not predictions.refresh()
    assert predictions.version == 1
    assert isinstance(predictions.last_error, Damaged)


def test_an_output_that_vanished_keeps_the_last_good_version(output: Output) -> None:
    """An unmounted disk looks empty; that is an error to report, not predictions to drop."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    output.folder.rename(output.folder.with_name("elsewhere"))
    assert not predictions.refresh()
    assert predictions.get("a")["prediction"] == 0.25
    assert isinstance(predictions.last_error, NotPublished)


def test_a_reader_sees_one_version_or_the_next(output: Output) -> None:
    """Look-ups of one call never mix two versions while refreshes go on in another thread."""
    keys, stop, mixtures = [f"k{n}" for n in range(200)], threading.Event(), []

    def whole(version: int) -> pa.Table:
        return part("2013-12-01", id=keys, prediction=[float(version)] * len(keys))

    output.publish(whole(1), keep=False)
    predictions = opened(output)

    def look() -> int:
        calls = 0
        while not stop.is_set():
            seen = {row["prediction"] for row in predictions.get_many(keys)}
            if len(seen) != 1:
                mixtures.append(seen)
            calls += 1
        return calls

    with ThreadPoolExecutor(1) as executor:
        looking = executor.submit(look)
        try:
            for version in range(2, 15):
                output.publish(whole(version), keep=False)
                assert predictions.refresh()
        finally:
            stop.set()
        assert looking.result(SOON) > 0
    assert mixtures == []


# The model


def test_the_model_is_the_one_that_predicted(job: JobFolder) -> None:
    """The very estimator comes from OUTPUT: it needs nothing of the job folder any more."""
    job.add("a.csv", [("a", 0.5, 1), ("b", 3, 0.25)])
    job.run()
    (job.folder / "model.joblib").unlink()
    predictions = Predictions(job.output)
    assert predictions.model().classes_.tolist() == ["no", "yes"]
    assert predictions.model() is predictions.model()
    now = predictions.predict([{"x": 0.5, "y": 1}, {"x": 3, "y": 0.25}])
    for key, found in zip("ab", now, strict=True):
        published = predictions.get(key)
        assert found["prediction"] == published["prediction"]
        assert found["probability_yes"] == pytest.approx(published["probability_yes"], rel=1e-12)
    with pytest.raises(BadData, match="record 1: column 'x'"):
        predictions.predict([{"x": 0.5, "y": 1}, {"x": "much", "y": 1}])


def test_predict_goes_through_the_hooks_of_the_job(job: JobFolder) -> None:
    """A record predicted now is preprocessed as the run did, by the code kept in OUTPUT."""
    hook = job.folder / "clipping.py"
    hook.write_text("def clip(frame):\n    return frame.clip(upper=4.0)\n")
    job.configure(model={"preprocess": "clipping:clip"})
    job.add("a.csv", [("a", 100, 1)])
    job.run()
    hook.unlink()
    predictions = Predictions(job.output)
    at_limit, above = predictions.predict([{"x": 4, "y": 1}, {"x": 100, "y": 1}])
    assert at_limit == above
    assert above["probability_yes"] == pytest.approx(predictions.get("a")["probability_yes"])


# Polling


def test_polling_notices_a_new_version(output: Output) -> None:
    """After `start` a new version appears by itself and on_change is told."""
    output.publish(TWO_ROWS)
    told: list[int] = []
    changed = threading.Event()

    def on_change(predictions: Predictions) -> None:
        told.append(predictions.version)
        changed.set()

    with opened(output) as predictions:
        predictions.start(0.01, on_change=on_change)
        output.publish(ONE_MORE)
        assert changed.wait(SOON)
        assert told == [2]
        assert predictions.get("c")["prediction"] == 0.5


def test_polling_survives_errors_and_tells_them(output: Output) -> None:
    """on_error gets what went wrong; neither it nor a callback that raises ends the polling."""
    output.publish(TWO_ROWS)
    failed, changed = threading.Event(), threading.Event()
    told: list[Exception] = []

    def on_error(error: Exception) -> None:
        told.append(error)
        failed.set()
        raise RuntimeError("the application's own mistake")

    with opened(output) as predictions:
        predictions.start(0.01, lambda _: changed.set(), on_error)
        output.point_to(b"torn")
        assert failed.wait(SOON)
        assert isinstance(told[0], Damaged)
        output.publish(ONE_MORE)
        assert changed.wait(SOON)
        assert predictions.last_error is None


def test_close_ends_the_polling(output: Output) -> None:
    """After `close` no thread is left, and what is loaded stays readable."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    predictions.start(0.01)
    predictions.start(0.02)
    assert _pollers() == 1
    predictions.close()
    predictions.close()
    assert _pollers() == 0
    assert predictions.get("a")["prediction"] == 0.25


def test_polling_can_be_closed_from_its_own_callback(output: Output) -> None:
    """A callback that closes does not wait for itself."""
    output.publish(TWO_ROWS)
    closed = threading.Event()

    def on_change(predictions: Predictions) -> None:
        predictions.close()
        closed.set()

    with opened(output) as predictions:
        predictions.start(0.01, on_change)
        output.publish(ONE_MORE)
        assert closed.wait(SOON)


def test_polling_ends_with_its_predictions(output: Output) -> None:
    """Predictions that nobody holds any more are not kept alive by their thread."""
    output.publish(TWO_ROWS)
    predictions = opened(output)
    predictions.start(0.01)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "batch.client")
    del predictions
    gc.collect()
    thread.join(SOON)
    assert not thread.is_alive()


def test_an_interval_of_nothing_is_refused(output: Output) -> None:
    """Polling without a pause is a mistake, not a wish."""
    output.publish(TWO_ROWS)
    with pytest.raises(ValueError, match="expected seconds above 0"):
        opened(output).start(0)


def test_polling_comes_back_after_a_fork(output: Output) -> None:
    """A forked worker gets new versions by a thread of its own."""
    output.publish(TWO_ROWS)
    with _python(FORKING, str(output.folder)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "version 1\n"
        output.publish(ONE_MORE)
        assert process.communicate(timeout=SOON)[0] == "version 2\n"
    assert process.returncode == 0


FORKING = """
import os, sys, threading
from batch.client import Predictions

predictions = Predictions(sys.argv[1])
changed = threading.Event()
predictions.start(0.01, on_change=lambda _: changed.set())
if child := os.fork():
    predictions.close()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("version", predictions.version, flush=True)
changed.wait(30)
print("version", predictions.version, flush=True)
os._exit(0)
"""


def test_a_process_ends_while_it_polls(output: Output) -> None:
    """An application that never closes still ends cleanly and says nothing."""
    output.publish(TWO_ROWS)
    code = "import sys; from batch.client import Predictions as P; p = P(sys.argv[1]); p.start(9)"
    with _python(code, str(output.folder)) as process:
        assert process.communicate(timeout=SOON) == ("", "")
    assert process.returncode == 0


def test_the_client_is_light(output: Output) -> None:
    """Importing loads neither pandas, scikit-learn, click nor pyarrow; looking up no pandas."""
    output.publish(TWO_ROWS)
    with _python(_MODULES, str(output.folder)) as process:
        assert process.communicate(timeout=SOON) == ("set()\nset()\n", "")


_MODULES = """
import sys
import batch.client

heavy = {"pandas", "sklearn", "click", "rich", "boto3", "joblib", "pydantic"}
print((heavy | {"pyarrow", "numpy"}) & sys.modules.keys())
predictions = batch.client.Predictions(sys.argv[1])
assert predictions.get("a") == predictions.get_many(["a"])[0]
predictions.table()
print(heavy & sys.modules.keys())
"""


def _pollers() -> int:
    return sum(thread.name == "batch.client" for thread in threading.enumerate())


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
