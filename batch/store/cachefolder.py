"""The folder in which this host keeps what it brought from remote outputs; what leaves it, when.

    files/SHA256        whole files, named by their content, never written to again
    versions/URL.json   the newest version that was loaded from a URL
    versions/HOST-PID-… a version that a process is loading
    locks/XX            held while a file whose sha256 begins so is brought
    .tmp/HOST-PID-…     what a process is writing

Whatever is missing or damaged here is brought again: the folder may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from batch.errors import BatchError
from batch.logs import log
from batch.store.spool import spooling_in, sweep_spool
from batch.store.writers import writer_is_dead

FILES, VERSIONS, LOCKS, UNFINISHED = "files", "versions", "locks", ".tmp"
_LIMIT_GB = 2.0
#: Between being looked up and being opened, a file must not go.
_IN_USE_SECONDS = 60
#: No application of this host has asked for that URL for so long: it protects nothing any more.
_FORGOTTEN_SECONDS = 30 * 86400
#: Whoever brings a file may be frozen. The lock only saves work: then others bring it as well.
PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.05

#: The lock of a file belongs to the process: among its threads others are needed.
_threads = [threading.Lock() for _ in range(256)]


class _Sha256(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str


class _Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a version needs, of all that its manifest says."""

    files: tuple[_Sha256, ...]
    model: _Sha256


def cache_folder() -> Path:
    """The folder, made if need be. Raises OSError for one that cannot be made or is not ours."""
    named = os.environ.get("BATCH_PREDICT_CACHE")
    folder = Path(named) if named else _users_cache() / "batch-predict"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not named and folder.stat().st_uid != os.getuid():
        raise PermissionError(0, "belongs to another user", str(folder))
    return folder


def trim() -> None:
    """Remove what dead processes left and, beyond the limit, the files least recently used.

    Files that a kept version needs, or one that is being loaded, stay. What cannot be removed
    stays too.
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
            # Not by waiting in the system: two processes with two threads each would look to it
            # as if they waited for each other.
            while not _try_to_lock(file) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            yield
    finally:
        among_threads.release()


def warn_of_cache(error: Exception) -> None:
    """Say that it is done without the cache, which is no error; once for each reason."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = f"{error.filename or 'the folder'}: {(error.strerror or '').lower()}"
    _warn(reason)


def _users_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base)
    try:
        # Under `env -i` there is no HOME either; the password database knows it.
        return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir) / ".cache"
    except KeyError:
        raise FileNotFoundError(0, "this user has no home: set BATCH_PREDICT_CACHE") from None


@lru_cache(maxsize=32)
def _warn(reason: str) -> None:
    log.warning("going on without this host's cache: %s", reason)


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
    """The sha256 of all that must stay; versions that nobody asks for any more are removed."""
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


def _try_to_lock(file: BinaryIO) -> bool:
    try:
        # lockf, not flock: a forked child that outlives us must not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # A file system without locks: then each brings its own.
    return True


def _renew_locks() -> None:
    # A lock that another thread held in the parent would stay locked in the child for ever.
    _threads[:] = [threading.Lock() for _ in _threads]


os.register_at_fork(after_in_child=_renew_locks)
