"""Commands that predict."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from batch.cli.output import as_bytes, as_count
from batch.errors import BadData
from batch.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.authoring.trial import Trial
    from batch.inputs.survey import Survey
    from batch.job.job import Job
    from batch.run.preview import Preview

#: Lines of a list that a person reads before "and more".
_SHOWN = 10


def _duration(context: click.Context, option: click.Parameter, value: str) -> timedelta:
    del context
    from batch.job.types import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from None


@click.command()
@click.argument("job")
@click.option("--dry-run", is_flag=True, help="Show what a run would do, and why; write nothing.")
@click.option(
    "--accept-older",
    is_flag=True,
    help="Go on although this host saw a newer version in the output.",
)
@click.option(
    "--wait",
    default="0s",
    metavar="10m",
    callback=_duration,
    help="Wait so long for another run on this host to end.",
)
def run(job: str, dry_run: bool, accept_older: bool, wait: timedelta) -> None:
    """Predict every new input of JOB and publish a new version.

    Prints nothing without a terminal unless something is wrong. The exit code says what: see the
    table in the README.

    \b
    Example:
      batch-predict run flight_delays
      batch-predict run flight_delays --dry-run
    """
    from batch.job.job_file import load_job
    from batch.run.machine import use_one_heap

    found = load_job(job)
    use_one_heap(found.settings.input.resolved_format)
    from batch.cli.output import progress_bar, report
    from batch.run.runner import Options
    from batch.run.runner import run as run_job

    if dry_run:
        return _print_plan(found)
    with progress_bar(found.name) as progress:
        outcome = run_job(found, Options(accept_older=accept_older, wait=wait, progress=progress))
    report("run", found.name, outcome)
    sys.exit(outcome.exit_code)


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
    "--input",
    "input_",
    metavar="FILE",
    help="Take the records from this file, not from the newest input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def try_(job: str, rows: int, input_: str | None, as_json: bool) -> None:
    """Predict the first records of JOB's newest input and show them; write nothing.

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


def _print_plan(job: Job) -> None:
    """What a run would do and why, in the order in which a person asks."""
    from batch.cli.output import print_facts
    from batch.run.preview import preview

    plan = preview(job)
    click.echo(f"{job.name}: {_intention(plan)}")
    print_facts([*_facts(plan.found), *(("note", note) for note in _notes(plan))])


def _intention(plan: Preview) -> str:
    live = f"version {plan.version} is live" if plan.version else "nothing is published yet"
    if not plan.found.todo:
        return f"a run would find nothing to do; {live}"
    size = sum(planned.size for planned in plan.found.todo)
    done = f" ({plan.done:,} done by an earlier run)" if plan.done else ""
    return (
        f"a run would take in {as_count(len(plan.found.todo), 'input')} of {as_bytes(size)}, "
        f"in {as_count(plan.slices, 'slice')}{done}; {live}"
    )


def _facts(found: Survey) -> list[tuple[str, str]]:
    """Every name that lies in the input folder or the ledger, by what a run does with it."""
    facts = []
    for reason in ("new", "changed", "again"):
        names = [planned.path for planned in found.todo if planned.reason == reason]
        facts.append((reason, _listed(names, "input")))
    waiting = [f"{wait.path}: {wait.reason}" for wait in found.waiting]
    facts += [("waits", line) for line in waiting[:_SHOWN]]
    facts.append(("waits", f"{len(waiting) - _SHOWN:,} more" if len(waiting) > _SHOWN else ""))
    facts.append(("too old", _listed(found.too_old, "input")))
    facts.append(("no match", _listed(found.unmatched, "name")))
    facts.append(("gone", _listed(found.gone, "input")))
    return [(name, value) for name, value in facts if value]


def _notes(plan: Preview) -> list[str]:
    if not plan.outdated:
        return list(plan.notes)
    outdated = as_count(plan.outdated, "earlier input")
    return [*plan.notes, f"{outdated} predicted by an older recipe stay as they are"]


def _print_trial(trial: Trial, *, as_json: bool) -> None:
    """The predicted rows that fit the terminal, the rejects, and where the time went."""
    from batch.cli.output import print_json

    if as_json:
        print_json(_trial_document(trial))
        return
    click.echo(
        f"{trial.job.name}: {as_count(trial.records, 'record')} of {trial.input} "
        f"(as of {trial.as_of:%Y-%m-%d}): {trial.predicted:,} predicted, "
        f"{len(trial.rejects):,} rejected; nothing is written"
    )
    if trial.predicted:
        _print_predictions(trial)
    for reject in trial.rejects[:_SHOWN]:
        column = f", column {reject.column!r}" if reject.column else ""
        click.echo(f"  rejected: record {reject.row}{column}: {reject.reason}: {reject.raw[:200]}")
    if len(trial.rejects) > _SHOWN:
        click.echo(f"  … {as_count(len(trial.rejects) - _SHOWN, 'more reject')}")
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
    from batch.cli.output import print_table

    assert trial.predictions is not None, "there are predicted rows"
    first = trial.predictions.slice(0, _SHOWN).drop_columns(["_input", "_as_of"]).to_pydict()
    names = _fitting(first, last=trial.job.settings.output.passthrough)
    print_table(list(zip(*(first[name] for name in names), strict=True)), names)
    if trial.predicted > _SHOWN:
        click.echo(f"  … {as_count(trial.predicted - _SHOWN, 'more row')} (--rows, --json)")
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
    return len(f"{value:.6g}" if isinstance(value, float) else str(value))


def _listed(names: Sequence[str], noun: str) -> str:
    """`3 inputs: a, b, c`, and no more than a few of them; "" for none."""
    if not names:
        return ""
    return f"{as_count(len(names), noun)}: {listed(names, _SHOWN // 2)}"
