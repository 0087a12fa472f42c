"""`validate`: report the mistakes of jobs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, print_json
from batch.wording import counted

if TYPE_CHECKING:
    from batch.authoring.validate import Verdict


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB…")
@AS_JSON
def validate(jobs: Sequence[str], as_json: bool) -> None:
    """Report every mistake in the configuration of each JOB.

    Checks the job file, the model and the newest input; writes nothing. Exits with the code of
    the worst mistake.

    \b
    Example:
      batch-predict validate jobs/*
    """
    from batch.authoring.validate import validate as validate_job

    verdicts = [validate_job(job) for job in jobs]
    if as_json:
        print_json(verdicts)
    else:
        _print_verdicts(verdicts)
    sys.exit(max(verdict.exit_code for verdict in verdicts))


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        count = len(verdict.mistakes)
        judgement = counted(count, "mistake") if count else "ok"
        facts = f" ({', '.join(verdict.facts)})" if verdict.facts and not count else ""
        click.echo(f"{verdict.job}: {judgement}{facts}")
        for mistake in verdict.mistakes:
            click.echo(f"  {mistake.message}")
            if mistake.hint:
                click.echo(f"    next: {mistake.hint}")
        for note in verdict.notes:
            click.echo(f"  note: {note}")
