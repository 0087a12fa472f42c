"""Past inputs predicted again where input, model and output are on S3."""

from __future__ import annotations

from datetime import date

from click.testing import CliRunner

from batch.cli import main
from batch.job.job_file import load_job
from batch.run.attempt import Options
from batch.run.backfill import backfill
from batch.run.selection import Request
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model

PLACES = ("moto", "rgw")


def test_a_backfill_by_another_model_and_by_that_of_a_version(job: JobFolder) -> None:
    """One day by another model, then all by the one of the first version: as it was before."""
    job.configure(input={"path": "data/{date}.csv"})
    for number in range(1, 4):
        job.add(f"2026-01-0{number}.csv", [(f"a{number}", number, 1), ("daily", 1, number)])
    assert job.run().version == 1
    before = sorted(map(repr, job.rows()))
    other = save_tiny_model(job.folder / "other.joblib", strength=0.01)
    with job.mirrored():
        day = date(2026, 1, 2)
        found, options = load_job(str(job.folder)), Options()
        one_day = Request(first=day, last=day, model=str(other))
        assert backfill(found, one_day, options).added.inputs == 1
    oracle.judge(job.output)
    assert sorted(map(repr, job.rows())) != before
    with job.mirrored():
        everything = Request(inputs=("*",), model="v1")
        assert backfill(found, everything, options).version == 3
    job.judge()
    assert sorted(map(repr, job.rows())) == before


def test_a_held_backfill_is_published_by_a_person(job: JobFolder) -> None:
    """And it blocks no run before."""
    job.configure(checks={"min_rows": 2})
    job.add("1.csv", [("a", 1, 1)])
    job.add("2.csv", [("b", 1, 2)])
    assert job.run().version == 1
    with job.mirrored():
        held = backfill(load_job(str(job.folder)), Request(inputs=("1.csv",)), Options())
    assert held.exit_code == 3
    assert job.run().name == "nothing to do"
    with job.mirrored():
        arguments = ["publish", str(job.folder), "--force"]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    assert job.judge()["version"] == 2
