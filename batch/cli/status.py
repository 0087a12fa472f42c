"""`status`: show the state of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, print_facts, print_json
from batch.wording import counted, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.reports.coverage import DateRange
    from batch.reports.status import Status

#: Lines about dates.
_SHOWN = 10


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB…]")
@AS_JSON
def status(jobs: Sequence[str], as_json: bool) -> None:
    """Show the state of each JOB: live version, age, open inputs.

    By default of all jobs in jobs/. Where input.path contains {date}, it also lists which dates
    are complete, missing, not ready, unreadable, held by a check, or predicted by an older recipe.

    JOB may also be an OUTPUT folder or URL.

    \b
    Example:
      batch-predict status
      batch-predict status flight_delays --json
    """
    from batch.logs import utc_now
    from batch.reports.status import read_status
    from batch.reports.target import find_target

    found = [read_status(find_target(job), now=utc_now()) for job in jobs or _all_jobs()]
    if as_json:
        print_json(found)
        return
    for index, one in enumerate(found):
        if index:
            click.echo()
        _print_status(one)


def _all_jobs() -> list[str]:
    from pathlib import Path

    from batch.errors import NoInput

    found = sorted(str(file.parent) for file in Path("jobs").glob("*/job.toml"))
    if not found:
        raise NoInput(
            "no JOB given, and there is no jobs/*/job.toml here",
            "give a job file, its folder, or an OUTPUT folder or URL",
        )
    return found


def _print_status(status: Status) -> None:
    click.echo(status.job)
    print_facts([(name, value) for name, value in _facts(status) if value])
    for bad in status.unreadable[:10]:
        click.echo(f"    {bad.path}: {bad.reason}")


def _facts(status: Status) -> list[tuple[str, str]]:
    totals, last = status.totals, status.last_run
    live = "nothing is published yet" if status.is_readable else "unknown"
    if status.version is not None and status.published_at is not None:
        stale = ", stale" if status.is_stale else ""
        live = (
            f"version {status.version}, published {status.published_at:%Y-%m-%d %H:%M:%S} UTC "
            f"({lasting(status.age_seconds or 0)} ago{stale})"
        )
    inputs = [] if status.todo is None else [f"{status.todo:,} to predict"]
    inputs += [f"{status.waiting:,} waiting"] if status.waiting else []
    inputs += [f"{len(status.unreadable):,} unreadable"] if status.unreadable else []
    return [
        ("live", live),
        ("paused", status.paused or ""),
        ("trouble", status.trouble),
        ("records", f"{totals.predicted:,} predicted, {totals.rejected:,} rejected, "
                    f"from {counted(totals.inputs, 'input')}" if status.version else ""),
        ("inputs", ", ".join(inputs)),
        *_dates(status.dates),
        ("outdated", f"{counted(status.outdated, 'input')} predicted by an older recipe"
                     if status.outdated else ""),
        ("pending", ", ".join(status.pending)),
        ("last run", f"{last.at:%Y-%m-%d %H:%M:%S} UTC on {last.host}: {last.outcome}"
                     if last else ""),
        ("model", (status.model or "")[:12]),
        ("output", status.output),
    ]  # fmt: skip


def _dates(ranges: Sequence[DateRange]) -> list[tuple[str, str]]:
    """The newest, and how many more there are."""
    shown = ranges[-_SHOWN:]
    names = [f"{one.first} to {one.last}" if one.last > one.first else f"{one.first}"
             for one in shown]  # fmt: skip
    width = max(map(len, names), default=0)
    lines = [
        f"{name.ljust(width)}  {_coverage(one)}" for name, one in zip(names, shown, strict=True)
    ]
    if left_out := ranges[:-_SHOWN]:
        days = (left_out[-1].last - left_out[0].first).days + 1
        lines.insert(0, f"… {counted(days, 'earlier day')} in {counted(len(left_out), 'line')}; "
                        "--json has all")  # fmt: skip
    return list(zip(["dates", *[""] * len(lines)], lines, strict=False))


def _coverage(one: DateRange) -> str:
    """The state, and how many inputs are in it."""
    if not one.inputs:
        return f"{one.state}, no input"
    share = f"{one.affected:,} of " if one.affected < one.inputs else ""
    left = " not processed yet" if one.state == "missing" else ""
    return f"{one.state}, {share}{counted(one.inputs, 'input')}{left}"
