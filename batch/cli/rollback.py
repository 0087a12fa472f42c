"""`rollback`: go back to an earlier version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import say
from batch.wording import command, counted, listed

if TYPE_CHECKING:
    from batch.job.job_file import Job
    from batch.upkeep.rollback import WayBack

_SHOWN = 5


@click.command()
@click.argument("job")
@click.option(
    "--to", type=click.IntRange(min=1), metavar="VERSION", help="Default: the version before."
)
@click.option("--reason", default="", metavar="TEXT", help="Shown while the job is paused.")
def rollback(job: str, to: int | None, reason: str) -> None:
    """Publish an earlier version of JOB again and pause its runs.

    Runs do nothing until `unpause`. Nothing is deleted, so a rollback can be undone.

    \b
    Example:
      batch-predict rollback flight_delays --reason "the new model is wrong"
      batch-predict rollback flight_delays --to 41
    """
    from batch.job.job_file import load_job
    from batch.logs import utc_now
    from batch.output.read import open_output
    from batch.upkeep.rollback import look_back, roll_back

    found = load_job(job)
    store = open_output(found)
    way = look_back(store, found, to=to)
    _print_way_back(found, way)
    back = f"rolled back from version {way.live.version} to version {way.target.version}"
    manifest = roll_back(
        store, found, way, reason=f"{back}: {reason}" if reason else back, clock=utc_now
    )
    say(
        f"{found.name}: published version {manifest.version}: the content of version "
        f"{way.target.version}; paused"
    )
    say(f"  next: correct the model or the input, then `{command('unpause', found.reference)}`")


def _print_way_back(job: Job, way: WayBack) -> None:
    say(f"{job.name}: rolling back from version {way.live.version} to version {way.target.version}")
    if way.reopened:
        say(
            f"  {counted(len(way.reopened), 'input')} processed since then will be predicted again "
            f"after unpause: {listed(way.reopened, _SHOWN)}"
        )
