"""`unpause`: resume runs after a rollback."""

from __future__ import annotations

import click

from batch.cli.text import say


@click.command()
@click.argument("job")
def unpause(job: str) -> None:
    """Resume the runs of JOB after a rollback.

    The next run predicts the inputs processed since then again, with the model in place by then.

    \b
    Example:
      batch-predict unpause flight_delays
    """
    from batch.job.job_file import load_job
    from batch.logs import utc_now
    from batch.output.read import open_output
    from batch.upkeep.rollback import unpause as let_go_on

    found = load_job(job)
    manifest = let_go_on(open_output(found), found, clock=utc_now)
    if manifest is None:
        say(f"{found.name}: not paused")
    else:
        say(f"{found.name}: published version {manifest.version}: runs resume from here")
