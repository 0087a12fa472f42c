"""`repair`: publish a version without the damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import say
from batch.cli.verify import print_findings
from batch.wording import command, counted, listed

if TYPE_CHECKING:
    from batch.output.manifest import Manifest
    from batch.upkeep.repair import Mending

_NAMES_SHOWN = 5


@click.command()
@click.argument("job")
@click.option(
    "--yes", is_flag=True, help="Repair even if predictions are lost, or the ledger is damaged."
)
def repair(job: str, yes: bool) -> None:
    """Publish a version of JOB without its damaged files.

    Reads every file in full. The next run predicts the affected inputs again. Without damage,
    nothing is published. If inputs no longer exist, or the ledger is damaged, --yes is needed.

    \b
    Example:
      batch-predict repair flight_delays
    """
    from batch.job.job_file import load_job
    from batch.logs import utc_now
    from batch.output.read import open_output
    from batch.upkeep.repair import look_for_damage
    from batch.upkeep.repair import repair as mend

    found = load_job(job)
    store = open_output(found)
    mending = look_for_damage(store, found)
    print_findings(mending.findings)
    print_findings(mending.notes, "note: ")
    manifest = mend(store, found, mending, yes=yes, clock=utc_now)
    _print_repair(found.name, mending, manifest)
    if manifest:
        say(f"  next: {command('run', found.reference)}")


def _print_repair(name: str, mending: Mending, manifest: Manifest | None) -> None:
    if mending.unwritten:
        say(f"{name}: wrote the manifest of version {mending.live.version} again")
    if manifest is None:
        say(f"{name}: version {mending.live.version} needs no repair; nothing was published")
        return
    open_again = ""
    if mending.leaving:
        open_again = (
            f"; {counted(len(mending.leaving), 'input')} removed, to be predicted again: "
            f"{listed(sorted(mending.leaving), _NAMES_SHOWN)}"
        )
    say(
        f"{name}: published version {manifest.version}: without "
        f"{counted(len(mending.damage.files), 'damaged file')}{open_again}"
    )
