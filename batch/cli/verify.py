"""Commands that look for damage and mend it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from batch.cli.text import as_count
from batch.errors import Damaged
from batch.wording import listed

if TYPE_CHECKING:
    from batch.output.manifest import Manifest
    from batch.upkeep.damage import Finding
    from batch.upkeep.repair import Mending
    from batch.upkeep.verify import Health

_SHOWN, _VERSIONS_SHOWN, _NAMES_SHOWN = 20, 3, 5


@click.command()
@click.argument("job")
@click.option("--deep", is_flag=True, help="Read every byte and compare row by row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def verify(job: str, deep: bool, as_json: bool) -> None:
    """Look whether all that JOB has published is there and whole; exit code 69 if it is not.

    JOB may also be an OUTPUT folder or URL. Changes nothing.

    \b
    Example:
      batch-predict verify flight_delays
      batch-predict verify flight_delays --deep --json
    """
    from batch.cli.text import print_json
    from batch.reports.target import find_target, require_published
    from batch.upkeep.verify import verify as look

    target = find_target(job)
    health = look(target.store, deep=deep)
    if health.version is None and health.ok:
        require_published(target)
    if as_json:
        print_json(health)
    else:
        _print_health(health)
    if not health.ok:
        sys.exit(Damaged.exit_code)


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Also if inputs are gone for good, or the ledger is.")
def repair(job: str, yes: bool) -> None:
    """Publish a version of JOB without what is damaged; the next run predicts its inputs anew.

    Every file is read whole. Where nothing is damaged, nothing is published. Where predictions
    cannot be made again, or the ledger is damaged, it says so and waits for --yes.

    \b
    Example:
      batch-predict repair flight_delays
    """
    from batch.job.job_file import load_job
    from batch.logs import utc_now
    from batch.output.open import open_output
    from batch.upkeep.repair import look_for_damage
    from batch.upkeep.repair import repair as mend

    found = load_job(job)
    store = open_output(found)
    mending = look_for_damage(store, found)
    _print_findings(mending.findings)
    _print_findings(mending.notes, "note: ")
    manifest = mend(store, found, mending, yes=yes, clock=utc_now)
    _print_repair(found.name, mending, manifest)
    if manifest:
        click.echo(f"  next: batch-predict run {job}")


def _print_health(health: Health) -> None:
    if health.ok:
        totals = health.totals
        click.echo(
            f"ok: version {health.version}, {as_count(totals.inputs, 'input')}, "
            f"{as_count(totals.records, 'record')}, {as_count(health.parts, 'part')}"
        )
    _print_findings(health.findings)
    _print_findings(health.notes, "note: ")


def _print_findings(findings: Sequence[Finding], prefix: str = "") -> None:
    for found in findings[:_SHOWN]:
        needed = f"; needed by version {listed(found.versions, _VERSIONS_SHOWN)}"
        hint = f"; next: {found.hint}" if found.hint else ""
        click.echo(f"{prefix}{found.path}: {found.what}{needed if found.versions else ''}{hint}")
    if len(findings) > _SHOWN:
        click.echo(f"{prefix}… and {len(findings) - _SHOWN:,} more (verify --json lists all)")


def _print_repair(name: str, mending: Mending, manifest: Manifest | None) -> None:
    if mending.unwritten:
        click.echo(f"{name}: wrote the manifest of version {mending.live.version} again")
    if manifest is None:
        click.echo(f"{name}: version {mending.live.version} needs no repair; nothing was published")
        return
    open_again = ""
    if mending.leaving:
        open_again = (
            f"; {as_count(len(mending.leaving), 'input')} left, to be predicted anew: "
            f"{listed(sorted(mending.leaving), _NAMES_SHOWN)}"
        )
    click.echo(
        f"{name}: published version {manifest.version}: without "
        f"{as_count(len(mending.damage.files), 'damaged file')}{open_again}"
    )
