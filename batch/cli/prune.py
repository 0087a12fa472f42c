"""`prune`: delete files that are no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import print_facts, say
from batch.wording import command, counted, sized

if TYPE_CHECKING:
    from batch.store.base import Entry


@click.command()
@click.argument("job")
@click.option("--yes", is_flag=True, help="Delete; without it, only show what would be deleted.")
def prune(job: str, yes: bool) -> None:
    """Delete files that no kept version or future run of JOB needs.

    Kept are the last 100 versions, those that were live within `output.retain`, and every file
    younger than a week. A run prunes once a day.

    \b
    Example:
      batch-predict prune flight_delays
      batch-predict prune flight_delays --yes
    """
    from batch.job.job_file import load_job
    from batch.output.read import open_output
    from batch.upkeep.prune import prune as find_and_delete

    found = load_job(job)
    garbage = find_and_delete(open_output(found), retain=found.settings.output.retain, delete=yes)
    objects = [*garbage.manifests, *garbage.objects]
    size = f"{counted(len(objects), 'object')}, {sized(garbage.bytes)}"
    if not objects:
        say(f"{found.name}: nothing to delete")
    elif yes:
        say(f"{found.name}: deleted {size}")
        print_facts(_folders(objects), out=say)
    else:
        click.echo(f"{found.name}: would delete {size}")
        print_facts(_folders(objects))
        click.echo(f"  next: {command('prune', found.reference, '--yes')}")


def _folders(objects: list[Entry]) -> list[tuple[str, str]]:
    folders: dict[str, list[Entry]] = {}
    for entry in objects:
        folders.setdefault(entry.path.split("/", maxsplit=1)[0], []).append(entry)
    return [
        (folder, f"{counted(len(found), 'object')}, {sized(sum(item.size for item in found))}")
        for folder, found in folders.items()
    ]
