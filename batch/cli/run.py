"""`run`: predict new inputs and publish a version."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from batch.cli.text import print_facts, progress_bar, report
from batch.wording import counted, listed, sized

if TYPE_CHECKING:
    from batch.inputs.survey import Survey
    from batch.job.job_file import Job
    from batch.run.preview import Preview

#: Lines of a list before "more".
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
    help="Continue even if this host has seen a newer version of the output.",
)
@click.option(
    "--wait",
    default="0s",
    metavar="DURATION",
    callback=_duration,
    help="Wait up to this long, e.g. 10m, for another run on this host to finish.",
)
def run(job: str, dry_run: bool, accept_older: bool, wait: timedelta) -> None:
    """Predict every new input of JOB and publish a new version.

    Prints nothing without a terminal, unless something is wrong. The README lists the exit codes.

    \b
    Example:
      batch-predict run flight_delays
      batch-predict run flight_delays --dry-run
    """
    from batch.job.job_file import load_job
    from batch.run.machine import use_one_heap

    found = load_job(job)
    use_one_heap(found.settings.input.resolved_format)
    from batch.run.runner import Options
    from batch.run.runner import run as run_job

    if dry_run:
        return _print_plan(found)
    with progress_bar(found.name) as progress:
        outcome = run_job(found, Options(accept_older=accept_older, wait=wait, progress=progress))
    report("run", found.name, outcome)
    sys.exit(outcome.exit_code)


def _print_plan(job: Job) -> None:
    """What a run would do, and why."""
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
        f"a run would process {counted(len(plan.found.todo), 'input')}, {sized(size)}, "
        f"in {counted(plan.slices, 'slice')}{done}; {live}"
    )


def _facts(found: Survey) -> list[tuple[str, str]]:
    """Every name in the input folder or the ledger, by what a run does with it."""
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
    outdated = counted(plan.outdated, "earlier input")
    return [*plan.notes, f"{outdated} predicted by an older recipe, left as is"]


def _listed(names: Sequence[str], noun: str) -> str:
    """`3 inputs: a, b, c`, and no more than a few of them; "" for none."""
    if not names:
        return ""
    return f"{counted(len(names), noun)}: {listed(names, _SHOWN // 2)}"
