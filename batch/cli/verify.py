"""`verify`: check what was published."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, print_json
from batch.errors import Damaged
from batch.wording import command, counted, listed

if TYPE_CHECKING:
    from batch.upkeep.damage import Finding
    from batch.upkeep.verify import Health

_SHOWN, _VERSIONS_SHOWN = 20, 3


@click.command()
@click.argument("job")
@click.option("--deep", is_flag=True, help="Read every byte and compare row by row.")
@AS_JSON
def verify(job: str, deep: bool, as_json: bool) -> None:
    """Check that everything JOB has published is present and intact.

    Exits with 69 if it is not. Changes nothing. JOB may also be an OUTPUT folder or URL.

    \b
    Example:
      batch-predict verify flight_delays
      batch-predict verify flight_delays --deep --json
    """
    from batch.reports.target import find_target, require_published
    from batch.upkeep.damage import REPAIR
    from batch.upkeep.verify import verify as check

    target = find_target(job)
    repair = command("repair", target.job.reference) if target.job else REPAIR
    health = check(target.store, deep=deep, repair=repair)
    if health.version is None and health.ok:
        require_published(target)
    if as_json:
        print_json(health)
    else:
        _print_health(health)
    if not health.ok:
        sys.exit(Damaged.exit_code)


def _print_health(health: Health) -> None:
    if health.ok:
        totals = health.totals
        click.echo(
            f"ok: version {health.version}, {counted(totals.inputs, 'input')}, "
            f"{counted(totals.records, 'record')}, {counted(health.parts, 'part')}"
        )
    print_findings(health.findings)
    print_findings(health.notes, "note: ")


def print_findings(findings: Sequence[Finding], prefix: str = "") -> None:
    """A line for each: the object, its damage, and what to do."""
    for found in findings[:_SHOWN]:
        needed = f"; needed by version {listed(found.versions, _VERSIONS_SHOWN)}"
        hint = f"; next: {found.hint}" if found.hint else ""
        click.echo(f"{prefix}{found.path}: {found.what}{needed if found.versions else ''}{hint}")
    if len(findings) > _SHOWN:
        click.echo(f"{prefix}… and {len(findings) - _SHOWN:,} more (verify --json lists all)")
