"""Read what is published, and decide how long it is kept: manifests, ledger, the oldest version that stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from batch.errors import BatchError, Damaged, DoesNotFit, NoInput
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.manifest import LedgerFile, Manifest, decode_manifest
from batch.output.version import Live
from batch.records.documents import AnyDocument, decode
from batch.store import open_store
from batch.store.base import Missing, Placement, Store, read_whole
from batch.wording import command

if TYPE_CHECKING:  # Applications read too, and do without pydantic.
    from batch.job.job_file import Job

_READERS, _READ_AHEAD = 8, 64


@dataclass(frozen=True)
class Retention:
    """How much history an output keeps, and in how many pieces.

    The newest `versions` are kept, however old they are. A commit folds a ledger of `segments`
    segments into one. Only garbage older than `safe_age` is deleted: nothing refers yet to objects
    that a running run has just written, and no run takes this long.
    """

    versions: int = 100
    segments: int = 64
    safe_age: timedelta = timedelta(days=7)


RETENTION = Retention()


def read_live(store: Store) -> Live:
    """The newest version and its ledger.

    Raises `Damaged` for anything that cannot be read: a missing ledger is never an empty one.
    """
    return with_ledger(store, newest_manifest(store))


def with_ledger(store: Store, manifest: Manifest | None) -> Live:
    """A version and its ledger. Raises `Damaged`."""
    segments = manifest.ledger if manifest else ()
    return Live(
        manifest,
        Ledger.from_segments((segment.path, read_segment(store, segment)) for segment in segments),
    )


def newest_manifest(store: Store) -> Manifest | None:
    """The manifest of the highest number, which the pointer may not have reached yet."""
    pointer = read_pointer(store)
    if pointer:
        newest = pointer[0]
    else:
        versions = list_versions(store)
        if not versions:
            return None
        newest = read_manifest(store, versions[-1])
    while True:
        try:
            newest = read_manifest(store, newest.version + 1)
        except Missing:
            return newest


def list_versions(store: Store) -> list[int]:
    """The numbers of all manifests, in order."""
    versions = (layout.version_of(entry.path) for entry in store.list(layout.MANIFESTS).entries)
    return sorted(version for version in versions if version is not None)


def read_manifest(store: Store, version: int) -> Manifest:
    """One version. Raises `Missing`."""
    path = layout.manifest_path(version)
    blob = read_whole(store, path)
    return decode_manifest(blob.data, source=f"{store.url}/{path}")


def read_kept(store: Store, live: Manifest | None, version: int) -> Manifest:
    """One kept version, which may be the `live` one.

    Raises `NoInput`, with the range of kept versions, for any other and before the first.
    """
    if live is None:
        raise NoInput(f"{store.url}: nothing is published yet", "run the job first")
    if version == live.version:
        return live
    what = f"version {version} does not exist"
    if version == 0 and live.version == 1:
        what = "there is no earlier version"
    elif 0 < version < live.oldest_kept:
        what = f"version {version} is no longer kept"
    if live.oldest_kept <= version < live.version:
        try:
            return read_manifest(store, version)
        except Missing:
            what = f"version {version} is missing"  # Pruned since, or removed by hand.
    raise NoInput(
        f"{store.url}: {what}; {kept_versions(live)}",
        command("history", store.url),
    )


def all_kept(
    store: Store, live: Manifest, *, since: int = 0
) -> Iterator[tuple[int, Manifest | BatchError]]:
    """Every kept version, oldest first; the error in place of one that cannot be read.

    With `since`, none before that one. Several are read at once: there may be thousands, and a
    remote store takes its time for each.
    """
    versions = range(max(since, live.oldest_kept), live.version)
    read = partial(_read_or_error, store)
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(versions), _READ_AHEAD):
            yield from readers.map(read, versions[start : start + _READ_AHEAD])
    yield live.version, live


def kept_versions(live: Manifest) -> str:
    """The range of versions that are kept, for an error about another one."""
    return kept_range(live.oldest_kept, live.version)


def kept_range(oldest: int, newest: int) -> str:
    """The range of versions that are kept, in words."""
    if oldest == newest:
        return f"only version {newest} is kept"
    return f"versions {oldest}–{newest} are kept"


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
            "and the next run writes it again",
        ) from None


def read_segment(store: Store, segment: LedgerFile) -> bytes:
    """One ledger segment, as it was written. Raises `Damaged`."""
    try:
        data = read_whole(store, segment.path).data
    except Missing as error:
        raise Damaged(
            f"{error.message}: a missing ledger is never treated as an empty one",
            "restore the file from a backup; nothing was changed",
        ) from None
    if hashlib.sha256(data).hexdigest() != segment.sha256:
        raise Damaged(
            f"{store.url}/{segment.path}: damaged: its sha256 differs from the manifest",
            "restore the file from a backup; nothing was changed",
        )
    return data


def read_document(store: Store, path: str, kind: type[AnyDocument]) -> AnyDocument:
    """A JSON document. Raises `Missing`, and `Damaged` that names the object and the field."""
    return decode(read_whole(store, path).data, kind, source=f"{store.url}/{path}")


def open_output(job: Job) -> Store:
    """The store that a job publishes into."""
    output = job.settings.output
    return open_store(job.output_url, Placement(output.kms_key, output.storage_class))


def oldest_kept(
    store: Store, newest: Manifest | None, *, versions: int, retain: timedelta, now: datetime
) -> int:
    """The oldest version that stays when the next one is published; it never falls.

    The last `versions` are kept, and all that were live during the last `retain`.
    """
    if newest is None:
        return 1
    oldest, following = newest.oldest_kept, newest.version + 1
    # The newest version is being replaced just now, so it is kept anyhow.
    while oldest < newest.version and oldest <= following - versions:
        try:
            if read_manifest(store, oldest + 1).published_at > now - retain:
                break
        except Missing:
            pass  # It was removed: there is nothing to keep.
        except BatchError:
            break  # A version that cannot be read is kept.
        oldest += 1
    return oldest


def _read_or_error(store: Store, version: int) -> tuple[int, Manifest | BatchError]:
    try:
        return version, read_manifest(store, version)
    except (Missing, Damaged, DoesNotFit) as error:
        return version, error
