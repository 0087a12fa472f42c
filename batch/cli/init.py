"""`init`: write a job file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batch.cli.text import say
from batch.wording import command, counted

if TYPE_CHECKING:
    from batch.authoring.init import Initialized


@click.command()
@click.argument("folder")
@click.option("--model", required=True, metavar="FILE", help="The model to predict with.")
@click.option("--input", "sample", required=True, metavar="FILE", help="A file of records.")
@click.option(
    "--key",
    required=True,
    multiple=True,
    metavar="COLUMN",
    help="The column applications look predictions up by; repeat for several.",
)
def init(folder: str, model: str, sample: str, key: Sequence[str]) -> None:
    """Write FOLDER/job.toml for a model and a sample of its input.

    The job is ready to run, and the file explains every key.

    \b
    Example:
      batch-predict init jobs/churn --model churn.joblib --input data/2026-01-31.csv --key id
    """
    from batch.authoring.init import initialize

    _print_initialized(initialize(folder, model=model, sample=sample, key=key))


def _print_initialized(made: Initialized) -> None:
    match = "matches" if made.matches == 1 else "match"
    say(f"wrote {made.file}")
    say(f"  input.path = {made.pattern!r}: {counted(made.matches, 'file')} {match} now")
    for note in made.notes:
        say(f"  {note}")
    say(f"  next: {command('try', made.file.parent.resolve())}")
