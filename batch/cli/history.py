"""`history`: list runs and versions."""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, aligned, print_json
from batch.wording import command, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.reports.history import Event, History


@click.command()
@click.argument("job")
@click.option(
    "--last", default=20, show_default=True, type=click.IntRange(min=1),
    help="How many events to show.",
)  # fmt: skip
@AS_JSON
def history(job: str, last: int, as_json: bool) -> None:
    """List the runs and versions of JOB, newest last.

    Includes failed runs and every kind of version. JOB may also be an OUTPUT folder or URL.

    \b
    Example:
      batch-predict history flight_delays
      batch-predict history flight_delays --last 100 --json
    """
    from batch.reports.history import read_history
    from batch.reports.status import pending_runs
    from batch.reports.target import find_target

    target = find_target(job)
    store = target.store
    found = read_history(store, last=last)
    if as_json:
        print_json(found.events)
        return
    if found.events:
        _print_events(found.events)
    else:
        click.echo("No run yet.")
    if found.trouble:
        click.echo(f"the versions cannot be read: {found.trouble}")
    for unfinished in pending_runs(store):
        click.echo(f"not published: {unfinished}")
    _print_way_back(target.job.reference if target.job else None, found)


def _print_events(events: Sequence[Event]) -> None:
    """A line each; below it what went wrong. Attempts at one run that end alike are one line."""
    groups = [list(group) for _, group in itertools.groupby(events, key=_alike)]
    lines = aligned(
        [_cells(group[-1], len(group)) for group in groups],
        ["version", "when (UTC)", "what", "exit", "inputs", "predicted", "rejects", "took",
         "model", "by"],
    )  # fmt: skip
    room = shutil.get_terminal_size((10_000, 24)).columns
    click.echo(_cut(next(lines), room))
    for line, group in zip(lines, groups, strict=True):
        click.echo(_cut(line, room))
        if group[-1].message:
            click.echo(_cut(f"         {group[-1].message.splitlines()[0]}", room))


def _alike(event: Event) -> tuple[object, ...]:
    return event.version or 0, event.run_id, event.outcome


def _cells(event: Event, times: int) -> list[object]:
    added, is_run = event.added, event.exit_code is not None or event.added.inputs
    return [
        _version(event),
        f"{event.at:%Y-%m-%d %H:%M}",
        f"{_what(event)}{f', {times:,} times' if times > 1 else ''}",
        event.exit_code,
        *([added.inputs, added.predicted, added.rejected] if is_run else [None] * 3),
        None if event.seconds is None else lasting(event.seconds),
        (event.model or "-")[:12],
        event.by,
    ]


def _version(event: Event) -> str:
    """In brackets what is no longer kept."""
    if event.version is None:
        return "-".rjust(7)
    return (f"{event.version}" if event.is_kept else f"({event.version})").rjust(7)


def _what(event: Event) -> str:
    if event.kind == "run":
        return event.outcome
    return event.kind if event.outcome == "published" else f"{event.kind}: {event.outcome}"


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else f"{line[: room - 1]}…"


def _print_way_back(job: str | None, found: History) -> None:
    """Which versions there are, and how to go back to one."""
    from batch.output.read import kept_range

    if found.live is None or found.oldest_kept is None:
        return
    line = f"live is version {found.live}; {kept_range(found.oldest_kept, found.live)}"
    if job and found.oldest_kept < found.live:
        line += f"; to go back: {command('rollback', job, '--to', found.live - 1)}"
    click.echo(line)
