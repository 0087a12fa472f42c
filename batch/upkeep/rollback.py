"""Go back to an earlier version and pause the job, or unpause it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batch.errors import Damaged, Held, NoInput
from batch.job.job_file import Job
from batch.output import layout
from batch.output.manifest import Manifest, Paused
from batch.output.publish import move_pointer, operator, publish, require_same_output
from batch.output.read import RETENTION, Retention, kept_versions, read_kept, read_live, with_ledger
from batch.output.version import Draft, Live, like
from batch.store.base import Store
from batch.upkeep.damage import damaged_objects
from batch.wording import command


@dataclass(frozen=True)
class WayBack:
    """A rollback: the content of `target` replaces that of the live version.

    `reopened` are the inputs taken in since, which runs predict again after `unpause`.
    """

    live: Live
    target: Live
    reopened: tuple[str, ...]


def look_back(store: Store, job: Job, *, to: int | None) -> WayBack:
    """Prepare a rollback to a version, by default to the one before the live one.

    Raises `NoInput` for a version that is not kept, `Damaged` for one that is damaged.
    """
    live = read_live(store)
    require_same_output(live, job)
    if to is None and live.manifest and live.manifest.paused:
        # The version before a rollback is the very one that was given up.
        raise Held(
            f"{job.name} is already paused by {live.manifest.paused.by}: "
            f"{live.manifest.paused.reason}",
            f"`{command('unpause', job.reference)}`, or choose another version with --to",
        )
    target = _target(store, live, live.version - 1 if to is None else to)
    # Runs know an input by its token: one that was only predicted again keeps its predictions of then.
    reopened = [
        entry.path for entry in live.ledger if target.ledger.token(entry.path) != entry.token
    ]
    return WayBack(live, target, tuple(sorted(reopened)))


def roll_back(
    store: Store, job: Job, way: WayBack, *,
    reason: str, clock: Callable[[], datetime], retention: Retention = RETENTION,
) -> Manifest:  # fmt: skip
    """Publish a version with the content of an earlier one, paused: runs do nothing from now on.

    Nothing is deleted: a rollback can be rolled back.
    """
    now = clock()
    paused = Paused(by=operator(), at=now, reason=reason)
    run_id = layout.new_run_id(now)

    def build(base: Live) -> Draft:
        # Again from what is there now: a lost race may have pruned the target.
        target = _target(store, base, way.target.version)
        entries = tuple(target.ledger)
        return like(
            target, kind="rollback", run_id=run_id, entries=entries, whole_ledger=True,
            paused=paused,
        )  # fmt: skip

    published = publish(store, job, way.live, build, clock=clock, retention=retention)
    assert published is not None, "a rollback always has something to publish"
    return published


def unpause(
    store: Store, job: Job, *, clock: Callable[[], datetime], retention: Retention = RETENTION
) -> Manifest | None:
    """Let runs continue from the paused version; None if it is not paused."""
    live = read_live(store)
    require_same_output(live, job)
    run_id = layout.new_run_id(clock())

    def build(base: Live) -> Draft | None:
        # Only the pause that we saw: a rollback made meanwhile is a decision of its own.
        seen = live.manifest.paused if live.manifest else None
        if base.manifest is None or not seen or base.manifest.paused != seen:
            return None
        return like(base, kind="unpause", run_id=run_id)

    if build(live) is None:
        if live.manifest:
            move_pointer(store, live.manifest)
        return None
    return publish(store, job, live, build, clock=clock, retention=retention)


def _target(store: Store, live: Live, version: int) -> Live:
    """An earlier version that can replace the live one."""
    if live.manifest and version == live.version:
        raise NoInput(
            f"{store.url}: version {version} is already live; {kept_versions(live.manifest)}",
            "choose an earlier one with --to",
        )
    target = read_kept(store, live.manifest, version)
    _require_whole(store, target)
    return with_ledger(store, target)


def _require_whole(store: Store, manifest: Manifest) -> None:
    """Check every file of a version, byte for byte. Raises `Damaged`.

    Clients would refuse a damaged version and keep serving the one to get rid of.
    """
    damaged = damaged_objects(store, [manifest], deep=True)
    for file in manifest.all_files:
        if file.path in damaged:
            raise Damaged(
                f"{store.url}/{file.path}: {damaged[file.path].what}, so version "
                f"{manifest.version} is damaged",
                "choose another version with --to",
            )
