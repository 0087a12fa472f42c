"""`try`: predict a few records and show them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, as_value, print_json, print_records
from batch.errors import BadData
from batch.wording import counted

if TYPE_CHECKING:
    from batch.authoring.trial import Trial

#: Lines of a list before "more".
_SHOWN = 10


@click.command(name="try")
@click.argument("job")
@click.option(
    "--rows",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many records to predict.",
)
@click.option(
    "--input", "input_", metavar="FILE", help="Read records from this file, not the newest input."
)
@AS_JSON
def try_(job: str, rows: int, input_: str | None, as_json: bool) -> None:
    """Predict the first records of an input and show them.

    By default the newest input of JOB. Nothing is written.

    \b
    Example:
      batch-predict try flight_delays --rows 20
      batch-predict try flight_delays --input ~/one-more-day.csv
    """
    from batch.authoring.trial import try_job
    from batch.job.job_file import load_job

    trial = try_job(load_job(job), rows=rows, path=input_)
    _print_trial(trial, as_json=as_json)
    if trial.rejects and not trial.predicted:
        sys.exit(BadData.exit_code)


def _print_trial(trial: Trial, *, as_json: bool) -> None:
    """The predicted rows that fit the terminal, the rejects, and where the time went."""
    if as_json:
        print_json(_trial_document(trial))
        return
    click.echo(
        f"{trial.job.name}: {counted(trial.records, 'record')} of {trial.input} "
        f"(as of {trial.as_of:%Y-%m-%d}): {trial.predicted:,} predicted, "
        f"{len(trial.rejects):,} rejected; nothing was written"
    )
    if trial.predicted:
        _print_predictions(trial)
    for reject in trial.rejects[:_SHOWN]:
        column = f", column {reject.column!r}" if reject.column else ""
        click.echo(f"  rejected: record {reject.row}{column}: {reject.reason}: {reject.raw[:200]}")
    if len(trial.rejects) > _SHOWN:
        click.echo(f"  … {counted(len(trial.rejects) - _SHOWN, 'more reject')}")
    click.echo("  " + ", ".join(f"{name} {took:.2f} s" for name, took in trial.seconds.items()))


def _trial_document(trial: Trial) -> dict[str, object]:
    return {
        "job": trial.job.name,
        "input": trial.input,
        "as_of": trial.as_of,
        "records": trial.records,
        "predicted": trial.predicted,
        "rejected": len(trial.rejects),
        "rows": trial.predictions.to_pylist() if trial.predictions is not None else [],
        "rejects": trial.rejects,
        "seconds": trial.seconds,
    }


def _print_predictions(trial: Trial) -> None:
    assert trial.predictions is not None, "there are predicted rows"
    first = trial.predictions.slice(0, _SHOWN).drop_columns(["_input", "_as_of"]).to_pydict()
    names = _fitting(first, last=trial.job.settings.output.passthrough)
    print_records(list(zip(*(first[name] for name in names), strict=True)), names)
    if trial.predicted > _SHOWN:
        click.echo(f"  … {counted(trial.predicted - _SHOWN, 'more row')} (--rows, --json)")
    if left_out := [name for name in first if name not in names]:
        click.echo(f"  … and the columns {', '.join(left_out)}")


def _fitting(columns: dict[str, list[object]], *, last: Sequence[str]) -> list[str]:
    """The columns that a terminal has room for; those of `last` give way first."""
    import shutil

    left, kept = shutil.get_terminal_size().columns, set[str]()
    for name in sorted(columns, key=lambda name: name in last):
        left -= max(len(name), *(_width(value) for value in columns[name])) + 2
        if left < 0 and kept:
            break
        kept.add(name)
    return [name for name in columns if name in kept]


def _width(value: object) -> int:
    return len(as_value(value))
