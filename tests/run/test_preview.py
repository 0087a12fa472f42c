from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from batch.cli import main
from tests.support.jobs import JobFolder, save_tiny_model

ROWS = [("a", 1, 2), ("b", 3, 4)]


def dry_run(job: JobFolder) -> Result:
    """`batch-predict run JOB --dry-run`."""
    return CliRunner().invoke(main, ["run", str(job.folder), "--dry-run"])


def lines(job: JobFolder) -> list[str]:
    """What the dry run prints after its first line, each as `WHAT: REST`."""
    result = dry_run(job)
    assert result.exit_code == 0, result.output
    found = [line.strip().split("  ", 1) for line in result.output.splitlines()[1:]]
    return [f"{what}: {rest.strip()}" for what, rest in found]


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_says_what_is_new_and_writes_nothing(job: JobFolder, state_folder: Path) -> None:
    """How many, how large, which, and in how many slices."""
    job.add("1.csv", ROWS)
    job.add("2.csv", ROWS)
    before = contents(job.folder)
    result = dry_run(job)
    assert "would take in 2 inputs of 38 bytes, in 1 slice; nothing is published" in result.output
    assert "  new  2 inputs: 1.csv, 2.csv" in result.output
    assert contents(job.folder) == before
    assert not job.output.exists()
    assert not state_folder.exists()


def test_a_dry_run_tells_every_name_in_the_folder(job: JobFolder) -> None:
    """What waits and why, what matches nothing, what changed and what is gone."""
    job.add("1.csv", ROWS)
    job.add("2.csv", ROWS)
    job.run()
    job.add("1.csv", [("a", 2, 2)])
    (job.data / "2.csv").unlink()
    job.add("3.csv", ROWS)
    job.write("cut.csv", b"id,x,y\na,1")
    job.write("notes.txt", b"hello")
    assert lines(job) == [
        "new: 1 input: 3.csv",
        "changed: 1 input: 1.csv",
        "waits: cut.csv: no newline at its end, so it may be half-written (input.final_newline)",
        "no match: 1 name: notes.txt",
        "gone: 1 input: 2.csv",
    ]


def test_nothing_to_do_is_said(job: JobFolder) -> None:
    """With the version that stays."""
    job.add("1.csv", ROWS)
    job.run()
    assert "a run would find nothing to do; version 1 is live" in dry_run(job).output


def test_in_replace_mode_everything_is_predicted_again(job: JobFolder) -> None:
    """One new input makes a whole new version; an unsettled one stops it."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", ROWS)
    job.run()
    assert "nothing to do; version 1" in dry_run(job).output
    job.add("2.csv", [("c", 1, 1)])
    assert lines(job) == ["new: 1 input: 2.csv", "again: 1 input: 1.csv"]
    job.write("3.csv", b"id,x,y\nd,1")
    assert "nothing to do; version 1" in dry_run(job).output


def test_what_an_older_recipe_predicted_is_counted(job: JobFolder) -> None:
    """A new model predicts new inputs only."""
    job.add("1.csv", ROWS)
    job.run()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    assert "note: 1 earlier input predicted by an older recipe stay as they are" in lines(job)


def test_a_model_that_is_missing_does_not_hide_the_plan(job: JobFolder) -> None:
    """The run would stop; what it would have done is still an answer."""
    job.add("1.csv", ROWS)
    (job.folder / "model.joblib").unlink()
    found = lines(job)
    assert found[0] == "new: 1 input: 1.csv"
    assert found[1].startswith("note: a run would stop: ")
    assert "no such model" in found[1]


def test_an_output_that_went_back_in_time_is_noted(job: JobFolder) -> None:
    """An unmounted disk looks like an empty output."""
    job.add("1.csv", ROWS)
    job.run()
    job.output.rename(job.folder / "elsewhere")
    assert any("this host has seen version 1" in line for line in lines(job))


def test_slices_of_an_interrupted_run_are_counted_as_done(job: JobFolder) -> None:
    """They are taken over, not predicted again: here those of a run that a check held."""
    job.configure(checks={"min_rows": 100})
    job.add("1.csv", ROWS)
    assert job.run().exit_code == 3
    assert "in 1 slice (1 done by an earlier run)" in dry_run(job).output


def test_no_input_is_exit_66(job: JobFolder) -> None:
    """As in the run that this is the plan of."""
    result = dry_run(job)
    assert result.exit_code == 66
    assert "nothing matches" in result.output
