"""How the command line speaks: options of every command, aligned columns, a block for an error, a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from batch.logs import log, show_logs
from batch.wording import decimal

if TYPE_CHECKING:
    from batch.run import outcome

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dataclass
class Voice:
    """How much a call prints apart from its results, and in which form."""

    verbosity: int = 0
    is_quiet: bool = False
    log_format: str = "text"


def complain(message: str, hint: str = "", *details: str) -> None:
    """One block on stderr: what and where, then the next step."""
    if voice().log_format == "json":
        log.error(message, extra={"hint": hint, "details": details})
        return
    first, *rest = message.splitlines() or [""]
    click.echo(f"batch-predict: {first}", err=True)
    for line in [*rest, *details]:
        click.echo(f"  {line}", err=True)
    if hint:
        click.echo(f"  next: {hint}", err=True)


def report(what: str, name: str, outcome: outcome.RunResult) -> None:
    """One line on a terminal, or a block anywhere if something is wrong."""
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


def say(line: str) -> None:
    """A line about a success, which --quiet leaves out."""
    if not voice().is_quiet:
        click.echo(line)


def is_watched() -> bool:
    """Whether a person sees the output; cron turns any output into a mail."""
    return not voice().is_quiet and (sys.stdout.isatty() or sys.stderr.isatty())


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Counts under their names, aligned: thousands are grouped."""
    for line in aligned(rows, header):
        click.echo(line)


def print_records(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Values of data under their names, aligned; a key is printed as it is: `9514`."""
    for line in aligned(rows, header, is_data=True):
        click.echo(line)


def aligned(
    rows: Sequence[Sequence[object]], header: Sequence[str], *, is_data: bool = False
) -> Iterator[str]:
    """Columns of equal width; numbers to the right, also where some are missing."""
    write = as_value if is_data else as_text
    texts = [[write(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [_is_numeric([row[index] for row in rows]) for index in range(len(header))]
    for line in [list(header), *texts]:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def print_facts(
    facts: Sequence[tuple[str, str]], *, out: Callable[[str], None] = click.echo
) -> None:
    """Names and values, aligned."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        out(f"  {name.ljust(width)}  {value}".rstrip())


def print_json(value: object) -> None:
    """Anything msgspec can encode, for programs."""
    import msgspec

    data = msgspec.json.encode(value, enc_hook=str)
    click.echo(msgspec.json.format(data, indent=2).decode())


@contextmanager
def progress_bar(title: str) -> Iterator[outcome.Progress]:
    """A bar on stderr while a person watches, else nothing; log lines would tear it."""
    if not sys.stderr.isatty() or voice().is_quiet or voice().verbosity:
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


def as_text(cell: object) -> str:
    """One value of a table of counts."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return as_value(cell)


def as_value(cell: object) -> str:
    """One value of a record."""
    if cell is None:
        return "-"
    return decimal(cell).replace(",", "") if isinstance(cell, float) else str(cell)


def voice() -> Voice:
    """The voice of the command that is running."""
    context = click.get_current_context(silent=True)
    return context.find_root().ensure_object(Voice) if context else Voice()


def _is_numeric(cells: Sequence[object]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(isinstance(cell, int | float) for cell in there)


def _hear(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Add what was said before the command to what was said after it."""
    said = context.find_root().ensure_object(Voice)
    match option.name:
        case "verbose":
            said.verbosity += value
        case "quiet":
            said.is_quiet |= value
        case "log_format":
            said.log_format = value or said.log_format
    show_logs(said.verbosity, log_format=said.log_format)


EVERYWHERE = (
    click.Option(
        ["-v", "--verbose"], count=True, expose_value=False, callback=_hear,
        help="Log to stderr; -vv logs more.",
    ),
    click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_hear,
        help="No progress bar, and no output on success.",
    ),
    click.Option(
        ["--log-format"], type=click.Choice(["text", "json"]), expose_value=False, callback=_hear,
        help="Format of log and error lines.",
    ),
)  # fmt: skip
