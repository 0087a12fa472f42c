"""Every date between the first and the last has one state, and the worst of its inputs counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batch.logs import utc_now
from batch.reports.status import Status, read_status
from batch.reports.target import find_target
from tests.support.jobs import JobFolder, save_tiny_model

ROWS = [("a", 1, 2)]


def status(job: JobFolder) -> Status:
    """How the job is doing."""
    return read_status(find_target(str(job.folder)), now=utc_now())


def dates(job: JobFolder) -> list[tuple[str, str, str, int, int]]:
    """First and last day of each range without the year, its state, inputs, and those affected."""
    return [
        (f"{one.first:%m-%d}", f"{one.last:%m-%d}", one.state, one.inputs, one.affected)
        for one in status(job).dates
    ]


@pytest.fixture
def dated(job: JobFolder) -> JobFolder:
    """A job of two shops, whose inputs of January 1 to 3 are taken in."""
    job.configure(input={"path": "data/*/{date}.csv"})
    for day in (1, 2, 3):
        add(job, day)
    job.run()
    return job


def add(job: JobFolder, *days: int, shop: str = "a") -> None:
    """Write inputs of days of January 2026."""
    for day in days:
        job.add(f"{shop}/2026-01-{day:02}.csv", ROWS)


def test_dates_of_one_state_are_one_range(dated: JobFolder) -> None:
    """With the number of their inputs."""
    assert dates(dated) == [("01-01", "01-03", "complete", 3, 3)]
    text = dated.command("status", str(dated.folder)).stdout
    assert "dates     2026-01-01 to 2026-01-03  complete, 3 inputs" in text


def test_a_date_without_inputs_is_missing_and_so_is_one_that_is_open(dated: JobFolder) -> None:
    """The two are told apart."""
    add(dated, 6, 7)
    add(dated, 6, shop="b")
    assert dates(dated)[1:] == [
        ("01-04", "01-05", "missing", 0, 0),
        ("01-06", "01-07", "missing", 3, 3),
    ]
    text = dated.command("status", str(dated.folder)).stdout
    assert "2026-01-04 to 2026-01-05  missing, no input\n" in text
    assert "2026-01-06 to 2026-01-07  missing, 3 inputs not processed yet\n" in text
    dated.run()
    add(dated, 7, shop="b")
    assert dates(dated)[2:] == [("01-06", "01-06", "complete", 2, 2),
                                ("01-07", "01-07", "missing", 2, 1)]  # fmt: skip


def test_what_waits_and_what_cannot_be_read_is_said(dated: JobFolder) -> None:
    """One bad input is enough, and an unreadable one is worse than one that waits."""
    add(dated, 4, 5)
    dated.write("b/2026-01-04.csv", b"id,x,y\na,1,2")
    dated.write("b/2026-01-05.csv", b"other\n1\n")
    dated.run()
    assert dates(dated)[1:] == [("01-04", "01-04", "waiting", 2, 1),
                                ("01-05", "01-05", "unreadable", 2, 1)]  # fmt: skip
    dated.write("c/2026-01-05.csv", b"id,x,y\na,1,2")
    assert dates(dated)[-1] == ("01-05", "01-05", "unreadable", 3, 1)
    assert "unreadable, 1 of 3 inputs" in dated.command("status", str(dated.folder)).stdout
    dated.add("b/2026-01-05.csv", ROWS)
    dated.run()
    assert dates(dated)[-1] == ("01-04", "01-05", "waiting", 5, 2)


def test_a_backfill_does_not_hide_what_the_last_run_could_not_read(dated: JobFolder) -> None:
    """It was not asked for that input."""
    dated.write("a/2026-01-04.csv", b"other\n1\n")
    dated.run()
    folder = str(dated.folder)
    found = dated.command("backfill", folder, "--to", "2026-01-01", "--yes")
    assert found.returncode == 0, found.stderr
    assert dates(dated)[-1] == ("01-04", "01-04", "unreadable", 1, 1)


def test_what_a_check_holds_is_held_until_it_is_given_up(dated: JobFolder) -> None:
    """Then it is open again."""
    dated.configure(input={"path": "data/*/{date}.csv"}, checks={"min_rows": 10})
    add(dated, 4)
    assert dated.run().exit_code == 3
    assert dates(dated)[-1] == ("01-04", "01-04", "held", 1, 1)
    assert dated.command("discard", str(dated.folder)).returncode == 0
    assert dates(dated)[-1] == ("01-04", "01-04", "missing", 1, 1)


def test_what_another_recipe_predicted_is_named(dated: JobFolder) -> None:
    """Inputs that are gone count as they were predicted."""
    (dated.data / "a" / "2026-01-02.csv").unlink()
    save_tiny_model(dated.folder / "model.joblib", strength=0.01)
    add(dated, 3, 4, shop="b")
    dated.run()
    assert dates(dated) == [
        ("01-01", "01-03", "older recipe", 4, 3),
        ("01-04", "01-04", "complete", 1, 1),
    ]


def test_what_left_with_the_window_is_not_spoken_of(dated: JobFolder) -> None:
    """Neither are older inputs that come late."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (0, 1, 2):
        dated.add(f"a/{today - timedelta(days=days):%Y-%m-%d}.csv", ROWS)
    dated.configure(input={"path": "data/*/{date}.csv"}, output={"window": "30d"})
    dated.run()
    add(dated, 9)
    (found,) = status(dated).dates
    assert (found.state, found.last, found.inputs) == ("complete", today.date(), 3)


def test_a_job_of_every_week_misses_no_days_in_between(job: JobFolder) -> None:
    """Only a week."""
    job.configure(input={"path": "data/*/{date}.csv"})
    add(job, 1, 8, 15, 29)
    job.run()
    assert dates(job) == [
        ("01-01", "01-15", "complete", 3, 3),
        ("01-22", "01-22", "missing", 0, 0),
        ("01-29", "01-29", "complete", 1, 1),
    ]


def test_several_inputs_of_one_day_are_one_date(job: JobFolder) -> None:
    """Hours are not told apart."""
    job.configure(input={"path": "data/{date:%Y%m%d-%H}.csv"})
    for hour in (0, 12, 23):
        job.add(f"20260101-{hour:02}.csv", ROWS)
    job.run()
    assert dates(job) == [("01-01", "01-01", "complete", 3, 3)]


def test_without_a_date_in_the_path_nothing_is_said(job: JobFolder) -> None:
    """Nor where only the output is known."""
    job.add("1.csv", ROWS)
    job.run()
    assert dates(job) == []
    assert "dates" not in job.command("status", str(job.folder)).stdout
    assert job.command("status", str(job.output)).returncode == 0


def test_before_the_first_run_everything_is_missing(job: JobFolder) -> None:
    """It is there, and not taken in."""
    job.configure(input={"path": "data/*/{date}.csv"})
    add(job, 1, 2)
    assert dates(job) == [("01-01", "01-02", "missing", 2, 2)]


def test_the_newest_lines_are_shown_and_the_others_counted(job: JobFolder) -> None:
    """--json has all."""
    job.configure(input={"path": "data/*/{date}.csv"})
    add(job, *range(1, 32, 2), 30)
    job.run()
    text = job.command("status", str(job.folder)).stdout
    assert "… 19 earlier days in 19 lines; --json has all" in text
    assert "2026-01-29 to 2026-01-31  complete, 3 inputs" in text
    (found,) = as_json(job)
    assert len(found["dates"]) == 29
    assert found["dates"][0] == {"first": "2026-01-01", "last": "2026-01-01",
                                 "state": "complete", "inputs": 1, "affected": 1}  # fmt: skip


def as_json(job: JobFolder) -> Any:
    """What a program gets."""
    return json.loads(job.command("status", str(job.folder), "--json").stdout)
