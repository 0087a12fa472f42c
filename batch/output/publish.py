"""The commit protocol: parts, receipts, ledger, manifest, pointer, in this order.

Readers go the opposite way: once they see a name, the object is there. The only primitive that
correctness needs is `Store.create`: of two writers of one manifest number, one gets `Exists`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from batch.errors import BatchError, DoesNotFit, Held, StoreDown, TryAgain
from batch.job.job_file import Job
from batch.logs import log
from batch.output import layout
from batch.output.ledger import LedgerEntry, encode_segment
from batch.output.manifest import FORMAT, Counts, LedgerFile, Manifest
from batch.output.read import (
    RETENTION,
    Retention,
    oldest_kept,
    read_live,
    read_manifest,
    read_pointer,
)
from batch.output.version import Draft, Live
from batch.records.documents import encode
from batch.store.base import Changed, Exists, Missing, Store, read_whole
from batch.wording import command

TRIES = 5
_REAL_STORE = "use a local disk, S3, or a server whose conditional writes work"


@dataclass(frozen=True)
class _Attempt:
    """One try at the next number."""

    commit_id: str
    segments: tuple[LedgerFile, ...]
    oldest_kept: int
    now: datetime


def publish(
    store: Store, job: Job, live: Live, build: Callable[[Live], Draft | None], *,
    clock: Callable[[], datetime], retention: Retention = RETENTION,
) -> Manifest | None:  # fmt: skip
    """Make a new version visible in one atomic step; returns it.

    `build` drafts it from the version to extend, again after every lost race; None if nothing is
    left to publish. Raises `TryAgain` after `TRIES` lost races.
    """
    for _ in range(TRIES):
        draft = build(live)
        if draft is None:
            return None
        manifest = _commit(store, job, live, draft, retention, now=clock())
        if manifest:
            move_pointer(store, manifest)
            return manifest
        live = read_live(store)
        if draft.manifest.run_id in live.ledger.run_ids():
            log.info("another host finished run %s", draft.manifest.run_id)
            return live.manifest
    raise TryAgain(
        f"{store.url}: lost the race for the next version {TRIES} times",
        "rerun: the predictions made so far are kept",
    )


def move_pointer(store: Store, manifest: Manifest) -> None:
    """Let readers see the newest version; only forward.

    A failure is only logged: the version exists, and the next run repairs the pointer.
    """
    try:
        for _ in range(TRIES):
            current = read_pointer(store)
            if current and current[0].version >= manifest.version:
                break
            try:
                store.replace(
                    layout.POINTER, encode(manifest), token=current[1] if current else None
                )
            except Changed:
                continue
        else:
            raise TryAgain(
                f"{store.url}/{layout.POINTER}: replaced by other processes {TRIES} times"
            )
        # Another process may have committed the next number and died before moving the pointer.
        newer = read_manifest(store, manifest.version + 1)
    except Missing:
        return
    except BatchError as error:
        log.warning("the pointer stays behind until the next run moves it: %s", error.message)
        return
    move_pointer(store, newer)


def operator() -> str:
    """Who publishes, as `user@host`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # As in a container.
        user = f"uid {os.getuid()}"
    return f"{user}@{os.uname().nodename}"


def require_not_paused(live: Live, job: Job) -> None:
    """Refuse to extend a version at which a person paused the job. Raises `Held`."""
    if live.manifest and live.manifest.paused:
        by, reason = live.manifest.paused.by, live.manifest.paused.reason
        raise Held(f"{job.name} is paused by {by}: {reason}", command("unpause", job.reference))


def require_same_output(live: Live, job: Job) -> None:
    """Refuse a job that would mix its predictions with those of another kind of job."""
    if live.manifest is None:
        return
    settings = job.settings
    for what, found, wanted in (
        ("name", live.manifest.job, job.name),
        ("key", list(live.manifest.key), list(settings.input.key)),
        ("mode", live.manifest.mode, settings.output.mode),
    ):
        if found != wanted:
            raise DoesNotFit(
                f"{job.output_url}: found predictions with {what} {found!r}, the job file says "
                f"{wanted!r}",
                "set output.path to a new folder, or change the job file back",
            )


def _commit(
    store: Store, job: Job, live: Live, draft: Draft, retention: Retention, *, now: datetime
) -> Manifest | None:
    """Write the ledger segment and the manifest; None when the race for the number is lost."""
    if store.is_remote and live.manifest is None:
        _require_conditions(store)
    commit_id = layout.new_commit_id()
    segments = live.manifest.ledger if live.manifest else ()
    entries, fold = draft.entries, len(segments) >= retention.segments
    if fold and not draft.whole_ledger:
        entries = tuple({entry.path: entry for entry in (*live.ledger, *entries)}.values())
    if draft.whole_ledger or fold:
        segments = ()
    if entries:
        segments = (*segments, _write_segment(store, commit_id, entries))
    retain = job.settings.output.retain
    oldest = oldest_kept(store, live.manifest, versions=retention.versions, retain=retain, now=now)
    manifest = _manifest(job, live, draft, _Attempt(commit_id, segments, oldest, now))
    _settle(store, manifest, live.manifest)
    return manifest if _create_manifest(store, manifest) else None


def _require_conditions(store: Store) -> None:
    """Refuse a store that overwrites objects on create, before anything relies on it.

    Some servers that speak S3 ignore conditions on a put, others never find them true.
    """
    path = layout.probe_path()
    store.create(path, b"1")
    try:
        if not _keeps(Exists, lambda: store.create(path, b"2")):
            raise StoreDown(
                f"{store.url}: this store overwrites objects that it must refuse to create, so two "
                "runs could overwrite each other's versions",
                _REAL_STORE,
            )
        token = read_whole(store, path).token
        if _keeps(Changed, lambda: store.replace(path, b"3", token=token)):
            raise StoreDown(
                f"{store.url}: this store refuses every conditional replacement", _REAL_STORE
            )
    finally:
        store.delete(path)


def _keeps(refusal: type[BatchError], write: Callable[[], None]) -> bool:
    """Whether the store left what was there."""
    try:
        write()
    except refusal:
        return True
    return False


def _settle(store: Store, manifest: Manifest, parent: Manifest | None) -> None:
    """New objects of a version survive a power cut before the version exists.

    The process that wrote them may have been killed while making them durable.
    """
    old = {file.path for file in parent.all_files} if parent else set[str]()
    new = {file.path for file in manifest.all_files} - old
    model = manifest.model
    store.settle([*new, model.path, model.recipe, *([model.sidecar] if model.sidecar else [])])


def _create_manifest(store: Store, manifest: Manifest) -> bool:
    """The commit itself; False when the race for the number is lost."""
    try:
        store.create(layout.manifest_path(manifest.version), encode(manifest))
    except Exists:
        # An answer may have been lost on the way: the commit id tells our own write.
        try:
            if read_manifest(store, manifest.version).commit_id != manifest.commit_id:
                return False
        except Missing:  # Pruned since: that number was taken long ago.
            return False
    # A number below oldest_kept was free only because its manifest was pruned.
    try:
        pointer = read_pointer(store)
    except BatchError as error:
        # It is there: only a writer that fell behind by all the versions kept could be wrong.
        log.warning("version %d is published; %s", manifest.version, error.message)
        return True
    return pointer is None or pointer[0].oldest_kept <= manifest.version


def _manifest(job: Job, live: Live, draft: Draft, attempt: _Attempt) -> Manifest:
    return msgspec.structs.replace(
        draft.manifest,
        format=FORMAT,
        job=job.name,
        version=live.version + 1,
        parent=live.manifest.version if live.manifest else None,
        commit_id=attempt.commit_id,
        published_at=attempt.now,
        published_by=operator(),
        stale_after=_stale_after(job, draft.manifest, attempt.now),
        oldest_kept=attempt.oldest_kept,
        mode=job.settings.output.mode,
        key=job.settings.input.key,
        input_base=job.pattern.base,
        totals=_totals(live, draft),
        ledger=attempt.segments,
    )


def _stale_after(job: Job, draft: Manifest, now: datetime) -> datetime | None:
    """New predictions are fresh from now; a version that only moves old ones is as old as they."""
    fresh_for: timedelta | None = job.settings.output.fresh_for
    if draft.kind in {"run", "backfill"} and draft.stale_after is None:
        return now + fresh_for if fresh_for else None
    return draft.stale_after


def _totals(live: Live, draft: Draft) -> Counts:
    """The totals of the version before, less the entries replaced, plus the new ones."""
    before = live.manifest.totals if live.manifest and not draft.whole_ledger else Counts()
    replaced = (
        []
        if draft.whole_ledger
        else [
            entry
            for entry in map(live.ledger.get, (entry.path for entry in draft.entries))
            if entry
        ]
    )
    counts = {
        name: getattr(before, name)
        + sum(getattr(entry, name) for entry in draft.entries)
        - sum(getattr(entry, name) for entry in replaced)
        for name in ("records", "predicted", "rejected")
    }
    return Counts(
        inputs=before.inputs + len(draft.entries) - len(replaced),
        bytes=sum(file.bytes for file in draft.manifest.files),
        **counts,
    )


def _write_segment(store: Store, commit_id: str, entries: tuple[LedgerEntry, ...]) -> LedgerFile:
    path, data = layout.ledger_path(commit_id), encode_segment(entries)
    store.create(path, data)
    return LedgerFile(path=path, sha256=hashlib.sha256(data).hexdigest(), inputs=len(entries))
