"""Going back, giving up, tidying: what a person does to an output, and what it leaves alone."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from batch.client import Predictions
from batch.errors import Damaged, Held, NoInput
from batch.job.job_file import load_job
from batch.logs import utc_now
from batch.output.read import Retention, open_output
from batch.run.held import discard
from batch.store import open_store
from batch.upkeep.prune import Garbage, prune
from batch.upkeep.rollback import unpause
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model
from tests.support.wrapped import Later

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")
DAY_1 = [("a", 1, 2), ("b", 3, 4)]
DAY_2 = [("c", 2, 2)]
DAY_3 = [("d", 0, 1)]


def tidy(job: JobFolder, *, days_later: float = 0, delete: bool = True) -> Garbage:
    """Prune as the command does, some days from now."""
    store = Later(open_store(job.output_url), days_later)
    with job.mirrored():
        return prune(store, retain=timedelta(days=1000), delete=delete)


def command(*arguments: str) -> Result:
    """`batch-predict` in this process."""
    return CliRunner().invoke(main, arguments)


def paths(job: JobFolder, folder: str) -> list[str]:
    """The files below a folder of the output."""
    return sorted(
        str(path.relative_to(job.output))
        for path in (job.output / folder).rglob("*")
        if path.is_file()
    )


@pytest.fixture
def three(job: JobFolder) -> JobFolder:
    """A job with three versions, of one input more each."""
    for name, rows in (("1.csv", DAY_1), ("2.csv", DAY_2), ("3.csv", DAY_3)):
        job.add(name, rows)
        job.run()
    return job


def test_a_rollback_is_a_new_version_with_the_old_content_and_stops_the_line(
    three: JobFolder,
) -> None:
    """Readers go forward to it, and runs say that it is paused."""
    reader = Predictions(three.output_url)
    assert reader.get("d") is not None
    manifest = three.roll_back()
    assert (manifest.version, manifest.kind) == (4, "rollback")
    three.judge()
    assert [row["id"] for row in three.rows()] == ["a", "b", "c"]
    reader.refresh()
    assert (reader.version, reader.get("d")) == (4, None)
    outcome = three.run()
    assert (outcome.exit_code, outcome.name) == (3, "held")
    assert "rolled back" in outcome.message or "a bad model" in outcome.message
    assert f"unpause {three.folder}" in outcome.hint


def test_after_unpause_everything_since_is_predicted_again_by_the_model_in_place(
    three: JobFolder,
) -> None:
    """Every record is there once; what was kept stays as it was."""
    three.roll_back(to=1)
    kept = three.rows()
    save_tiny_model(three.folder / "model.joblib", strength=0.01)
    assert three.unpause() is not None
    assert three.run().added.inputs == 2
    manifest = oracle.judge(three.output)
    assert manifest["totals"]["inputs"] == 3
    rows = {row["id"]: row for row in three.rows()}
    assert [rows["a"], rows["b"]] == kept
    new = three.expected("3.csv", 0)
    assert rows["d"]["probability_yes"] == pytest.approx(new["probability_yes"], rel=1e-12)


def test_a_rollback_can_be_rolled_back(three: JobFolder) -> None:
    """Nothing was deleted."""
    three.roll_back(to=1)
    assert three.roll_back(to=3).version == 5
    three.unpause()
    assert three.run().name == "nothing to do"
    assert three.judge()["totals"]["inputs"] == 3


def test_a_second_rollback_must_say_where_to(three: JobFolder) -> None:
    """The version before a rollback is the very one that was given up."""
    three.roll_back()
    with pytest.raises(Held, match="already paused"):
        three.roll_back()


@pytest.mark.parametrize("to", [3, 4, 99])
def test_only_an_earlier_version_that_is_kept_can_come_back(three: JobFolder, to: int) -> None:
    """The error says which there are."""
    with pytest.raises(NoInput, match="versions 1–3 are kept"):
        three.roll_back(to=to)


def test_a_version_that_is_not_whole_cannot_come_back(three: JobFolder) -> None:
    """Its missing part is named, and nothing is published."""
    part = oracle.newest(three.output)["files"][0]["path"]  # type: ignore[index]
    (three.output / part).unlink()
    with pytest.raises(Damaged, match=part):
        three.roll_back()
    assert len(paths(three, "manifests")) == 3


def test_a_rollback_keeps_the_age_of_the_predictions(job: JobFolder) -> None:
    """They do not become fresh by being published once more."""
    job.configure(output={"fresh_for": "1h"})
    job.add("1.csv", DAY_1)
    job.run()
    first = oracle.newest(job.output)
    job.add("2.csv", DAY_2)
    job.run()
    manifest = job.roll_back()
    assert first is not None
    assert manifest.stale_after == datetime.fromisoformat(first["stale_after"])


def test_a_run_that_meets_a_rollback_on_its_way_publishes_nothing(three: JobFolder) -> None:
    """What it predicted is kept, and published after unpause."""
    rolled = False

    def roll(verb: str, path: str) -> None:
        nonlocal rolled
        if verb == "create" and path.startswith("manifests/") and not rolled:
            rolled = True
            three.roll_back()

    three.add("4.csv", [("e", 1, 1)])
    outcome = three.run(before=roll)
    assert outcome.exit_code == 3
    assert oracle.judge(three.output)["version"] == 4
    three.unpause()
    assert three.run().name == "published"
    assert three.judge()["totals"]["inputs"] == 4


def test_unpause_leaves_a_rollback_that_came_meanwhile(three: JobFolder) -> None:
    """It was not what the person who unpaused had seen."""
    from tests.support.wrapped import Wrapped

    three.roll_back()
    rolled = False

    def roll(verb: str, path: str) -> None:
        nonlocal rolled
        if verb == "create" and path.startswith("manifests/") and not rolled:
            rolled = True
            three.roll_back(to=1)

    store = Wrapped(open_store(three.output_url), roll)
    assert unpause(store, load_job(str(three.folder)), clock=utc_now) is None
    assert oracle.judge(three.output)["paused"] is not None


def test_unpause_of_what_is_not_paused_changes_nothing(three: JobFolder) -> None:
    """It is no error: the line is open."""
    assert three.unpause() is None
    assert len(paths(three, "manifests")) == 3


def test_a_held_run_that_is_given_up_is_predicted_anew(job: JobFolder) -> None:
    """Its inputs are open again; nothing of it is taken over."""
    job.configure(checks={"min_rows": 10})
    job.add("1.csv", DAY_1)
    held = job.run()
    assert held.exit_code == 3
    with job.mirrored():
        (given_up,) = discard(open_store(job.output_url), now=utc_now())
        assert given_up.run_id == held.run_id
        assert discard(open_store(job.output_url), now=utc_now()) == ()
    job.configure()
    again = job.run()
    assert again.run_id != held.run_id
    assert job.judge()["totals"]["inputs"] == 1


def test_what_no_version_names_is_deleted_when_it_is_old(three: JobFolder) -> None:
    """And nothing that is young, named, or needed by a run that is not published."""
    for name in ("data/dead-run/00000-x.parquet", "ledger/lost.parquet", "models/0/model.joblib",
                 "pending/orphan/00000.json"):  # fmt: skip
        (three.output / name).parent.mkdir(parents=True, exist_ok=True)
        (three.output / name).write_bytes(b"x")
    assert tidy(three) == Garbage()
    assert len(tidy(three, days_later=8, delete=False).objects) == 4
    found = sorted(entry.path for entry in tidy(three, days_later=8).objects)
    assert found == ["data/dead-run/00000-x.parquet", "ledger/lost.parquet",
                     "models/0/model.joblib", "pending/orphan/00000.json"]  # fmt: skip
    assert tidy(three, days_later=8) == Garbage()
    three.judge()
    assert three.run().name == "nothing to do"


def test_versions_that_are_no_longer_kept_go_with_what_only_they_name(job: JobFolder) -> None:
    """In replace mode every version has parts of its own; the newest ones stay whole."""
    job.retention = Retention(versions=2)
    job.configure(output={"mode": "replace", "retain": "0s"})
    for number in range(5):
        job.add("1.csv", [("a", number, 1)])
        job.run()
    garbage = tidy(job, days_later=8)
    assert [entry.path for entry in garbage.manifests] == [
        "manifests/0000000001.json", "manifests/0000000002.json", "manifests/0000000003.json"
    ]  # fmt: skip
    assert len(paths(job, "data")) == 2
    assert job.judge()["oldest_kept"] == 4
    with pytest.raises(NoInput, match="versions 4–5 are kept"):
        job.roll_back(to=3)
    assert job.roll_back(to=4).version == 6
    oracle.judge(job.output)


def test_a_version_stays_as_long_as_the_job_says(job: JobFolder) -> None:
    """Counted from when another one took its place; oldest_kept never falls."""
    job.retention = Retention(versions=1)
    job.configure(output={"mode": "replace", "retain": "10d"})
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for number, day in enumerate([0, 5, 9, 16, 40, 41]):
        job.add("1.csv", [("a", number, 1)])
        job.run(clock=lambda day=day: start + timedelta(days=day))
        found.append(oracle.newest(job.output)["oldest_kept"])  # type: ignore[index]
    assert found == [1, 1, 1, 2, 4, 4]
    job.configure(output={"mode": "replace", "retain": "100d"})
    job.add("1.csv", [("a", 9, 1)])
    job.run(clock=lambda: start + timedelta(days=42))
    assert job.judge()["oldest_kept"] == 4


def test_a_version_that_somebody_removed_does_not_keep_the_others(job: JobFolder) -> None:
    """What is not there cannot be kept."""
    job.retention = Retention(versions=1)
    job.configure(output={"retain": "0s"})
    for number in range(3):
        job.add(f"{number}.csv", DAY_1)
        job.run(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    (job.output / "manifests" / "0000000003.json").unlink()
    (job.output / "manifest.json").unlink()
    (job.output / "manifests" / "0000000001.json").unlink()
    job.add("4.csv", DAY_1)
    job.run(accept_older=True)
    assert oracle.newest(job.output)["oldest_kept"] == 2  # type: ignore[index]


def test_what_a_pending_run_did_survives_however_old(job: JobFolder) -> None:
    """It is adopted after the pruning, under the same run id."""
    job.configure(checks={"min_rows": 3})
    job.add("1.csv", DAY_1)
    held = job.run()
    assert tidy(job, days_later=400) == Garbage()
    job.configure()
    assert job.run().run_id == held.run_id
    job.judge()


def test_an_unreadable_manifest_keeps_everything(three: JobFolder) -> None:
    """Nobody knows what it named."""
    (three.output / "data" / "dead").mkdir()
    (three.output / "data" / "dead" / "part").write_bytes(b"x")
    (three.output / "manifests" / "0000000002.json").write_bytes(b"{")
    with pytest.raises(Damaged, match="0000000002"):
        tidy(three, days_later=8)
    assert (three.output / "data" / "dead" / "part").exists()


def test_a_run_prunes_after_its_own_commit_once_a_day(job: JobFolder) -> None:
    """An idle run leaves everything as it is."""
    garbage = job.output / "data" / "dead" / "part"
    job.add("1.csv", DAY_1)
    job.run()
    garbage.parent.mkdir()
    garbage.write_bytes(b"x")

    def run_later(days: int = 0) -> None:
        """On another day of this host; to the store, all is old."""
        moment = datetime.now(UTC) + timedelta(days=days)
        job.run(clock=lambda: moment, open_output=lambda found: Later(open_output(found)))

    job.add("2.csv", DAY_2)
    run_later()
    assert garbage.exists()
    run_later(days=2)
    assert garbage.exists()
    job.add("3.csv", DAY_3)
    run_later(days=2)
    assert not garbage.exists()
    job.judge()


def dated(job: JobFolder, days: dict[str, list[Any]], **output: Any) -> None:
    """Inputs with a date in their name, and a job that knows it."""
    job.configure(input={"path": "data/{date}.csv"}, output=output)
    for day, rows in days.items():
        job.add(f"{day}.csv", rows)


def on(day: str) -> Any:
    """A clock that stands at noon of a day."""
    return lambda: datetime.fromisoformat(f"{day}T12:00:00+00:00")


def test_parts_older_than_the_window_leave_and_are_not_taken_in_again(job: JobFolder) -> None:
    """The window goes by the store's time of listing for new inputs, by the run's for old parts."""
    today = datetime.now(UTC).date()
    days = [f"{today - timedelta(days=back)}" for back in (3, 2, 1)]
    for day, rows in zip(days, (DAY_1, DAY_2, DAY_3), strict=True):
        dated(job, {day: rows}, window="30d")
        job.run()
    assert job.judge()["totals"]["inputs"] == 3
    later = f"{today + timedelta(days=28)}"
    outcome = job.run(clock=on(later))
    assert (outcome.name, outcome.version) == ("published", 4)
    manifest = oracle.judge(job.output)
    assert (manifest["kind"], manifest["totals"]["records"]) == ("window", 1)
    assert [row["id"] for row in job.rows()] == ["d"]
    # The files are still there, and nobody takes them for new.
    assert job.run(clock=on(later)).name == "nothing to do"
    old = f"{today - timedelta(days=50)}"
    job.add(f"{old}.csv", DAY_1)
    assert job.run(clock=on(later)).name == "nothing to do"
    assert "too old  1 input" in command("run", str(job.folder), "--dry-run").output


def test_predictions_never_leave_without_the_rejects_of_their_input(job: JobFolder) -> None:
    """Packed inputs of two ages share a part and a file of rejects: both go, or both stay."""
    today = datetime.now(UTC).date()
    old, young = f"{today - timedelta(days=20)}", f"{today}"
    bad = [("x", "oops", 1)]
    dated(job, {old: [*DAY_1, *bad], young: [*DAY_2, *bad]}, window="30d")
    job.run()
    assert job.run(clock=on(f"{today + timedelta(days=15)}")).name == "nothing to do"
    assert job.run(clock=on(f"{today + timedelta(days=40)}")).version == 2
    assert oracle.judge(job.output)["totals"]["records"] == 0


@pytest.mark.local_only("nobody can make an object on S3 look old")
def test_the_commands_say_what_they_do_and_what_comes_next(three: JobFolder) -> None:
    """Before a rollback: what gives way to what, and which inputs are predicted again."""
    folder = str(three.folder)
    found = command("rollback", folder, "--reason", "wrong model")
    assert found.exit_code == 0
    assert "rolling back from version 3 to version 2" in found.output
    assert (
        "1 input processed since then will be predicted again after unpause: 3.csv" in found.output
    )
    assert "published version 4" in found.output
    assert "paused" in command("status", folder).output
    assert "wrong model" in command("status", folder).output
    again = command("rollback", folder)
    assert (again.exit_code, "already paused" in again.output) == (3, True)
    assert "published version 5: runs resume from here" in command("unpause", folder).output
    assert "not paused" in command("unpause", folder).output
    assert "no run is held" in command("discard", folder).output
    assert "nothing to delete" in command("prune", folder).output
    (three.output / "data" / "dead").mkdir()
    (three.output / "data" / "dead" / "part").write_bytes(b"x")
    os.utime(three.output / "data" / "dead" / "part", (0, 0))
    assert "would delete 1 object, 1 byte" in command("prune", folder).output
    assert "deleted 1 object" in command("prune", folder, "--yes").output
    three.run()
    assert json.loads((three.output / "manifest.json").read_text())["totals"]["inputs"] == 3
