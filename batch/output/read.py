"""Read what is published: the newest version and its ledger, or any version that is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from batch.errors import BatchError, Damaged, DoesNotFit, NoInput
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.manifest import LedgerFile, Manifest, decode_manifest
from batch.output.version import Live
from batch.records.documents import AnyDocument, decode
from batch.store.base import Missing, Store, read_whole
from batch.wording import command

_READERS, _READ_AHEAD = 8, 64


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


def read_kept(store: Store, live: Manifest | None, version: int) -> Manifest:
    """One version that is kept, the `live` one among them.

    Raises `NoInput` that names those that are: for any other version, and before the first.
    """
    if live is None:
        raise NoInput(f"{store.url}: nothing is published yet", "there is no version before a run")
    if version == live.version:
        return live
    what = "is not kept any more" if 0 < version < live.oldest_kept else "does not exist"
    if live.oldest_kept <= version < live.version:
        try:
            return read_manifest(store, version)
        except Missing:
            what = "is not there any more"  # Pruned since, or removed by hand.
    raise NoInput(
        f"{store.url}: version {version} {what}; {kept_versions(live)}",
        command("history", store.url),
    )


def all_kept(
    store: Store, live: Manifest, *, since: int = 0
) -> Iterator[tuple[int, Manifest | BatchError]]:
    """Every version that is kept, the oldest first; in its place what is wrong with one.

    With `since` none before that one. Several are read at once: there may be thousands, and a
    remote store takes its time for each.
    """
    versions = range(max(since, live.oldest_kept), live.version)
    read = partial(_read_or_error, store)
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(versions), _READ_AHEAD):
            yield from readers.map(read, versions[start : start + _READ_AHEAD])
    yield live.version, live


def _read_or_error(store: Store, version: int) -> tuple[int, Manifest | BatchError]:
    try:
        return version, read_manifest(store, version)
    except (Missing, Damaged, DoesNotFit) as error:
        return version, error


def kept_versions(live: Manifest) -> str:
    """Which versions there are, for whoever asked for another."""
    return kept_range(live.oldest_kept, live.version)


def kept_range(oldest: int, newest: int) -> str:
    """The versions from the oldest that is kept to the live one, in words."""
    if oldest == newest:
        return f"kept is version {newest} alone"
    return f"kept are the versions {oldest} to {newest}"


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


def read_segment(store: Store, segment: LedgerFile) -> bytes:
    """One ledger segment, as it was written. Raises `Damaged`."""
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


def read_document(store: Store, path: str, kind: type[AnyDocument]) -> AnyDocument:
    """A JSON document. Raises `Missing`, and `Damaged` that names the object and the field."""
    return decode(read_whole(store, path).data, kind, source=f"{store.url}/{path}")
