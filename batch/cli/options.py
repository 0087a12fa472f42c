"""Options that every command takes, before its name or after it, and those that many take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from batch.logs import show_logs

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dataclass
class Voice:
    """How much a call prints apart from its results, and in which form."""

    verbosity: int = 0
    is_quiet: bool = False
    log_format: str = "text"


def voice() -> Voice:
    """The voice of the command that is running."""
    context = click.get_current_context(silent=True)
    return context.find_root().ensure_object(Voice) if context else Voice()


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
