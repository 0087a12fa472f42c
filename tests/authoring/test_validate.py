from __future__ import annotations

import json
import os
import time
from pathlib import Path

import joblib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression

from batch.authoring.validate import Verdict, validate
from batch.cli import main
from tests.support.jobs import LATE, SAMPLE, JobFolder, save_tiny_model

ROWS = [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)]


def verdict(job: JobFolder) -> Verdict:
    """What `validate` finds."""
    return validate(str(job.folder))


def only_mistake(job: JobFolder) -> str:
    """The one thing that is wrong, with its exit code before it and the hint after it."""
    found = verdict(job)
    assert len(found.mistakes) == 1, found.mistakes
    return f"{found.exit_code}: {found.mistakes[0].message} -> {found.mistakes[0].hint}"


def command(*arguments: object) -> Result:
    """`batch-predict validate …`."""
    return CliRunner().invoke(main, ["validate", *map(str, arguments)])


def without_sidecar(job: JobFolder, **columns: object) -> None:
    """The model as plain joblib leaves it; the job file gives these columns their types."""
    (job.folder / "model.joblib.json").unlink()
    job.configure(input={"columns": columns})


def test_a_good_job_is_ok(job: JobFolder) -> None:
    """With the facts that were checked, and exit code 0."""
    job.add("1.csv", ROWS)
    found = verdict(job)
    assert (found.exit_code, found.mistakes, found.notes) == (0, (), ())
    facts = ("LogisticRegression", "5 golden rows agree", "1 input", "predicted 3 records of 1.csv")
    assert found.facts == facts
    result = command(job.folder)
    assert result.exit_code == 0
    assert result.output == f"{job.folder}: ok ({', '.join(facts)})\n"


def test_validating_writes_nothing(job: JobFolder, state_folder: Path) -> None:
    """It may run anywhere, as often as one likes."""
    job.add("1.csv", ROWS)
    before = set(job.folder.rglob("*"))
    verdict(job)
    assert set(job.folder.rglob("*")) == before
    assert not state_folder.exists()


def test_no_input_yet_is_no_mistake(job: JobFolder) -> None:
    """A job is written before its records arrive; the pattern may also be wrong, so it is noted."""
    found = verdict(job)
    assert found.exit_code == 0
    assert "nothing matches" in found.notes[0]
    (job.data / "notes.txt").write_text("hello")
    assert "1 other files are there, such as notes.txt" in verdict(job).notes[0]


def test_mistakes_of_all_jobs_are_reported_together(job: JobFolder, tmp_path: Path) -> None:
    """One block for each; the exit code is that of the worst."""
    job.add("1.csv", ROWS)
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "job.toml").write_text("inptu = 3\n[model]\npath = 1\n")
    result = command(tmp_path / "wrong", job.folder, tmp_path / "missing")
    assert result.exit_code == 78
    lines = result.output.splitlines()
    assert lines[0] == f"{tmp_path}/wrong: 4 mistakes"
    assert [line.split(": ")[1] for line in lines[1:5]] == [
        "input",
        "output",
        "inptu",
        "model.path",
    ]
    assert lines[5].startswith("    next: `")
    assert "schema` prints" in lines[5]
    assert lines[6].startswith(f"{job.folder}: ok (")
    assert lines[7] == f"{tmp_path}/missing: 1 mistake"
    assert command(tmp_path / "missing").exit_code == 66


def test_json_holds_the_same(job: JobFolder) -> None:
    """For programs that check many jobs."""
    job.add("1.csv", [*ROWS, ("d", "bad", 1)])
    document = json.loads(command(job.folder, "--json").output)
    assert document[0]["job"] == str(job.folder)
    assert document[0]["mistakes"] == []
    assert document[0]["notes"] == [
        "1.csv: 1 of 4 records are rejects, the first: record 3, column 'x': found 'bad', expected float64"
    ]


def test_a_missing_model_is_named(job: JobFolder) -> None:
    """With where it was looked for."""
    (job.folder / "model.joblib").unlink()
    assert only_mistake(job).startswith(f"78: {job.folder}/model.joblib: no such model")


def test_another_model_than_the_pinned_one_is_refused(job: JobFolder) -> None:
    """The pin is there for this."""
    job.configure(model={"sha256": "0" * 64})
    assert "the job file pins 000" in only_mistake(job)


def test_a_sidecar_of_another_model_is_refused(job: JobFolder) -> None:
    """Once it is old enough not to be a replacement under way."""
    sidecar = (job.folder / "model.joblib.json").read_bytes()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    (job.folder / "model.joblib.json").write_bytes(sidecar)
    assert only_mistake(job).startswith("75: ")
    for name in ("model.joblib", "model.joblib.json"):
        os.utime(job.folder / name, (time.time() - 120, time.time() - 120))
    assert only_mistake(job).startswith("78: ")


def test_golden_rows_that_differ_are_refused(job: JobFolder) -> None:
    """The model does not predict here what it predicted where it was trained."""
    file = job.folder / "model.joblib.json"
    document = json.loads(file.read_text())
    document["golden"]["predictions"]["probability_no"][0] = 0.123
    file.write_text(json.dumps(document))
    assert "golden row 0: probability_no is" in only_mistake(job)


def test_a_method_that_the_model_lacks_is_refused(job: JobFolder) -> None:
    """Before the first record."""
    job.configure(model={"methods": ["predict", "transform"]})
    assert "the model (LogisticRegression) has no transform" in only_mistake(job)


def test_a_hook_that_is_missing_is_refused(job: JobFolder) -> None:
    """With the file that it should be in."""
    without_sidecar(job, x="float64", y="float64")
    job.configure(
        input={"columns": {"x": "float64", "y": "float64"}}, model={"preprocess": "hooks:double"}
    )
    assert "put hooks.py with the function double into the job folder" in only_mistake(job)


def test_columns_without_a_type_are_named(job: JobFolder) -> None:
    """In text formats nothing is guessed; Parquet has types of its own."""
    without_sidecar(job, x="float64")
    job.add("1.csv", ROWS)
    assert "no type for the columns y" in only_mistake(job)
    job.configure(input={"path": "data/*.parquet"})
    pq.write_table(pa.table({"id": ["a"], "x": [1.0], "y": [2.0]}), job.data / "1.parquet")
    assert verdict(job).exit_code == 0


def test_features_that_the_model_was_not_fitted_with_are_refused(job: JobFolder) -> None:
    """Named by what is unknown and what is missing."""
    without_sidecar(job)
    columns = {"x": "float64", "z": "float64"}
    job.configure(input={"columns": columns}, model={"features": ["x", "z"]})
    assert "model.features: not those that the model was fitted with: unknown: z; missing: y" in (
        only_mistake(job)
    )


def test_a_column_that_nothing_reads_is_noted(job: JobFolder) -> None:
    """A typo there would be silent otherwise."""
    job.configure(input={"columns": {"xx": "float64"}})
    assert "input.columns.xx: nothing reads this column; did you mean 'x'?" in verdict(job).notes


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("id,x,z", "no column 'y'; found 'id', 'x', 'z'"),
        ("id;x;y", "no column 'id', 'x', 'y'; found 'id;x;y'"),
    ],
)
def test_an_unreadable_input_says_why(job: JobFolder, header: str, reason: str) -> None:
    """It is mostly the job file that is wrong about it."""
    job.add("1.csv", ROWS, header=header)
    assert only_mistake(job).startswith(f"65: 1.csv: {reason}")


def test_more_rejects_than_a_run_allows_are_a_mistake(job: JobFolder) -> None:
    """The run would call the input unreadable."""
    job.add("1.csv", [*ROWS, *((str(number), "bad", 1) for number in range(11))])
    assert only_mistake(job).startswith(
        "65: 1.csv: 11 of 14 records are rejects, the first: record 3"
    )


def test_nothing_but_rejects_is_a_mistake(job: JobFolder) -> None:
    """However few they are."""
    job.add("1.csv", [("a", "1,5", 1)])
    assert "1 of 1 records are rejects" in only_mistake(job)


def test_a_job_that_would_mix_with_another_is_refused(job: JobFolder) -> None:
    """Key, mode and name of an output stay."""
    job.add("1.csv", ROWS)
    job.run()
    job.configure(output={"mode": "replace"})
    assert "holds predictions with mode 'append'" in only_mistake(job)


def test_a_model_fitted_without_names_needs_features(job: JobFolder) -> None:
    """Nothing else could say which columns it reads."""
    without_sidecar(job)
    joblib.dump(LogisticRegression().fit(SAMPLE.to_numpy(), LATE), job.folder / "model.joblib")
    assert "set model.features" in only_mistake(job)
