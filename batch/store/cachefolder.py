"""This host's cache of remote outputs: its files, who may write them, and when they are deleted.

    files/SHA256        whole files, named by their content, never written to again
    versions/URL.json   the newest version that was loaded from a URL
    versions/HOST-PID-… a version that a process is loading
    locks/XX            held while a file whose sha256 starts with XX is downloaded
    .tmp/HOST-PID-…     what a process is writing

Anything missing or damaged is downloaded again: the folder may be deleted at any time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from batch.errors import BatchError
from batch.logs import log
from batch.store.files import cache_folder, lock_within, writer_is_dead
from batch.store.spool import spooling_in, sweep_spool

FILES, VERSIONS, LOCKS, UNFINISHED = "files", "versions", "locks", ".tmp"
_LIMIT_GB = 2.0
#: A file must not be deleted between being looked up and being opened.
_IN_USE_SECONDS = 60
#: A version that no application of this host has asked for in this time protects no files.
_FORGOTTEN_SECONDS = 30 * 86400
#: The process that downloads may be frozen. The lock only saves work: others then download too.
PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.05

#: The lock of a file belongs to the process: among its threads others are needed.
_threads = [threading.Lock() for _ in range(256)]


class _Sha256(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


class _Needs(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a manifest that list the files its version needs."""

    files: tuple[_Sha256, ...]
    model: _Sha256


def trim() -> None:
    """Remove leftovers of dead processes and, beyond the limit, the least recently used files.

    Files needed by a version that is kept or being loaded stay. A file that cannot be removed is
    left in place.
    """
    with suppress(OSError, BatchError):
        folder = cache_folder()
        with spooling_in(folder / UNFINISHED):
            sweep_spool()
        _trim_files(folder / FILES, needed=_needed(folder / VERSIONS))


@contextmanager
def one_at_a_time(
    folder: Path, name: str, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """Wait until no other thread or process of this host is inside with this hexadecimal name.

    Names share 256 locks. A process that dies inside lets the others go on; when the
    patience is over, they go on anyway. Raises OSError.
    """
    deadline = time.monotonic() + patience_seconds
    among_threads = _threads[int(name[:2], 16)]
    if not among_threads.acquire(timeout=patience_seconds):
        yield  # Not by way of the file: closing it would give away what the other thread holds.
        return
    try:
        (folder / LOCKS).mkdir(exist_ok=True)
        with (folder / LOCKS / name[:2]).open("ab") as file:
            with suppress(OSError):  # A file system without locks: then each downloads its own.
                lock_within(file, deadline - time.monotonic(), poll_seconds=_POLL_SECONDS)
            yield
    finally:
        among_threads.release()


def warn_of_cache(error: Exception) -> None:
    """Log that the cache cannot be used, which is no error; once for each reason."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.filename or 'the folder'}: {(error.strerror or '').lower()}"
    _warn(reason)


@lru_cache(maxsize=32)
def _warn(reason: str) -> None:
    log.warning("continuing without this host's cache: %s", reason)


def _limit_bytes() -> float:
    try:
        return float(os.environ.get("BATCH_PREDICT_CACHE_GB") or _LIMIT_GB) * 1e9
    except ValueError:  # No reason for an application to stop.
        return _LIMIT_GB * 1e9


def _trim_files(folder: Path, *, needed: set[str]) -> None:
    files = _scan(folder)
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda file: file[1].st_mtime):
        if total <= _limit_bytes():
            return
        if path.name not in needed and _age_seconds(status) > _IN_USE_SECONDS:
            path.unlink(missing_ok=True)
            total -= status.st_size


def _needed(folder: Path) -> set[str]:
    """The sha256 of every file that must stay; versions no longer asked for are removed."""
    needed = set[str]()
    # Those being loaded first: one that ends meanwhile is found under its last name afterwards.
    for is_kept in (False, True):
        for path, status in _scan(folder):
            if (path.suffix == ".json") is not is_kept:
                continue
            if writer_is_dead(path.name) or _age_seconds(status) > _FORGOTTEN_SECONDS:
                path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError, msgspec.DecodeError):
                needs = msgspec.json.decode(path.read_bytes(), type=_Needs)
                needed |= {needs.model.sha256, *(file.sha256 for file in needs.files)}
    return needed


def _scan(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    with suppress(FileNotFoundError):
        for item in os.scandir(folder):
            with suppress(FileNotFoundError):  # Another process was quicker.
                found.append((Path(item), item.stat()))
    return found


def _age_seconds(status: os.stat_result) -> float:
    return time.time() - status.st_mtime


def _renew_locks() -> None:
    # A lock that another thread held in the parent would stay locked in the child for ever.
    _threads[:] = [threading.Lock() for _ in _threads]


os.register_at_fork(after_in_child=_renew_locks)
