"""Past inputs predicted again: which ones, by which model, beside runs, and never twice."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.cli import main
from batch.errors import BatchError
from batch.job.job_file import load_job
from batch.output.plan import Packing
from batch.run.backfill import backfill, propose
from batch.run.outcome import RunResult
from batch.run.selection import Request
from tests.faults.bench import process
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model

PATH = {"path": "data/{date}.csv"}


def day(number: int) -> list[tuple[str, int, int]]:
    """The records of one day: two keys of its own and one that comes every day."""
    return [(f"a{number}", number, 1), (f"b{number}", 1, number), ("daily", number, number)]


@pytest.fixture
def days(job: JobFolder) -> JobFolder:
    """Five days in one version, by date."""
    job.configure(input=PATH)
    for number in range(1, 6):
        job.add(f"2026-01-0{number}.csv", day(number))
    assert job.run().version == 1
    return job


def again(
    job: JobFolder, model: str | None = None, before: Callable[[str, str], None] | None = None,
    **conditions: Any,
) -> RunResult:  # fmt: skip
    """A backfill in this process."""
    with job.mirrored():
        request = Request(**conditions, model=model)
        return backfill(load_job(str(job.folder)), request, job.options(before=before))


def models(job: JobFolder) -> dict[str, str]:
    """The model that predicted each input."""
    manifest = oracle.newest(job.output)
    assert manifest is not None
    by_file = {file["path"]: file["model_sha256"] for file in manifest["files"]}
    ledger = oracle.ledger_of(job.output, manifest)
    return {path: by_file[entry["parts"][0]] for path, entry in ledger.items()}


def another_model(job: JobFolder, name: str = "other.joblib") -> Path:
    """A model of other parameters, in the job's folder."""
    return save_tiny_model(job.folder / name, strength=0.01)


def probability(model: Path, x: float, y: float) -> float:
    """What a model says of one record."""
    frame = pd.DataFrame({"x": [float(x)], "y": [float(y)]})
    return float(joblib.load(model).predict_proba(frame)[0, 1])


def test_dates_are_inclusive(days: JobFolder) -> None:
    """The first and the last, and nothing beyond them."""
    other = another_model(days)
    outcome = again(days, str(other), first=date(2026, 1, 2), last=date(2026, 1, 4))
    assert (outcome.name, outcome.exit_code, outcome.added.inputs) == ("published", 0, 3)
    found = models(days)
    assert len({found[f"2026-01-0{number}.csv"] for number in (2, 3, 4)}) == 1
    assert found["2026-01-01.csv"] == found["2026-01-05.csv"] != found["2026-01-02.csv"]
    manifest = oracle.newest(days.output)
    assert manifest is not None
    assert (manifest["kind"], manifest["version"]) == ("backfill", 2)
    rows = {row["id"]: row["probability_yes"] for row in days.rows() if row["id"] != "daily"}
    assert rows["a3"] == pytest.approx(probability(other, 3, 1), rel=1e-12)
    assert rows["a5"] == pytest.approx(probability(days.folder / "model.joblib", 5, 1), rel=1e-12)


def test_everything_is_there_once_after_a_backfill(days: JobFolder) -> None:
    """By the job's own model: nothing but the version changes, and a run has nothing to do."""
    before = sorted(map(repr, days.rows()))
    assert again(days, inputs=("*",)).added.inputs == 5
    days.judge()
    assert sorted(map(repr, days.rows())) == before
    assert days.run().name == "nothing to do"


def test_the_latest_row_of_a_key_stays_the_latest(days: JobFolder) -> None:
    """It depends on the inputs alone, not on when they were predicted."""
    again(days, first=date(2026, 1, 1), last=date(2026, 1, 2))
    rows = [row for row in days.rows() if row["id"] == "daily"]
    latest = max(rows, key=lambda row: (row["_as_of"], row["_input"], row["_row"]))
    assert latest["_input"] == "2026-01-05.csv"


def test_an_input_that_was_sent_again_keeps_its_moment(job: JobFolder) -> None:
    """Its later time of modification makes none of its rows the latest."""
    job.add("1.csv", [("daily", 1, 1)])
    job.add("2.csv", [("daily", 2, 2)])
    job.run()
    job.add("1.csv", [("daily", 1, 1)])
    assert job.run().added.inputs == 0
    before = {row["_input"]: row["_as_of"] for row in job.rows()}
    assert again(job, inputs=("*",)).added.inputs == 2
    assert {row["_input"]: row["_as_of"] for row in job.rows()} == before
    job.judge()


def test_a_rollback_names_no_input_that_only_a_backfill_predicted(days: JobFolder) -> None:
    """A run would find nothing to do: they have the predictions from before."""
    again(days, inputs=("2026-01-01.csv",))
    with days.mirrored():
        result = CliRunner().invoke(main, ["rollback", str(days.folder)])
        assert "predicted again" not in result.output
        CliRunner().invoke(main, ["unpause", str(days.folder)])
    assert days.run().name == "nothing to do"


def test_only_outdated_twice_changes_nothing_the_second_time(days: JobFolder) -> None:
    """After a new model went in, what is of the older one."""
    another_model(days, "model.joblib")
    days.add("2026-01-06.csv", day(6))
    assert f"backfill {days.folder} --only outdated`" in days.run().hint
    assert again(days, only="outdated").added.inputs == 5
    assert len(set(models(days).values())) == 1
    second = again(days, only="outdated")
    assert (second.name, second.exit_code, second.version) == ("nothing to do", 0, 3)
    days.judge()


def test_only_missing_and_only_rejected(days: JobFolder) -> None:
    """Those that no run has taken in yet, and those with rejects."""
    days.add("2026-01-06.csv", [*day(6), ("bad", "?", 1)])
    assert again(days, only="missing").added.inputs == 1
    assert again(days, only="missing").name == "nothing to do"
    assert again(days, only="rejected").added.inputs == 1
    days.judge()


def test_inputs_are_named_by_patterns(days: JobFolder) -> None:
    """Any of them, and within the dates."""
    outcome = again(days, inputs=("*-01.csv", "*-05.csv"), first=date(2026, 1, 2))
    assert outcome.added.inputs == 1


def test_the_model_of_a_version_predicts_again_as_it_did(days: JobFolder) -> None:
    """With its own hooks and settings, whatever the job's folder holds by now."""

    def again_as(by: str, *options: str) -> list[str]:
        hook = f"def change(frame):\n    return frame.assign(by={by!r})\n"
        (days.folder / "hook.py").write_text(hook)
        with days.mirrored():
            # In a process of its own: nothing is left there of an earlier hook.
            done = days.command("backfill", str(days.folder), "--input", "*", *options)
        assert done.returncode == 0, done.stderr
        return sorted(map(repr, days.rows()))

    days.configure(input=PATH, model={"postprocess": "hook:change"})
    before = again_as("old")
    another_model(days, "model.joblib")
    assert {row["by"] for row in days.rows()} == {"old"}
    assert again_as("new") != before
    assert again_as("newest", "--model", "v2") == before
    oracle.judge(days.output)


def test_a_version_that_another_model_made_is_not_taken_for_one_of_its_own(
    days: JobFolder,
) -> None:
    """Its manifest tells of the model of the runs, not of the one that was asked for."""
    assert again(days, str(another_model(days)), inputs=("2026-01-01.csv",)).version == 2
    outcome = again(days, "v2", inputs=("2026-01-02.csv",))
    assert outcome.exit_code == 78
    assert "version 2 was made by a backfill with another model" in outcome.message
    oracle.judge(days.output)


def test_another_model_is_not_what_applications_are_told_of(days: JobFolder) -> None:
    """The manifest's model stays that of the runs."""
    other = another_model(days)
    before = oracle.newest(days.output)
    again(days, str(other), first=date(2026, 1, 1), last=date(2026, 1, 1))
    after = oracle.newest(days.output)
    assert before is not None
    assert after is not None
    assert after["model"] == before["model"]
    assert days.run().name == "nothing to do"


@pytest.mark.parametrize(
    ("conditions", "model", "code", "said"),
    [
        (
            {"first": date(2027, 1, 1)},
            None,
            66,
            "there are 5 inputs, from 2026-01-01 to 2026-01-05",
        ),
        ({"inputs": ("x*",)}, None, 66, "no input matching x* in range"),
        ({"inputs": ("*",)}, "v9", 66, "version 9 does not exist; only version 1 is kept"),
        ({"inputs": ("*",)}, "nowhere.joblib", 78, "nowhere.joblib: no such model"),
        ({"first": date(2026, 1, 5), "last": date(2026, 1, 1)}, None, 2, "is before --from"),
        ({}, None, 2, "no inputs selected"),
    ],
)
def test_what_cannot_be_done_is_one_error(
    days: JobFolder, conditions: dict[str, Any], model: str | None, code: int, said: str
) -> None:
    """With what is there instead; nothing is published."""
    try:
        outcome = again(days, model, **conditions)
        found, message = outcome.exit_code, f"{outcome.message} {outcome.hint}"
    except BatchError as error:
        found, message = error.exit_code, f"{error.message} {error.hint}"
    assert (found, said in message) == (code, True), message
    assert days.judge()["version"] == 1


def test_a_model_that_does_not_fit_the_columns_is_one_error(days: JobFolder) -> None:
    """Named once, not once for each input, and nothing is published."""
    sample = pd.DataFrame({"x": [0.0, 1.0, 2.0], "z": [1.0, 0.0, 1.0]})
    from sklearn.linear_model import LogisticRegression

    from batch.model import save_model

    model = LogisticRegression().fit(sample, ["no", "yes", "no"])
    path = save_model(model, days.folder / "other.joblib", sample=sample)
    outcome = again(days, str(path), inputs=("*",))
    assert outcome.exit_code == 78
    assert "none of the 5 inputs" in outcome.message
    assert "'z'" in outcome.message
    assert days.judge()["version"] == 1


def test_what_a_run_took_in_meanwhile_stays(days: JobFolder, tmp_path: Path) -> None:
    """The changed content wins over the backfill of the old one, which is named."""
    days.packing = Packing(small_bytes=1)
    met = False

    def meet(verb: str, path: str) -> None:
        nonlocal met
        if verb == "create" and path.startswith("manifests/") and not met:
            met = True
            days.add("2026-01-02.csv", [*day(2), ("c2", 1, 1)])
            days.add("2026-01-06.csv", day(6))
            with process(tmp_path / "elsewhere"):
                assert days.run().version == 2

    first, last = date(2026, 1, 1), date(2026, 1, 3)
    outcome = again(days, str(another_model(days)), meet, first=first, last=last)
    assert (outcome.name, outcome.version, outcome.exit_code) == ("published", 3, 75)
    assert outcome.message.endswith("1 input left to the next backfill")
    found = models(days)
    assert found["2026-01-02.csv"] == found["2026-01-06.csv"] == found["2026-01-05.csv"]
    assert found["2026-01-01.csv"] == found["2026-01-03.csv"] != found["2026-01-05.csv"]
    oracle.judge(days.output)


def test_an_interrupted_backfill_goes_on_where_it_was(days: JobFolder) -> None:
    """What has a receipt is not predicted again, when the same is asked for."""
    days.packing = Packing(small_bytes=1)
    receipts = 0

    def die(verb: str, path: str) -> None:
        nonlocal receipts
        name = path.rsplit("/", maxsplit=1)[-1]
        receipts += verb == "create" and name.endswith(".json") and name[0] == "0"
        if verb == "create" and path.endswith("00002.json"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(days, before=die, inputs=("*",))
    assert receipts == 3
    done = {path.name for path in (days.output / "data").glob("*/*.parquet")}
    assert again(days, inputs=("2026-01-05.csv",)).added.inputs == 1
    outcome = again(days, inputs=("*",))
    assert outcome.name == "published"
    manifest = oracle.newest(days.output)
    assert manifest is not None
    kept = {file["path"].split("/")[-1] for file in manifest["files"]}
    assert len(kept & done) >= 2
    days.judge()


def test_a_run_that_meets_a_backfill_does_not_take_the_output_for_an_older_one(
    days: JobFolder,
) -> None:
    """What this host saw last is newer than what the run has just read."""
    met = False

    def meet(verb: str, path: str) -> None:
        nonlocal met
        if verb == "read" and path.startswith("ledger/") and not met:
            met = True
            assert again(days, inputs=("2026-01-01.csv",)).version == 2

    days.add("2026-01-06.csv", day(6))
    outcome = days.run(before=meet)
    assert met
    assert (outcome.name, outcome.version) == ("published", 3), outcome.message
    days.judge()


def test_a_held_backfill_blocks_no_run(days: JobFolder) -> None:
    """Nor does a run clear it away; a person publishes it."""
    days.configure(input=PATH, checks={"min_rows": 4})
    held = again(days, str(another_model(days)), first=date(2026, 1, 1), last=date(2026, 1, 1))
    assert held.exit_code == 3
    days.add("2026-01-06.csv", [*day(6), ("x", 1, 1)])
    assert days.run().name == "published"
    with days.mirrored():
        result = CliRunner().invoke(main, ["publish", str(days.folder), "--force"])
    assert result.exit_code == 0, result.output
    found = models(days)
    assert found["2026-01-01.csv"] != found["2026-01-02.csv"] == found["2026-01-06.csv"]


def test_new_inputs_of_a_backfill_are_no_change_of_the_others(days: JobFolder) -> None:
    """Nor are those that cannot be read: the others have as many records as before."""
    days.configure(input=PATH, checks={"max_row_change": 0})
    days.add("2026-01-06.csv", day(6))
    days.write("2026-01-05.csv", b"id,x\na,1\n")
    outcome = again(days, inputs=("*",))
    assert (outcome.name, outcome.exit_code) == ("published", 65), outcome.message
    assert outcome.added.inputs == 5


def test_a_paused_job_is_not_filled_back(days: JobFolder) -> None:
    """A version that follows would let the runs go on."""
    days.add("2026-01-06.csv", day(6))
    days.run()
    with days.mirrored():
        CliRunner().invoke(main, ["rollback", str(days.folder), "--reason", "bad"])
    assert again(days, inputs=("*",)).exit_code == 3


def test_a_replaced_output_is_predicted_again_whole(job: JobFolder) -> None:
    """It takes no dates: a version holds the present input."""
    job.configure(output={"mode": "replace"})
    job.add("all.csv", day(1))
    job.run()
    with pytest.raises(BatchError, match="predicts the present input again"):
        again(job, first=date(2026, 1, 1))
    assert again(job).added.inputs == 1
    assert job.judge()["version"] == 2


def test_without_dates_in_the_names_it_goes_by_the_last_change(job: JobFolder) -> None:
    """And says so."""
    job.add("one.csv", day(1))
    job.run()
    with job.mirrored():
        arguments = ["backfill", str(job.folder), "--from", "2020-01-01", "--dry-run"]
        said = CliRunner().invoke(main, arguments).output
    assert "by modification time: input.path has no {date}" in said


def test_the_plan_names_every_date(days: JobFolder) -> None:
    """Inputs, records, new or replaced, by which model, and how long it will take."""
    days.add("2026-01-06.csv", day(6))
    with days.mirrored():
        request = Request(first=date(2026, 1, 4))
        plan = propose(load_job(str(days.folder)), request, days.options())
    assert [(f"{one.day}", one.inputs, one.records, one.new) for one in plan.days] == [
        ("2026-01-04", 1, 3, 0),
        ("2026-01-05", 1, 3, 0),
        ("2026-01-06", 1, 0, 1),
    ]
    assert {one.models for one in plan.days[:2]} == {(models(days)["2026-01-01.csv"],)}
    assert plan.seconds is not None
    assert days.judge()["version"] == 1


def test_what_is_older_than_the_window_stays_out(days: JobFolder) -> None:
    """The next run would drop it again; it is named."""
    days.configure(input=PATH, output={"path": "out", "window": "30d"})
    with days.mirrored():
        request = Request(first=date(2026, 1, 1), last=date(2026, 1, 2))
        plan = propose(load_job(str(days.folder)), request, days.options())
    assert plan.choice.too_old == ("2026-01-01.csv", "2026-01-02.csv")
    outcome = again(days, first=date(2026, 1, 1), last=date(2026, 1, 2))
    assert (outcome.name, outcome.exit_code) == ("nothing to do", 0)
    assert "2 older than output.window" in outcome.message


def test_an_input_that_vanishes_meanwhile_is_left_and_said(days: JobFolder) -> None:
    """Nobody else predicts it again by that model."""
    days.packing = Packing(small_bytes=1)

    def vanish(verb: str, path: str) -> None:
        if verb == "create" and path.endswith("plan.json"):
            (days.data / "2026-01-02.csv").unlink()

    outcome = again(days, str(another_model(days)), vanish, inputs=("*",))
    assert (outcome.name, outcome.exit_code, outcome.added.inputs) == ("published", 75, 4)
    assert outcome.message.endswith("1 input left to the next backfill")


def test_a_backfill_of_the_past_makes_nothing_fresher(days: JobFolder) -> None:
    """Nor is the next run compared with the few inputs that it predicted."""
    days.configure(input=PATH, output={"path": "out", "fresh_for": "26h"})
    days.add("2026-01-06.csv", day(6))
    days.run()
    before = oracle.newest(days.output)
    assert again(days, first=date(2026, 1, 1), last=date(2026, 1, 1)).name == "published"
    after = oracle.newest(days.output)
    assert before is not None
    assert after is not None
    assert after["stale_after"] == before["stale_after"] is not None
    assert after["histogram"] == before["histogram"] is not None


def test_history_names_the_model_of_a_backfill(days: JobFolder) -> None:
    """Not the one that applications are told of."""
    again(days, str(another_model(days)), first=date(2026, 1, 1), last=date(2026, 1, 1))
    with days.mirrored():
        said = CliRunner().invoke(main, ["history", str(days.folder), "--json"]).output
    assert json.loads(said)[-1]["model"] == models(days)["2026-01-01.csv"]


def test_an_interrupted_backfill_can_be_given_up(days: JobFolder) -> None:
    """By its id; then it is not continued any more."""

    def die(verb: str, path: str) -> None:
        if verb == "create" and path.startswith("manifests"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(days, before=die, inputs=("*",))
    with days.mirrored():
        (plan,) = (days.output / "pending").glob("*/plan.json")
        arguments = ["discard", str(days.folder), "--run", plan.parent.name]
        assert "abandoned backfill" in CliRunner().invoke(main, arguments).output
        assert "or in progress" not in CliRunner().invoke(main, ["status", str(days.folder)]).output
    assert again(days, inputs=("*",)).run_id != plan.parent.name


def test_a_date_that_is_none_is_named(days: JobFolder) -> None:
    """With what a date looks like."""
    result = CliRunner().invoke(main, ["backfill", str(days.folder), "--from", "2026-02-30"])
    assert result.exit_code == 2
    assert "'2026-02-30' is not a date such as 2013-12-01" in result.output


@pytest.mark.parametrize(("answer", "version"), [("n", 1), ("y", 2)])
def test_a_person_sees_the_plan_and_is_asked(days: JobFolder, answer: str, version: int) -> None:
    """On a terminal, without --yes."""
    keyboard, terminal = pty.openpty()
    command = ["backfill", str(days.folder), "--from", "2026-01-04"]
    with subprocess.Popen(
        [sys.executable, "-m", "batch", *command], stdin=terminal, stdout=subprocess.PIPE, text=True
    ) as process:
        os.close(terminal)
        os.write(keyboard, f"{answer}\n".encode())
        said, _ = process.communicate(timeout=60)
        os.close(keyboard)
    assert "from 2026-01-04 00:00 UTC on: 2 inputs" in said
    assert "Predict these again?" in said
    assert process.returncode == 0
    assert days.judge()["version"] == version
