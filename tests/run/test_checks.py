"""Checks: what holds a run, what only warns, and how a person decides about a held one."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from batch.cli import main
from batch.job.settings import ChecksSection, JobSettings
from batch.output.manifest import CheckResult
from batch.records.histogram import Histogram, explained_by_chance, stability_index
from batch.run.checks import Duplicates, Evidence, as_text, judge
from tests.support.jobs import JobFolder, save_tiny_model

DAY = [("a", 1, 2), ("b", 3, 4), ("c", 5, 6)]


def checks(**limits: Any) -> ChecksSection:
    """The section of a job file."""
    return ChecksSection.model_validate(limits)


def outcomes(section: ChecksSection, **evidence: Any) -> dict[str, str]:
    """The outcome of every check that was judged."""
    return {one.name: one.outcome for one in judge(section, Evidence(**evidence))}


def bins(*counts: int) -> Histogram:
    """Counts in bins of equal width."""
    return Histogram(column="p", edges=tuple(map(float, range(len(counts) + 1))), counts=counts)


@pytest.mark.parametrize(
    ("limits", "evidence", "name", "expected"),
    [
        ({"min_rows": 5}, {"predicted": 5}, "min_rows", "pass"),
        ({"min_rows": 5}, {"predicted": 4}, "min_rows", "hold"),
        ({}, {"predicted": 9, "null_predictions": 1}, "max_null_predictions", "hold"),
        ({"max_null_predictions": 0.2}, {"predicted": 9, "null_predictions": 1},
         "max_null_predictions", "pass"),
        ({"max_row_change": 0.5}, {"predicted": 1, "rows_compared": 15, "rows_before": 10}, "max_row_change", "pass"),
        ({"max_row_change": 0.5}, {"predicted": 1, "rows_compared": 4, "rows_before": 10}, "max_row_change", "hold"),
        ({"max_key_loss": 0.1}, {"predicted": 1, "key_loss": 0.2}, "max_key_loss", "hold"),
        ({}, {"predicted": 1, "duplicate_keys": Duplicates(1, ["a"])}, "unique_key", "hold"),
        ({"unique_key": 1}, {"predicted": 1, "duplicate_keys": Duplicates(1, ["a"])}, "unique_key", "pass"),
    ],
)  # fmt: skip
def test_a_limit_is_the_last_value_that_passes(
    limits: dict[str, Any], evidence: dict[str, Any], name: str, expected: str
) -> None:
    """At the limit a run passes, beyond it it is held."""
    assert outcomes(checks(**limits), **evidence)[name] == expected


def test_what_is_not_known_is_not_judged() -> None:
    """A first run has nothing to be compared with."""
    found = outcomes(checks(max_row_change=0.1, max_key_loss=0), predicted=3)
    assert found.keys() == {"min_rows", "max_null_predictions"}


@pytest.mark.parametrize("action", ["warn", "hold"])
def test_a_check_may_warn_or_hold_as_the_job_file_says(action: str) -> None:
    """Instead of what it does by itself."""
    limits = checks(min_rows={"limit": 5, "action": action})
    assert outcomes(limits, predicted=4)["min_rows"] == action


@pytest.mark.parametrize(
    ("is_new_recipe", "limit", "expected"),
    [(False, 0.25, "warn"), (True, 0.25, "hold"), (False, {"limit": 0.25, "action": "hold"}, "hold"),
     (True, {"limit": 0.25, "action": "warn"}, "warn"), (True, 100, "pass")],
)  # fmt: skip
def test_a_shift_of_the_predictions_warns_and_holds_a_new_recipe(
    is_new_recipe: bool, limit: Any, expected: str
) -> None:
    """Another distribution is news of the world, or of a bad model."""
    found = outcomes(
        checks(max_psi=limit),
        predicted=2000,
        histogram=bins(1800, 200),
        baseline=bins(1000, 1000),
        is_new_recipe=is_new_recipe,
    )
    assert found["max_psi"] == expected


def test_the_stability_index_is_the_textbook_sum() -> None:
    """With 40 and 60 per cent against halves: 0.1 ln(0.6 / 0.5) - 0.1 ln(0.4 / 0.5)."""
    expected = 0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5)
    found = stability_index(bins(400_000, 600_000), bins(500_000, 500_000))
    assert found == pytest.approx(expected, rel=1e-4)
    assert stability_index(bins(3, 0), bins(0, 3)) < np.inf


def test_few_records_of_one_distribution_are_no_shift() -> None:
    """One pair of samples in a thousand exceeds what is called chance."""
    random = np.random.default_rng(7)
    beyond, shares = 0, np.full(20, 0.05)
    for _ in range(2000):
        one, other = (bins(*map(int, random.multinomial(size, shares))) for size in (400, 900))
        beyond += stability_index(one, other) > explained_by_chance(one, other)
    assert beyond <= 10


def test_a_few_records_are_never_held_for_their_distribution(job: JobFolder) -> None:
    """Three records tell nothing, whatever the model."""
    job.add("1.csv", DAY)
    assert job.run().name == "published"
    save_tiny_model(job.folder / "model.joblib", strength=0.001)
    job.add("2.csv", [("d", 40, 2)])
    assert job.run().name == "published"


def crowd(shift: float) -> list[tuple[str, float, float]]:
    """Many records, of which x is shifted."""
    return [(f"k{number}", number / 100 + shift, 1) for number in range(400)]


@pytest.mark.parametrize("recipe_changes", [False, True])
def test_a_shifted_input_warns_and_with_another_model_it_is_held(
    job: JobFolder, recipe_changes: bool
) -> None:
    """Compared with the last version; what is published says so in the manifest."""
    job.add("1.csv", crowd(0))
    job.run()
    if recipe_changes:
        save_tiny_model(job.folder / "model.joblib", strength=0.5)
    job.add("2.csv", crowd(-5))
    outcome = job.run()
    if recipe_changes:
        assert (outcome.name, outcome.exit_code) == ("held", 3)
        assert "max_psi" in outcome.message
        return
    assert (outcome.name, outcome.exit_code) == ("published", 0)
    assert "check max_psi" in outcome.message
    assert {one["name"]: one["outcome"] for one in job.judge()["checks"]}["max_psi"] == "warn"


@pytest.mark.parametrize(("chunk_rows", "workers"), [(7, 1), (100_000, 1), (50, 2)])
def test_the_verdict_depends_on_neither_chunks_nor_workers(
    job: JobFolder, chunk_rows: int, workers: int
) -> None:
    """It is the number that numpy gives for all predictions at once."""
    job.configure(run={"chunk_rows": chunk_rows, "workers": workers})
    job.add("1.csv", crowd(0))
    job.run()
    job.add("2.csv", crowd(1))
    job.add("3.csv", crowd(0.5))
    job.run()
    value = {one["name"]: one["value"] for one in job.judge()["checks"]}["max_psi"]
    rows = [crowd(0), [*crowd(1), *crowd(0.5)]]
    model = joblib.load(job.folder / "model.joblib")
    before, after = (
        np.histogram(model.predict_proba(pd.DataFrame(one, columns=["id", "x", "y"])[["x", "y"]])[:, 1], 20, (0, 1))[0] + 0.5
        for one in rows
    )  # fmt: skip
    p, q = after / after.sum(), before / before.sum()
    assert value == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-12)


def test_null_predictions_are_counted(job: JobFolder) -> None:
    """One row with a null is one, however many of its predictions are null."""
    (job.folder / "hook.py").write_text(
        "def blank(frame):\n"
        "    frame.iloc[0, 1:] = None\n"
        "    return frame\n"
    )  # fmt: skip
    job.configure(model={"postprocess": "hook:blank"})
    job.add("1.csv", DAY)
    outcome = job.run()
    assert outcome.name == "held"
    assert "max_null_predictions: 0.3333 exceeds 0" in outcome.message


def test_what_comes_later_waits_for_a_held_run(job: JobFolder) -> None:
    """Records that came later would dilute what was judged."""
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY)
    held = job.run()
    job.add("2.csv", [(f"z{number}", 1, 1) for number in range(9)])
    again = job.run()
    assert (again.exit_code, again.run_id) == (3, held.run_id)
    job.configure(checks={"min_rows": 3})
    assert job.run().added.predicted == 3
    assert job.run().added.predicted == 9
    job.judge()


def test_a_held_run_whose_input_changed_is_planned_afresh(job: JobFolder) -> None:
    """With the correction, and with what came meanwhile."""
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY)
    assert job.run().exit_code == 3
    job.add("1.csv", [*DAY, ("d", 7, 8)])
    job.add("2.csv", [("e", 1, 1)])
    assert job.run().added.predicted == 5
    job.judge()


def test_rows_are_compared_with_the_last_run(job: JobFolder) -> None:
    """Whatever was published between: half a day's records are no day's."""
    job.configure(checks={"max_row_change": 0.5})
    job.add("1.csv", DAY)
    assert job.run().exit_code == 0
    job.add("2.csv", [("d", 1, 1)])
    outcome = job.run()
    assert outcome.exit_code == 3
    assert "1 record, 3 before" in outcome.message


def test_rows_are_not_compared_with_a_run_that_was_rolled_back(job: JobFolder) -> None:
    """It was wrong, so what is right differs from it."""
    job.configure(checks={"max_row_change": {"limit": 0.5}})
    job.add("1.csv", DAY)
    job.run()
    job.add("2.csv", [("d", 1, 1)])
    assert job.run().exit_code == 3
    for words in (["publish", "--force"], ["rollback"], ["unpause"]):
        with job.mirrored():
            result = CliRunner().invoke(main, [words[0], str(job.folder), *words[1:]])
        assert result.exit_code == 0, result.output
    job.add("2.csv", [(f"{key}2", x, y) for key, x, y in DAY])
    assert job.run().name == "published"


def test_more_keys_may_stand_twice_than_a_person_reads(job: JobFolder) -> None:
    """All of them count, five are named."""
    rows = [(f"k{number // 2}", 1, 1) for number in range(300)]
    job.add("1.csv", rows)
    job.configure(checks={"unique_key": 149})
    outcome = job.run()
    assert outcome.exit_code == 3
    assert "unique_key: 150 exceeds 149" in outcome.message
    job.configure(checks={"unique_key": 150})
    assert job.run().name == "published"


def test_keys_that_vanish_hold_a_replacement(job: JobFolder) -> None:
    """A full export that was cut off."""
    job.configure(output={"mode": "replace"}, checks={"max_key_loss": 0.4})
    job.add("all.csv", DAY)
    assert job.run().exit_code == 0
    job.add("all.csv", DAY[:2])
    assert job.run().exit_code == 0
    job.add("all.csv", DAY[:1])
    outcome = job.run()
    assert outcome.exit_code == 3
    assert "50.00% of the live keys would disappear" in outcome.message


def test_a_damaged_part_is_named_where_keys_are_compared(job: JobFolder) -> None:
    """With the next step, which helps; it is no bug."""
    job.configure(output={"mode": "replace"}, checks={"max_key_loss": 0.4})
    job.add("all.csv", DAY)
    assert job.run().name == "published"
    part = job.output / job.judge()["files"][0]["path"]
    part.write_bytes(part.read_bytes()[:-9])
    job.add("all.csv", DAY[:2])
    outcome = job.run()
    assert outcome.exit_code == 69
    assert f"{part}: bytes: found" in outcome.message
    assert outcome.hint.endswith(f"batch-predict verify {job.output}")
    code, said = command("verify", str(job.output))
    assert (code, "repair" in said) == (69, True)
    assert command("repair", str(job.folder))[0] == 0
    assert job.run().name == "published"


def test_key_loss_is_no_check_of_an_output_that_appends() -> None:
    """It loses none."""
    document = {
        "input": {"path": "*.csv", "key": ["id"]},
        "model": {"path": "m"},
        "output": {"path": "out"},
        "checks": {"max_key_loss": 0.1},
    }
    with pytest.raises(ValueError, match="max_key_loss requires"):
        JobSettings.model_validate(document)


def command(*arguments: str) -> tuple[int, str]:
    """The exit code and what is said."""
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_a_person_publishes_what_a_check_holds(job: JobFolder) -> None:
    """By --force alone; the version says that it was forced."""
    folder = str(job.folder)
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY)
    assert command("publish", folder) == (66, command("publish", folder)[1])
    held = job.run()
    assert command("publish", folder)[0] == 3
    assert command("publish", folder, "--force")[0] == 0
    manifest = job.judge()
    assert (manifest["version"], manifest["run_id"]) == (1, held.run_id)
    assert manifest["checks"][0]["outcome"] == "forced"
    assert job.run().name == "nothing to do"


def test_a_held_run_is_published_by_a_limit_that_lets_it_pass(job: JobFolder) -> None:
    """Without --force it is judged by the job file as it is now."""
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY)
    assert job.run().exit_code == 3
    job.configure(checks={"min_rows": 3})
    assert command("publish", str(job.folder))[0] == 0
    assert job.judge()["checks"][0]["outcome"] == "pass"


def test_one_held_run_is_named_where_none_of_that_id_is(job: JobFolder) -> None:
    """What there is instead."""
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY)
    held = job.run()
    for name in ("publish", "discard"):
        code, said = command(name, str(job.folder), "--run", "nonsense")
        assert code == 66
        assert f"held runs: {held.run_id}" in said


def test_a_check_is_told_with_its_value_and_its_limit() -> None:
    """What a person needs to decide."""
    check = CheckResult(name="max_psi", value=1.23456, limit=0.25, outcome="hold", detail="moved")
    assert as_text(check) == "max_psi: 1.235 exceeds 0.25: moved"
