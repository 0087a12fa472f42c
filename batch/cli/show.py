"""`show`: show rows, or the history of a key."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, as_value, print_json, print_records
from batch.wording import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.reports.key_history import Period, Story

_SHOWN = 5
_COUNT = click.IntRange(min=1)


@click.command()
@click.argument("job")
@click.option(
    "--key", multiple=True, metavar="VALUE", help="Every row of this key; once per key column."
)
@click.option("--all", "all_", is_flag=True, help="With --key: its latest row in every version.")
@click.option("--rejects", is_flag=True, help="Show rejects instead of predictions.")
@click.option("--rows", default=10, show_default=True, type=_COUNT, help="How many rows to show.")
@AS_JSON
def show(job: str, key: Sequence[str], all_: bool, rejects: bool, rows: int, as_json: bool) -> None:
    """Show rows of the live version of JOB.

    With --key, all rows of a key and their origin, latest first. With --key and --all, what
    applications got for that key in every kept version, and why it changed.

    \b
    Example:
      batch-predict show flight_delays
      batch-predict show flight_delays --key 2013-12-01-B6745-JFK
      batch-predict show flight_delays --key 2013-12-01-B6745-JFK --all
      batch-predict show flight_delays --rejects
    """
    from batch.reports.key_history import tell
    from batch.reports.rows import first_rows, rows_of_key
    from batch.reports.target import find_target, require_published

    if (all_ and not key) or (key and rejects):
        raise click.UsageError("--all requires --key, and --key cannot be combined with --rejects")
    target = find_target(job)
    manifest = require_published(target)
    if all_:
        _show_story(tell(target.store, manifest, key), rows, as_json=as_json)
        return
    if key:
        found = rows_of_key(target.store, manifest, key)
    else:
        found = first_rows(target.store, manifest.rejects if rejects else manifest.files, rows)
    if as_json:
        print_json(found)
        return
    _print_rows(found, "No such key in version" if key else "No rows in version", manifest.version)


def _print_rows(rows: Sequence[dict[str, object]], nothing: str, version: int) -> None:
    if not rows:
        click.echo(f"{nothing} {version}.")
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_short(row.get(name)) for name in names] for row in rows]
    print_records(cells, names)


def _short(value: object) -> object:
    from datetime import datetime

    if isinstance(value, datetime):
        midnight = not (value.hour or value.minute or value.second or value.microsecond)
        return f"{value:%Y-%m-%d}" if midnight else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float) or value is None:
        return value
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= 60 else text[:59] + "…"


def _show_story(story: Story, most: int, *, as_json: bool) -> None:
    if as_json:
        print_json(story)
    else:
        _print_story(story, most)


def _print_story(story: Story, most: int) -> None:
    """The newest periods first; each in a few lines that a terminal has room for."""
    versions = f"the versions {story.oldest} to {story.newest}"
    if story.oldest == story.newest:
        versions = f"version {story.newest}"
    key = ", ".join(story.key.values())
    if story.periods:
        click.echo(f"{story.job}: {key} in {versions}")
    else:
        click.echo(f"No such key in {versions}.")
    shown = story.periods[:most]
    width = max((len(_versions(period)) for period in shown), default=0)
    for period in shown:
        for line, text in enumerate(_told(period, story)):
            _print_beside(_versions(period) if line == 0 else "", text, width)
    if left_out := len(story.periods) - len(shown):
        click.echo(f"  … {counted(left_out, 'earlier line')}; --rows shows more")
    for unread in story.unread:
        click.echo(
            f"not read: {unread.reason}; it may hold the row of versions "
            f"{listed(unread.versions, _SHOWN)}"
        )


def _versions(period: Period) -> str:
    return f"{period.first}-{period.last}" if period.last > period.first else f"{period.first}"


def _told(period: Period, story: Story) -> list[str]:
    """Since when, from where, and the values."""
    earlier = " or before" if period.first == story.oldest > 1 else ""
    since = (
        f"{period.kind} of {period.published_at:%Y-%m-%d %H:%M:%S} UTC by {period.published_by}"
        f"{earlier}{f': {period.why}' if period.why else ''}"
    )
    if period.values is None:
        return [since, "no row"]
    values = [f"{name} {as_value(value)}" for name, value in period.values.items()]
    return [
        since,
        f"{period.input}, record {period.row}; model {(period.model or '')[:12]}",
        ", ".join(values),
    ]


def _print_beside(name: str, text: str, width: int) -> None:
    room = max(40, shutil.get_terminal_size((100, 24)).columns - width - 4)
    for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False):
        click.echo(f"  {name.ljust(width)}  {line}")
        name = ""
