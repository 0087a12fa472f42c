"""status, history and show, as a person or a program reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.jobs import JobFolder


@pytest.fixture
def published(job: JobFolder) -> JobFolder:
    """Two versions: a record that was sent again with a later file, a reject, a bad file."""
    job.configure(input={"path": "data/{date}.csv"})
    job.add("2026-01-01.csv", [("a", 1, 2), ("b", 3, "oops")])
    job.run()
    job.add("2026-01-02.csv", [("a", 4, 4)])
    job.write("2026-01-03.csv", b"other\n1\n")
    job.run()
    return job


def as_json(job: JobFolder, command: str, *options: str) -> Any:
    """What a program gets."""
    found = job.command(command, str(job.folder), *options, "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_status_says_what_is_live_and_what_is_wrong(published: JobFolder) -> None:
    """In one screen."""
    text = published.command("status", str(published.folder)).stdout
    for part in ("version 2", "2 predicted, 1 rejected, from 2 inputs", "1 unreadable",
                 "2026-01-03.csv: no column", "last run"):  # fmt: skip
        assert part in text
    (status,) = as_json(published, "status")
    assert (status["version"], status["todo"], status["is_stale"]) == (2, 1, False)


def test_status_of_a_job_that_never_ran_is_no_error(job: JobFolder) -> None:
    """It says so, and what is wrong with the input."""
    found = job.command("status", str(job.folder))
    assert found.returncode == 0
    assert "nothing is published yet" in found.stdout
    assert "nothing matches" in found.stdout


def test_history_lists_runs_of_every_outcome(published: JobFolder) -> None:
    """Also those that published nothing."""
    published.configure(input={"path": "data/{date}.csv"}, model={"methods": ["transform"]})
    assert published.run().exit_code == 78
    records = as_json(published, "history")
    assert [(record["outcome"], record["version"]) for record in records] == [
        ("published", 1), ("published", 2), ("does not fit", None)]  # fmt: skip
    assert "does not fit" in published.command("history", str(published.folder)).stdout


def test_show_prints_rows_and_rejects(published: JobFolder) -> None:
    """The newest parts first."""
    rows = as_json(published, "show")
    assert [row["id"] for row in rows] == ["a", "a"]
    assert rows[0]["_input"] == "2026-01-02.csv"
    (reject,) = as_json(published, "show", "--rejects")
    assert (reject["column"], reject["raw"]) == ("y", "b,3,oops")


def test_show_key_tells_where_each_row_came_from(published: JobFolder) -> None:
    """The latest first, each with its input, record number and run."""
    rows = as_json(published, "show", "--key", "a")
    assert [row["_input"] for row in rows] == ["2026-01-02.csv", "2026-01-01.csv"]
    assert all(row["run_id"] for row in rows)
    assert as_json(published, "show", "--key", "nobody") == []


def test_reading_commands_take_an_output_folder(published: JobFolder) -> None:
    """For whoever has the output and not the job."""
    for command in ("status", "history", "show"):
        assert published.command(command, str(published.output)).returncode == 0


def test_an_unknown_job_says_what_was_looked_for(job: JobFolder) -> None:
    """Exit 66, and the jobs there are."""
    found = job.command("status", "nobody", cwd=job.folder)
    assert found.returncode == 66
    assert "jobs/nobody/job.toml" in found.stderr


def test_commands_work_from_another_folder_without_an_environment(job: JobFolder) -> None:
    """As cron calls them."""
    job.add("1.csv", [("a", 1, 2)])
    state = {"BATCH_PREDICT_STATE": str(job.folder / "state")}
    found = job.command("run", str(job.folder), cwd="/", env=state)
    assert (found.returncode, found.stderr) == (0, "")
    job.judge()
