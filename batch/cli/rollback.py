"""Commands by which a person mends, undoes and tidies an output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from batch.cli.text import as_bytes, as_count
from batch.wording import listed

if TYPE_CHECKING:
    from batch.job.job import Job
    from batch.output.manifest import Manifest
    from batch.store.base import Entry, Store
    from batch.upkeep.rollback import WayBack

_YES = click.option("--yes", is_flag=True, help="Do it; without this, only say what would be done.")
_SHOWN = 5


@click.command()
@click.argument("job")
@click.option("--to", type=click.IntRange(min=1), metavar="V", help="Go back to this version.")
@click.option("--reason", default="", help="Why, for those who find the job paused.")
def rollback(job: str, to: int | None, reason: str) -> None:
    """Publish what an earlier version of JOB held, and pause: runs do nothing until `unpause`.

    By default the version before the live one. Nothing is deleted, so a rollback can be undone.

    \b
    Example:
      batch-predict rollback flight_delays --reason "the new model is wrong"
      batch-predict rollback flight_delays --to 41
    """
    from batch.logs import utc_now
    from batch.upkeep.rollback import look_back, roll_back

    found, store = _open(job)
    way = look_back(store, found, to=to)
    _print_way_back(found, way)
    back = f"rolled back from version {way.live.version} to version {way.target.version}"
    manifest = roll_back(
        store, found, way, reason=f"{back}: {reason}" if reason else back, clock=utc_now
    )
    _print_published(found, manifest, f"holds what version {way.target.version} held; paused")
    click.echo(f"  next: correct the model or the input, then batch-predict unpause {job}")


@click.command()
@click.argument("job")
def unpause(job: str) -> None:
    """Let runs of JOB go on after a rollback.

    The next run predicts again what was taken in since, by the model that is in place then.

    \b
    Example:
      batch-predict unpause flight_delays
    """
    from batch.logs import utc_now
    from batch.upkeep.rollback import unpause as let_go_on

    found, store = _open(job)
    manifest = let_go_on(store, found, clock=utc_now)
    if manifest is None:
        click.echo(f"{found.name}: is not paused")
    else:
        _print_published(found, manifest, "runs go on from here")


_RUN = click.option("--run", "run_id", metavar="RUN", help="Only the held run of this id.")


@click.command()
@click.argument("job")
@click.option("--force", is_flag=True, help="Publish whatever the checks say.")
@_RUN
def publish(job: str, force: bool, run_id: str | None) -> None:
    """Publish the run of JOB that a check holds.

    Without --force it is judged again, by the limits that the job file has now.

    \b
    Example:
      batch-predict publish flight_delays
      batch-predict publish flight_delays --force
    """
    from batch.cli.text import report
    from batch.job.job_file import load_job
    from batch.run.attempt import Options
    from batch.run.held import publish_held

    found = load_job(job)
    outcome = publish_held(found, Options(), run_id=run_id, is_forced=force)
    report("publish", found.name, outcome)
    sys.exit(outcome.exit_code)


@click.command()
@click.argument("job")
@click.option("--run", "run_id", metavar="RUN", help="Only this run, held or interrupted.")
def discard(job: str, run_id: str | None) -> None:
    """Give up the runs of JOB that a check holds; their inputs are predicted anew.

    With --run also one that was interrupted: it will not be continued.

    \b
    Example:
      batch-predict discard flight_delays
    """
    from batch.logs import utc_now
    from batch.run.held import discard as give_up

    found, store = _open(job)
    runs = give_up(store, now=utc_now(), run_id=run_id)
    if not runs:
        click.echo(f"{found.name}: no run is held")
    for one in runs:
        after = "the next run predicts its inputs anew" if one.kind == "run" else "nothing changes"
        click.echo(f"{found.name}: gave up {one.kind} {one.run_id}; {after}")


@click.command()
@click.argument("job")
@_YES
def prune(job: str, yes: bool) -> None:
    """Delete what no kept version of JOB names and no run can need any more.

    Kept are the last 100 versions, those that were live during `output.retain`, and all that is
    younger than a week. A run does the same once a day.

    \b
    Example:
      batch-predict prune flight_delays
      batch-predict prune flight_delays --yes
    """
    from batch.upkeep.prune import prune as find_and_delete

    found, store = _open(job)
    garbage = find_and_delete(store, retain=found.settings.output.retain, delete=yes)
    objects = [*garbage.manifests, *garbage.objects]
    if not objects:
        click.echo(f"{found.name}: nothing to delete")
        return
    did = "deleted" if yes else "would delete"
    click.echo(f"{found.name}: {did} {as_count(len(objects), 'object')}, {as_bytes(garbage.bytes)}")
    _print_folders(objects)
    if not yes:
        click.echo(f"  next: batch-predict prune {job} --yes")


def _open(job: str) -> tuple[Job, Store]:
    from batch.job.job_file import load_job
    from batch.output.open import open_output

    found = load_job(job)
    return found, open_output(found)


def _print_way_back(job: Job, way: WayBack) -> None:
    click.echo(f"{job.name}: version {way.live.version} gives way to version {way.target.version}")
    if way.reopened:
        click.echo(
            f"  {as_count(len(way.reopened), 'input')} taken in since will be predicted again after "
            f"unpause: {listed(way.reopened, _SHOWN)}"
        )


def _print_published(job: Job, manifest: Manifest, what: str) -> None:
    click.echo(f"{job.name}: published version {manifest.version}: {what}")


def _print_folders(objects: list[Entry]) -> None:
    from batch.cli.text import print_facts

    folders: dict[str, list[Entry]] = {}
    for entry in objects:
        folders.setdefault(entry.path.split("/", maxsplit=1)[0], []).append(entry)
    print_facts(
        [
            (
                folder,
                f"{as_count(len(found), 'object')}, {as_bytes(sum(item.size for item in found))}",
            )
            for folder, found in folders.items()
        ]
    )
