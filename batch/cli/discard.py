"""`discard`: abandon held runs."""

from __future__ import annotations

import click

from batch.cli.text import say


@click.command()
@click.argument("job")
@click.option("--run", "run_id", metavar="ID", help="Only this run, held or interrupted.")
def discard(job: str, run_id: str | None) -> None:
    """Abandon the runs of JOB that a check holds.

    The next run predicts their inputs again. With --run, an interrupted run can be abandoned too:
    it will not be resumed.

    \b
    Example:
      batch-predict discard flight_delays
    """
    from batch.job.job_file import load_job
    from batch.logs import utc_now
    from batch.output.read import open_output
    from batch.run.held import discard as give_up

    found = load_job(job)
    runs = give_up(open_output(found), now=utc_now(), run_id=run_id)
    if not runs:
        say(f"{found.name}: no run is held")
    for one in runs:
        after = "the next run predicts its inputs again" if one.kind == "run" else "nothing changes"
        say(f"{found.name}: abandoned {one.kind} {one.run_id}; {after}")
