from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from batch.authoring.trial import Trial, try_job
from batch.cli import main
from batch.errors import BadData, DoesNotFit, NoInput
from batch.job.job_file import load_job
from tests.support.jobs import JobFolder

ROWS = [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)]
HOOK = """
def double(frame):
    import helper
    return helper.double(frame)
"""


def trial(job: JobFolder, rows: int = 100, path: Path | None = None) -> Trial:
    """What `try` finds."""
    return try_job(load_job(str(job.folder)), rows=rows, path=str(path) if path else None)


def command(job: JobFolder, *arguments: str, width: int = 80) -> Result:
    """`batch-predict try JOB`, in a terminal of so many columns."""
    runner = CliRunner(env={"COLUMNS": str(width)})
    return runner.invoke(main, ["try", str(job.folder), *arguments])


def files(folder: Path) -> set[Path]:
    """Everything below a folder."""
    return set(folder.rglob("*"))


def test_a_trial_predicts_what_a_run_publishes(job: JobFolder) -> None:
    """The very rows, columns and types, where they came from included."""
    job.add("1.csv", ROWS)
    found = trial(job)
    job.run()
    assert found.predictions is not None
    assert found.predictions.to_pylist() == job.rows()
    assert (found.input, found.records, found.predicted) == ("1.csv", 3, 3)
    assert found.seconds.keys() == {"find input", "load model", "read", "predict"}


def test_a_trial_writes_nothing(job: JobFolder, state_folder: Path) -> None:
    """Not into the job folder, not even the folder of the output, and nothing this host remembers."""
    job.add("1.csv", ROWS)
    before = files(job.folder)
    trial(job)
    assert files(job.folder) == before
    assert not state_folder.exists()


def test_a_trial_takes_the_newest_input_even_if_a_run_would_wait(job: JobFolder) -> None:
    """Whoever tries has just put it there; its name's date counts more than its time."""
    job.configure(input={"path": "data/{date}.csv"})
    job.add("2024-01-02.csv", ROWS)
    job.add("2024-01-01.csv", ROWS[:1])
    (job.data / "2024-01-03.csv").write_text("id,x,y\nnew,1,1")  # Young, and not ended.
    assert trial(job).input == "2024-01-03.csv"


def test_a_trial_takes_any_file(job: JobFolder, tmp_path: Path) -> None:
    """Wherever it lies and whatever its name; the job says how to read it."""
    job.add("1.csv", ROWS)
    elsewhere = tmp_path / "_sample.txt"
    elsewhere.write_text("id,x,y\nz,1,1\n")
    found = trial(job, path=elsewhere)
    assert found.predictions is not None
    assert found.predictions["id"].to_pylist() == ["z"]
    assert found.input == "_sample.txt"


def test_a_file_given_by_hand_has_the_date_of_its_name(job: JobFolder) -> None:
    """Inside the input folder it is the input it would be in a run."""
    job.configure(input={"path": "data/{date}.csv"})
    path = job.add("2024-01-02.csv", ROWS)
    assert f"{trial(job, path=path).as_of:%Y-%m-%d}" == "2024-01-02"


def test_a_trial_stops_after_its_rows(job: JobFolder) -> None:
    """A reject is one of them, as it is one of the records of a run."""
    job.add("1.csv", [("a", 1, 2), ("b", "bad", 4), ("c", 1, 2), ("d", 1, 2)])
    found = trial(job, rows=3)
    assert (found.records, found.predicted, len(found.rejects)) == (3, 2, 1)
    assert found.first_reject == "record 1, column 'x': found 'bad', expected float64"
    assert found.rejects[0].raw == "b,bad,4"


def test_records_of_many_chunks_are_numbered_through(job: JobFolder) -> None:
    """The model raises on a missing value, in the second chunk; that record is named."""
    nullable = {"x": {"type": "float64", "nullable": True}}
    job.configure(input={"path": "data/*.jsonl", "columns": nullable}, run={"chunk_rows": 2})
    records = [{"id": str(number), "x": number if number != 3 else None, "y": 1}
               for number in range(6)]  # fmt: skip
    job.write("1.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
    found = trial(job, rows=5)
    assert found.predictions is not None
    assert found.predictions["_row"].to_pylist() == [0, 1, 2, 4]
    assert found.first_reject.startswith("record 3: the model raised ValueError: Input X contains")
    assert json.loads(found.rejects[0].raw) == records[3]


def test_a_parquet_input_is_tried_with_its_own_types(job: JobFolder) -> None:
    """A whole-number key stays one."""
    job.configure(input={"path": "data/*.parquet"})
    table = pa.table({"id": [2**53 + 1], "x": [1.0], "y": [2.0]})
    pq.write_table(table, job.data / "1.parquet")
    found = trial(job)
    assert found.predictions is not None
    assert found.predictions["id"].to_pylist() == [2**53 + 1]


def test_hooks_import_late_and_leave_nothing_to_the_next_job(
    job: JobFolder, tmp_path: Path
) -> None:
    """Two jobs of one process have modules of the same name."""
    (job.folder / "model.joblib.json").unlink()
    columns = {"x": "float64", "y": "float64"}
    job.configure(input={"columns": columns}, model={"preprocess": "hooks:double"})
    job.add("1.csv", ROWS)
    (job.folder / "hooks.py").write_text(HOOK)
    (job.folder / "helper.py").write_text("def double(frame):\n    return frame * 2\n")
    other = JobFolder(shutil.copytree(job.folder, tmp_path / "other"))
    (other.folder / "helper.py").write_text("def double(frame):\n    return frame * 0\n")
    first, second, again = trial(job), trial(other), trial(job)
    assert first.predictions != second.predictions
    assert first.predictions == again.predictions


def test_an_unreadable_input_is_named(job: JobFolder) -> None:
    """Exit code 65, like the run."""
    job.add("1.csv", ROWS, header="id,x,z")
    with pytest.raises(BadData, match=r"1\.csv: no column 'y'; found 'id', 'x', 'z'"):
        trial(job)
    assert command(job).exit_code == 65


def test_no_input_says_so(job: JobFolder) -> None:
    """Nothing that matches, or no such file."""
    with pytest.raises(NoInput, match="nothing matches"):
        trial(job)
    with pytest.raises(NoInput, match=r"gone\.csv: no such file"):
        trial(job, path=job.data / "gone.csv")


def test_a_job_that_would_mix_with_another_is_refused(job: JobFolder) -> None:
    """Before anyone waits for a run to say so."""
    job.add("1.csv", ROWS)
    job.run()
    job.configure(input={"key": ["x"]})
    with pytest.raises(DoesNotFit, match="found predictions with key"):
        trial(job)


def test_try_prints_rows_rejects_and_times(job: JobFolder) -> None:
    """What a person wants to see before the first run."""
    job.add("1.csv", [*ROWS, ("d", "", 1)])
    result = command(job)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert "4 records of 1.csv" in lines[0]
    assert "3 predicted, 1 rejected; nothing was written" in lines[0]
    assert lines[1].split() == ["id", "prediction", "probability_no", "probability_yes", "_row"]
    assert lines[2].startswith("a ")
    assert lines[5] == "  rejected: record 3, column 'x': null in a non-nullable column: d,,1"
    assert lines[6].startswith("  find input 0.")


def test_a_narrow_terminal_gets_the_columns_it_has_room_for(job: JobFolder) -> None:
    """Carried columns give way first; the others are named."""
    job.configure(output={"passthrough": ["note"]})
    job.add("1.csv", [(*row, "n" * 30) for row in ROWS], header="id,x,y,note")
    result = command(job, width=60)
    lines = result.output.splitlines()
    assert max(len(line) for line in lines[1:5]) <= 60
    assert lines[1].split()[:3] == ["id", "prediction", "probability_no"]
    assert "  … and the columns note" in result.output


def test_only_the_first_rows_are_printed(job: JobFolder) -> None:
    """A terminal is not a spreadsheet; --json has them all."""
    job.add("1.csv", [(f"k{number:02}", number, 1) for number in range(30)])
    result = command(job)
    assert "k09" in result.output
    assert "k10" not in result.output
    assert "… 20 more rows" in result.output
    document = json.loads(command(job, "--json").output)
    assert len(document["rows"]) == document["predicted"] == 30
    assert document["rows"][0]["id"] == "k00"


def test_nothing_but_rejects_is_exit_65(job: JobFolder) -> None:
    """A script that tries before it installs a cron line must notice."""
    job.add("1.csv", [("a", "bad", 1), ("b", "", 1)])
    result = command(job, "--json")
    assert result.exit_code == 65
    document = json.loads(result.output)
    assert [reject["column"] for reject in document["rejects"]] == ["x", "x"]
    assert document["rows"] == []


def test_an_empty_input_has_no_records(job: JobFolder) -> None:
    """Header only: that is fine, and there is nothing to predict."""
    job.add("1.csv", [])
    result = command(job)
    assert result.exit_code == 0
    assert "0 records of 1.csv" in result.output
