"""Immutable objects, verified. Those of a remote store are downloaded once for all processes.

One process at a time downloads a file, under a name of its own; once verified, the file is renamed
to its sha256. It is verified again before each use; a damaged one is deleted and downloaded again.
If the cache cannot be used, a warning says so and objects are read from the store. Local stores
have no cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from batch.errors import BadData, BatchError, NotPermitted, StoreDown
from batch.logs import log
from batch.store.base import Store, read_whole
from batch.store.cachefolder import (
    FILES,
    PATIENCE_SECONDS,
    UNFINISHED,
    one_at_a_time,
    trim,
    warn_of_cache,
)
from batch.store.files import cache_folder
from batch.store.spool import spooling_in


@dataclass(frozen=True)
class Content:
    """An object, its expected content, and the next step if the store holds something else."""

    path: str
    sha256: str
    size: int | None = None
    hint: str = ""


class _Unusable(Exception):
    """The cache or the disk below it cannot be used; the store may be fine."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


_Taken = TypeVar("_Taken")


def read_content(
    store: Store, content: Content, *, patience_seconds: float = PATIENCE_SECONDS
) -> bytes:
    """The very bytes that were verified. Raises `BadData` when the store holds others.

    `patience_seconds` is for how long another process may bring them to the cache.
    """
    read = partial(_read, source=f"{store.url}/{content.path}", content=content)
    if not store.is_remote:
        with store.fetch(content.path) as local:
            return read(local)
    try:
        return _through_cache(store, content, read, patience_seconds)
    except _Unusable as trouble:
        # In memory: what is wrong with the cache may be wrong with the spool folder too.
        data = read_whole(store, content.path).data
        _verify(len(data), _sha256(data), f"{store.url}/{content.path}", content)
        warn_of_cache(trouble.reason)
        return data


@contextmanager
def fetch_content(store: Store, content: Content) -> Iterator[Path]:
    """A verified local file, which may stay mapped. Raises `BadData` when the store holds others.

    A cached file is never written to, only unlinked.
    """
    hold = partial(_hash, source=f"{store.url}/{content.path}", content=content)
    trouble = None
    if store.is_remote:
        try:
            _through_cache(store, content, hold)
        except _Unusable as error:
            trouble = error.reason
        else:
            trim()
            yield cache_folder() / FILES / content.sha256
            return
    with store.fetch(content.path) as local:
        hold(local)
        if trouble:
            warn_of_cache(trouble)
        yield local


def _through_cache(
    store: Store, content: Content, take: Callable[[Path], _Taken],
    patience_seconds: float = PATIENCE_SECONDS,
) -> _Taken:  # fmt: skip
    """What `take` makes of the file in the cache; it raises `BadData` for a damaged one."""
    try:
        folder = cache_folder()
    except BatchError as error:
        raise _Unusable(error) from None
    try:
        path = folder / FILES / content.sha256
        with suppress(FileNotFoundError, BadData):
            return _used(path, take)
        with one_at_a_time(folder, content.sha256, patience_seconds):
            try:
                return _used(path, take)  # Another process was quicker.
            except FileNotFoundError:
                pass
            except BadData as error:
                log.warning("%s: this cached file is damaged and downloaded again: %s", path, error)
                path.unlink(missing_ok=True)
            return _download(store, content, path, take)
    except OSError as error:
        raise _Unusable(error) from None


def _used(path: Path, take: Callable[[Path], _Taken]) -> _Taken:
    taken = take(path)
    with suppress(OSError):  # The least recently used is deleted first; a read-only cache stays.
        os.utime(path)
    return taken


def _download(store: Store, content: Content, path: Path, take: Callable[[Path], _Taken]) -> _Taken:
    path.parent.mkdir(exist_ok=True)
    try:
        with spooling_in(path.parents[1] / UNFINISHED), store.fetch(content.path) as local:
            return _named(local, path, take)
    except (StoreDown, NotPermitted) as error:
        # The disk or the store: reading without the cache will tell.
        raise _Unusable(error) from None


def _named(local: Path, path: Path, take: Callable[[Path], _Taken]) -> _Taken:
    try:
        taken = _used(local, take)
        # Only what was verified gets its name.
        local.replace(path)
    except OSError as error:  # The folder was deleted meanwhile: not the store's fault.
        raise _Unusable(error) from None
    return taken


def _read(path: Path, *, source: str, content: Content) -> bytes:
    data = path.read_bytes()
    _verify(len(data), _sha256(data), source, content)
    return data


def _hash(path: Path, *, source: str, content: Content) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _verify(path.stat().st_size, found, source, content)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _verify(size: int, sha256: str, source: str, content: Content) -> None:
    expected_size = size if content.size is None else content.size
    for what, found, expected in (
        ("bytes", size, expected_size),
        ("sha256", sha256, content.sha256),
    ):
        if found != expected:
            raise BadData(f"{source}: {what}: found {found}, expected {expected}", content.hint)
