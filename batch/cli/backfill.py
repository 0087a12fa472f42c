"""`backfill`: predict past inputs again."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from batch.cli.text import print_facts, print_table, progress_bar, report
from batch.wording import counted, lasting, listed, sized

if TYPE_CHECKING:
    from batch.job.job_file import Job
    from batch.run.backfill import Proposal
    from batch.run.selection import Request

#: Days and names of a plan before "more".
_SHOWN_DAYS, _SHOWN = 31, 5


def _date(_context: click.Context, option: click.Parameter, value: str | None) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a date such as 2013-12-01", param=option
        ) from None


@click.command()
@click.argument("job")
@click.option("--from", "first", metavar="DATE", callback=_date, help="First date, in UTC.")
@click.option("--to", "last", metavar="DATE", callback=_date, help="Last date, included.")
@click.option(
    "--input",
    "inputs",
    metavar="PATTERN",
    multiple=True,
    help="Inputs whose path in the input folder matches; repeat for several.",
)
@click.option(
    "--only",
    type=click.Choice(["missing", "rejected", "outdated"]),
    help="Only inputs never processed, with rejects, or predicted by an outdated recipe.",
)
@click.option(
    "--model",
    metavar="FILE|vN",
    help="Use this model, not the job's: a file, or v41 for the model of version 41.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of processes, instead of run.workers."
)
@click.option("--dry-run", is_flag=True, help="Show the plan by date; write nothing.")
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
def backfill(job: str, workers: int | None, dry_run: bool, yes: bool, **conditions: Any) -> None:
    """Predict past inputs of JOB again, as one new version.

    Select inputs by date, name or state; all conditions must match. Runs continue meanwhile. To
    resume an interrupted backfill, give the same command again.

    \b
    Example:
      batch-predict backfill flight_delays --from 2013-12-01 --to 2013-12-14 --dry-run
      batch-predict backfill flight_delays --only outdated
      batch-predict backfill flight_delays --from 2013-12-20 --model v3
    """
    from batch.job.job_file import load_job
    from batch.run.machine import use_one_heap

    found = load_job(job)
    use_one_heap(found.settings.input.resolved_format)
    from batch.run.selection import Request

    if workers:
        found = found.with_workers(workers)
    request = Request(**conditions)
    if dry_run:
        _propose(found, request)
    elif yes or not sys.stdin.isatty() or _agreed(found, request):
        _carry_out(found, request)


def _carry_out(job: Job, request: Request) -> None:
    from batch.run.attempt import Options
    from batch.run.backfill import backfill as predict_again

    with progress_bar(job.name) as progress:
        outcome = predict_again(job, request, Options(progress=progress))
    report("backfill", job.name, outcome)
    sys.exit(outcome.exit_code)


def _agreed(job: Job, request: Request) -> bool:
    """Whether a person who has seen the plan wants it."""
    if not _propose(job, request).choice.todo:
        return False
    try:
        return click.confirm("Predict these again?")
    except click.Abort:
        click.echo()
        return False  # Nothing was begun.


def _propose(job: Job, request: Request) -> Proposal:
    from batch.run.attempt import Options
    from batch.run.backfill import propose

    plan = propose(job, request, Options())
    _print_plan(job, request, plan)
    return plan


def _print_plan(job: Job, request: Request, plan: Proposal) -> None:
    from batch.run.selection import bounds

    todo = plan.choice.todo
    size = sized(sum(one.size for one in todo))
    took = "" if plan.seconds is None else f", about {lasting(plan.seconds)}"
    live = f"version {plan.version} is live" if plan.version else "nothing is published yet"
    what = f"a backfill of {counted(len(todo), 'input')}, {size}{took}" if todo else "nothing to do"
    click.echo(f"{job.name}: {what}; {live}")
    _print_facts(plan, bounds(request))
    if plan.days:
        click.echo()
        _print_days(plan)


def _print_facts(plan: Proposal, bounds: str) -> None:
    choice = plan.choice
    by = "" if plan.has_dates else " (by modification time: input.path has no {date})"
    facts = [
        ("range", f"{bounds}{by}: {counted(choice.in_range, 'input')}"),
        ("model", plan.model[:12]),
        ("waits", listed([one.path for one in choice.waiting], _SHOWN)),
        ("gone", listed(choice.gone, _SHOWN)),
        ("too old", listed(choice.too_old, _SHOWN)),
    ]
    print_facts([(name, value) for name, value in facts if value])


def _print_days(plan: Proposal) -> None:
    print_table(
        [
            (f"{day.day}", day.inputs, sized(day.bytes), day.records or None, day.new,
             day.inputs - day.new, ", ".join(model[:12] for model in day.models) or None)
            for day in plan.days[:_SHOWN_DAYS]
        ],
        ["date (UTC)", "inputs", "size", "records", "new", "replaced", "predicted by"],
    )  # fmt: skip
    if len(plan.days) > _SHOWN_DAYS:
        click.echo(f"… {counted(len(plan.days) - _SHOWN_DAYS, 'more date')}")
