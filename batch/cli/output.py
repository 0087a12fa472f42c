"""What a person reads: aligned columns, one block for an error, a bar while they wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from batch.run import outcome


def complain(message: str, hint: str = "", *details: str) -> None:
    """One block on stderr: what and where, then the next step."""
    first, *rest = message.splitlines() or [""]
    click.echo(f"batch-predict: {first}", err=True)
    for line in [*rest, *details]:
        click.echo(f"  {line}", err=True)
    if hint:
        click.echo(f"  next: {hint}", err=True)


def report(what: str, name: str, outcome: outcome.RunResult) -> None:
    """One line for a person who watches, one block when something is wrong."""
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
        complain(f"{what} {name}: {outcome.message}", outcome.hint, *details)


def is_watched() -> bool:
    """Whether a person sees the output; cron turns any output into a mail."""
    return sys.stdout.isatty() or sys.stderr.isatty()


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """The header, then the rows, aligned."""
    for line in aligned(rows, header):
        click.echo(line)


def aligned(rows: Sequence[Sequence[object]], header: Sequence[str]) -> Iterator[str]:
    """Columns of equal width; numbers to the right, also where some are missing."""
    texts = [[as_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [_is_numeric([row[index] for row in rows]) for index in range(len(header))]
    for line in [list(header), *texts]:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        click.echo(f"  {name.ljust(width)}  {value}".rstrip())


def print_json(value: object) -> None:
    """Anything msgspec can encode, for programs."""
    import msgspec

    data = msgspec.json.encode(value, enc_hook=str)
    click.echo(msgspec.json.format(data, indent=2).decode())


@contextmanager
def progress_bar(title: str) -> Iterator[outcome.Progress]:
    """A bar on stderr while a person watches, else nothing."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("slices, {task.fields[records]:,} records"),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(title, total=None, records=0)

    def show(done: int, slices: int, records: int) -> None:
        bar.start()  # Not before there is something to do.
        bar.update(task, completed=done, total=slices, records=records)

    try:
        yield show
    finally:
        bar.stop()


def as_count(number: int, noun: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def as_bytes(size: float) -> str:
    """A size in the unit that a person would choose."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.0f} bytes" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"


def as_seconds(seconds: float) -> str:
    """A duration in the unit that a person would choose."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _is_numeric(cells: Sequence[object]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(isinstance(cell, int | float) for cell in there)


def as_text(cell: object) -> str:
    """One value of a table."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.6g}"
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return str(cell)
