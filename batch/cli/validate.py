"""Commands for writing a job file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.authoring.init import Initialized
    from batch.authoring.validate import Verdict


@click.command()
@click.argument("folder")
@click.option("--model", required=True, metavar="FILE", help="The model that will predict.")
@click.option("--input", "sample", required=True, metavar="FILE", help="One file of records.")
@click.option(
    "--key",
    required=True,
    multiple=True,
    metavar="COLUMN",
    help="Column by which predictions are looked up; repeat for several.",
)
def init(folder: str, model: str, sample: str, key: Sequence[str]) -> None:
    """Write FOLDER/job.toml for a model and a sample of its input; `run` works at once.

    \b
    Example:
      batch-predict init jobs/churn --model churn.joblib --input data/2026-01-31.csv --key id
    """
    from batch.authoring.init import initialize

    _print_initialized(folder, initialize(folder, model=model, sample=sample, key=key))


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB…")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def validate(jobs: Sequence[str], as_json: bool) -> None:
    """Report every mistake of each JOB: its file, its model, and its newest input.

    \b
    Example:
      batch-predict validate jobs/*
    """
    from batch.authoring.validate import validate as validate_job
    from batch.cli.text import print_json

    verdicts = [validate_job(job) for job in jobs]
    if as_json:
        print_json(verdicts)
    else:
        _print_verdicts(verdicts)
    sys.exit(max(verdict.exit_code for verdict in verdicts))


@click.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    \b
    Example:
      batch-predict schema > job.schema.json
    """
    from batch.cli.text import print_json
    from batch.job.schema import job_schema

    print_json(job_schema())


@click.command("iam-policy")
@click.argument("job")
@click.option("--readers", is_flag=True, help="The policy for applications that read the output.")
@click.option("--lifecycle", is_flag=True, help="Lifecycle rules for the bucket of the output.")
def iam_policy(job: str, readers: bool, lifecycle: bool) -> None:
    """Print the least IAM policy that runs of JOB need on S3.

    \b
    Example:
      batch-predict iam-policy flight_delays > runner.json
      batch-predict iam-policy flight_delays --readers > readers.json
      batch-predict iam-policy flight_delays --lifecycle > lifecycle.json
    """
    from batch.cli.text import print_json
    from batch.job.job_file import load_job
    from batch.job.permissions import lifecycle as rules
    from batch.job.permissions import reader_policy, runner_policy

    if readers and lifecycle:
        raise click.UsageError("--readers and --lifecycle are two documents: ask for one")
    make = reader_policy if readers else rules if lifecycle else runner_policy
    print_json(make(load_job(job)))


def _print_initialized(folder: str, made: Initialized) -> None:
    matches = "1 file matches" if made.matches == 1 else f"{made.matches:,} files match"
    click.echo(f"wrote {made.file}")
    click.echo(f"  input.path = {made.pattern!r}: {matches} now")
    for note in made.notes:
        click.echo(f"  {note}")
    click.echo(f"  next: batch-predict try {folder}")


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        count = len(verdict.mistakes)
        judgement = f"{count} mistake{'' if count == 1 else 's'}" if count else "ok"
        facts = f" ({', '.join(verdict.facts)})" if verdict.facts and not count else ""
        click.echo(f"{verdict.job}: {judgement}{facts}")
        for mistake in verdict.mistakes:
            click.echo(f"  {mistake.message}")
            if mistake.hint:
                click.echo(f"    next: {mistake.hint}")
        for note in verdict.notes:
            click.echo(f"  note: {note}")
