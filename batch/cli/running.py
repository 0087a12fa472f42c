"""Commands that predict."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from batch.reporting import Outcome


@click.command()
@click.argument("job")
@click.option("--dry-run", is_flag=True, help="Show what a run would do, and why; write nothing.")
@click.option("--accept-older", is_flag=True,
              help="Go on although this host saw a newer version in the output.")
def run(job: str, dry_run: bool, accept_older: bool) -> None:
    """Predict every new input of JOB and publish a new version.

    Prints nothing without a terminal unless something is wrong. The exit code says what: see the
    table in the README.

    \b
    Example:
      batch-predict run flight_delays
      batch-predict run flight_delays --dry-run
    """
    from batch.cli.output import progress_bar
    from batch.jobfile import load_job
    from batch.runner import Options
    from batch.runner import run as run_job

    found = load_job(job)
    if dry_run:
        return _print_plan(found)
    with progress_bar(found.name) as progress:
        outcome = run_job(found, Options(accept_older=accept_older, progress=progress))
    _report(found.name, outcome)
    sys.exit(outcome.exit_code)


@click.command(name="try")
@click.argument("job")
@click.option("--rows", default=100, show_default=True, help="How many records to predict.")
@click.option("--input", "input_", help="Take the records from this file, not from the newest.")
def try_(job: str, rows: int, input_: str | None) -> None:
    """Predict a few records of JOB and show them; publish nothing.

    \b
    Example:
      batch-predict try flight_delays --rows 20
    """
    from batch.jobfile import load_job
    from batch.trying import try_job

    _print_trial(try_job(load_job(job), rows=rows, path=input_))


def _report(name: str, outcome: Outcome) -> None:
    """One line for a person who watches, one block when something is wrong."""
    from batch.cli.output import complain, is_watched

    watched = is_watched()
    if outcome.exit_code == 0:
        if watched:
            click.echo(f"{name}: {outcome.message}")
            if outcome.hint:
                click.echo(f"  {outcome.hint}")
    elif outcome.name != "locked" or watched:
        details = [f"{bad.path}: {bad.reason}" for bad in outcome.unreadable]
        if outcome.run_id:
            details.append(f"run: {outcome.run_id}")
        complain(f"run {name}: {outcome.message}", outcome.hint, *details)
