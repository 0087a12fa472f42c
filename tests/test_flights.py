"""The demo job on the real flights, against a plain pandas script; row by row."""

from __future__ import annotations

import pytest

from tests.support import oracle
from tests.support.flights import arrive, require_equal
from tests.support.jobs import JobFolder, touch

# Training takes seconds: one process trains once for all tests on flights.
pytestmark = pytest.mark.xdist_group("flights")


def test_runs_that_follow_each_other_equal_one_pandas_script(flights: JobFolder) -> None:
    """Two weeks, then three days one by one, then a corrected file and a re-sent one."""
    assert flights.run().version == 1
    require_equal(flights)
    for day in (15, 16, 17):
        arrive(flights, day)
        flights.run()
    require_equal(flights)
    corrected = flights.data / "2013-12-03.csv"
    lines = corrected.read_text().splitlines(keepends=True)
    corrected.write_text("".join(lines[:1] + lines[11:]))
    touch(corrected)
    touch(flights.data / "2013-12-04.csv")
    assert flights.run().added.inputs == 1
    require_equal(flights)


def test_replace_equals_a_pandas_script_over_the_present_files(flights: JobFolder) -> None:
    """The version holds the files that are there, and none that were."""
    job_file = flights.folder / "job.toml"
    job_file.write_text(job_file.read_text().replace('# mode = "append"', 'mode = "replace"  #'))
    flights.run()
    require_equal(flights)
    (flights.data / "2013-12-01.csv").unlink()
    assert flights.run().version == 2
    require_equal(flights)


def test_cancelled_flights_are_rejects_that_say_why(flights: JobFolder) -> None:
    """A flight without a departure has nothing to predict from."""
    flights.run()
    manifest = oracle.judge(flights.output)
    rejects = oracle.rows_of(flights.output, manifest, "rejects")
    assert {(row["column"], row["reason"]) for row in rejects} == {
        ("dep_delay", "null in a non-nullable column")
    }
    assert manifest["totals"]["rejected"] == len(rejects) > 0
