"""The commit protocol: parts, receipts, ledger, manifest, pointer, in this order.

Readers go the opposite way, so whoever sees a name finds what it names. The only primitive that
correctness needs is `Store.create`: of two writers of one manifest number, one gets `Exists`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Callable
from datetime import datetime, timedelta

from batch import layout
from batch.errors import BatchError, Damaged, DoesNotFit, TryAgain
from batch.job import Job
from batch.ledger import MAX_SEGMENTS, Ledger, LedgerEntry, encode_segment
from batch.logs import log
from batch.manifest import (
    FORMAT,
    Counts,
    LedgerFile,
    Manifest,
    decode_manifest,
    encode,
)
from batch.store.base import Changed, Exists, Missing, Store
from batch.store.documents import read_whole
from batch.version import Draft, Live

TRIES = 5


def read_live(store: Store) -> Live:
    """The newest version and its ledger.

    Raises `Damaged` for anything that cannot be read: a missing ledger is never an empty one.
    """
    manifest = newest_manifest(store)
    segments = manifest.ledger if manifest else ()
    return Live(
        manifest,
        Ledger.from_segments((segment.path, _read_segment(store, segment)) for segment in segments),
    )


def newest_manifest(store: Store) -> Manifest | None:
    """The manifest of the highest number, which the pointer may not have reached yet."""
    pointer = read_pointer(store)
    if pointer:
        newest = pointer[0]
    else:
        found = [layout.version_of(entry.path) for entry in store.list(layout.MANIFESTS).entries]
        versions = [version for version in found if version is not None]
        if not versions:
            return None
        newest = read_manifest(store, max(versions))
    while True:
        try:
            newest = read_manifest(store, newest.version + 1)
        except Missing:
            return newest


def read_manifest(store: Store, version: int) -> Manifest:
    """One version. Raises `Missing`."""
    path = layout.manifest_path(version)
    blob = read_whole(store, path)
    return decode_manifest(blob.data, source=f"{store.url}/{path}")


def read_pointer(store: Store) -> tuple[Manifest, str] | None:
    """The manifest that readers see and the pointer's token; None before the first version."""
    try:
        blob = read_whole(store, layout.POINTER)
    except Missing:
        return None
    try:
        return decode_manifest(blob.data, source=f"{store.url}/{layout.POINTER}"), blob.token
    except Damaged as error:
        raise Damaged(
            error.message,
            f"{layout.POINTER} is a copy of the newest file in {layout.MANIFESTS}/: remove it, "
            "and the next run writes it anew",
        ) from None


def publish(
    store: Store, job: Job, live: Live, build: Callable[[Live], Draft | None], *,
    clock: Callable[[], datetime],
) -> Manifest | None:  # fmt: skip
    """Make a new version visible in one atomic step; returns it.

    `build` drafts it from the version that it extends, again after every lost race; None when it
    finds nothing left to publish. Raises `TryAgain` after `TRIES` lost races.
    """
    for _ in range(TRIES):
        draft = build(live)
        if draft is None:
            return None
        manifest = _commit(store, job, live, draft, now=clock())
        if manifest:
            move_pointer(store, manifest)
            return manifest
        live = read_live(store)
        if draft.run_id in live.ledger.run_ids():
            log.info("another host finished run %s", draft.run_id)
            return live.manifest
    raise TryAgain(
        f"{store.url}: lost the race for the next version {TRIES} times",
        "run again: what was predicted is kept and adopted",
    )


def move_pointer(store: Store, manifest: Manifest) -> None:
    """Let readers see the newest version; only forward.

    A failure is only logged: the version exists, and the next run repairs the pointer.
    """
    try:
        while True:
            current = read_pointer(store)
            if current and current[0].version >= manifest.version:
                break
            try:
                store.replace(
                    layout.POINTER, encode(manifest), token=current[1] if current else None
                )
            except Changed:
                continue
        # Somebody may have committed the next number and died before moving the pointer.
        newer = read_manifest(store, manifest.version + 1)
    except Missing:
        return
    except BatchError as error:
        log.warning("the pointer stays behind until the next run: %s", error.message)
        return
    move_pointer(store, newer)


def require_same_output(live: Live, job: Job) -> None:
    """Refuse a job that would mix with what another kind of job published."""
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
                f"{job.output_url}: holds predictions with {what} {found!r}, the job file says "
                f"{wanted!r}",
                "set output.path to a new folder, or change the job file back",
            )


def _commit(store: Store, job: Job, live: Live, draft: Draft, *, now: datetime) -> Manifest | None:
    """Write the ledger segment and the manifest; None when the number was taken."""
    commit_id = layout.new_commit_id()
    segments = live.manifest.ledger if live.manifest else ()
    entries, fold = draft.entries, len(segments) >= MAX_SEGMENTS
    if fold and not draft.whole_ledger:
        entries = tuple({entry.path: entry for entry in (*live.ledger, *entries)}.values())
    if draft.whole_ledger or fold:
        segments = ()
    if entries:
        segments = (*segments, _write_segment(store, commit_id, entries))
    manifest = _manifest(job, live, draft, commit_id=commit_id, segments=segments, now=now)
    path = layout.manifest_path(manifest.version)
    try:
        store.create(path, encode(manifest))
    except Exists:
        # An answer may have been lost on the way: the commit id tells our own write.
        if read_manifest(store, manifest.version).commit_id != commit_id:
            return None
    return manifest


def _manifest(
    job: Job, live: Live, draft: Draft, *, commit_id: str, segments: tuple[LedgerFile, ...],
    now: datetime,
) -> Manifest:  # fmt: skip
    fresh_for: timedelta | None = job.settings.output.fresh_for
    return Manifest(
        format=FORMAT,
        job=job.name,
        version=live.version + 1,
        parent=live.manifest.version if live.manifest else None,
        commit_id=commit_id,
        kind=draft.kind,
        run_id=draft.run_id,
        published_at=now,
        published_by=f"{pwd.getpwuid(os.getuid()).pw_name}@{os.uname().nodename}",
        stale_after=now + fresh_for if fresh_for else None,
        paused=None,
        oldest_kept=live.manifest.oldest_kept if live.manifest else 1,
        mode=job.settings.output.mode,
        key=job.settings.input.key,
        input_base=job.pattern.base,
        columns=draft.columns,
        model=draft.model,
        totals=_totals(live, draft),
        added=draft.added,
        files=draft.files,
        rejects=draft.rejects,
        ledger=segments,
        unreadable=draft.unreadable,
        checks=draft.checks,
        histogram=draft.histogram,
    )


def _totals(live: Live, draft: Draft) -> Counts:
    """What the version holds: what was there, less the entries replaced, plus the new ones."""
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
        bytes=sum(file.bytes for file in draft.files),
        **counts,
    )


def _write_segment(store: Store, commit_id: str, entries: tuple[LedgerEntry, ...]) -> LedgerFile:
    path, data = layout.ledger_path(commit_id), encode_segment(entries)
    store.create(path, data)
    return LedgerFile(path=path, sha256=hashlib.sha256(data).hexdigest(), inputs=len(entries))


def _read_segment(store: Store, segment: LedgerFile) -> bytes:
    try:
        data = read_whole(store, segment.path).data
    except Missing as error:
        raise Damaged(
            f"{error.message}: a missing ledger is never taken for an empty one",
            "restore the file from a backup; nothing was changed",
        ) from None
    if hashlib.sha256(data).hexdigest() != segment.sha256:
        raise Damaged(
            f"{store.url}/{segment.path}: damaged: its sha256 is not the manifest's",
            "restore the file from a backup; nothing was changed",
        )
    return data
