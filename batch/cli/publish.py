"""`publish`: publish a held run."""

from __future__ import annotations

import sys

import click

from batch.cli.text import report


@click.command()
@click.argument("job")
@click.option("--force", is_flag=True, help="Publish whatever the checks say.")
@click.option("--run", "run_id", metavar="ID", help="The held run, if there are several.")
def publish(job: str, force: bool, run_id: str | None) -> None:
    """Publish the run of JOB that a check holds.

    Without --force the run is judged again, by the current limits of the job file.

    \b
    Example:
      batch-predict publish flight_delays
      batch-predict publish flight_delays --force
    """
    from batch.job.job_file import load_job
    from batch.run.attempt import Options
    from batch.run.held import publish_held

    found = load_job(job)
    outcome = publish_held(found, Options(), run_id=run_id, is_forced=force)
    report("publish", found.name, outcome)
    sys.exit(outcome.exit_code)
