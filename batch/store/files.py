"""Files of this host: errors that name them, digests, locks, whole replacement, leftovers of dead writers."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

from batch.errors import BatchError, NotPermitted, StoreDown
from batch.store.base import Missing

_BLOCK_BYTES = 1 << 20
_NEXT_STEP = {
    errno.EXDEV: "all folders of an output must be on one file system",
    errno.ENOSPC: "free space on the disk and rerun; the published version is untouched",
    errno.EDQUOT: "free space within the quota and rerun; the published version is untouched",
    errno.EROFS: "the file system is mounted read-only: remount it and rerun",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and rerun",
}
_FORGOTTEN_SECONDS = 7 * 86400


def digest_file(path: Path) -> str:
    """The xxh3 128-bit digest of a file."""
    import xxhash

    digest, block = xxhash.xxh3_128(), memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """The sha256 of a file, as bare hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn the system's errors about a path into `Missing`, `NotPermitted` or `StoreDown`."""
    try:
        yield
    except BatchError:
        raise
    except FileNotFoundError:
        raise Missing(f"{path}: does not exist") from None
    except PermissionError as error:
        raise NotPermitted(
            f"{error.filename or path}: permission denied",
            f"run as a user who may read and write {path.parent}",
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreDown(
            f"{path}: {reason.lower()}", _NEXT_STEP.get(error.errno or 0, "")
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the `with` is left in order.

    Not durable: after a power cut the old content may be back. The folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def try_to_lock(file: IO[Any]) -> bool:
    """Take the lock, unless another process holds it.

    Threads of one process do not exclude each other. Raises OSError on a file system without locks.
    """
    try:
        # lockf, not flock: a forked child that outlives us must not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def lock_within(file: IO[Any], seconds: float, *, poll_seconds: float) -> bool:
    """Take the lock as soon as it is free; False if it is not after this long.

    It polls: to the system, two processes with two threads each could look like a deadlock.
    """
    deadline = time.monotonic() + seconds
    while not try_to_lock(file):
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True


@cache
def this_host() -> str:
    """Identifies where a process id means one process: this boot, this PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        where = boot + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # Not Linux: the name of the host must do.
        where = os.uname().nodename
    return hashlib.sha256(where.encode()).hexdigest()[:8]


def is_leftover(item: os.DirEntry[str]) -> bool:
    """Whether an unfinished file, named after its writer, will never be finished.

    Files of other hosts, and of this one before it was rebooted, are leftovers after a week.
    """
    return time.time() - item.stat().st_mtime > _FORGOTTEN_SECONDS or writer_is_dead(item.name)


def writer_is_dead(name: str) -> bool:
    """Whether the process that owns this unfinished file ran on this host and has ended."""
    host, _, rest = name.partition("-")
    process = rest.partition("-")[0]
    if host != this_host() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def state_folder() -> Path:
    """Where runs store what they have seen: $BATCH_PREDICT_STATE, else in the user's state folder.

    Raises `StoreDown` for a user without a home directory.
    """
    chosen = os.environ.get("BATCH_PREDICT_STATE")
    return Path(chosen) if chosen else _of_the_user("STATE")


def cache_folder() -> Path:
    """Where copies of remote objects are kept: $BATCH_PREDICT_CACHE, else in the user's cache folder.

    It is made if need be. Raises `BatchError` for one that cannot be made or is not the user's own.
    """
    chosen = os.environ.get("BATCH_PREDICT_CACHE")
    return _made(Path(chosen) if chosen else _of_the_user("CACHE"), "" if chosen else "CACHE")


def spool_folder() -> Path:
    """Where objects are stored on their way from or to S3: $BATCH_PREDICT_SPOOL, else below /var/tmp.

    It is made if need be. Raises `BatchError` for one that cannot be made or is not the user's own.
    """
    chosen = os.environ.get("BATCH_PREDICT_SPOOL")
    folder = Path(chosen or f"/var/tmp/batch-predict-{os.getuid()}")  # noqa: S108  # Its owner is looked at.
    return _made(folder, "" if chosen else "SPOOL")


def _made(folder: Path, default_of: str) -> Path:
    with naming(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its name is known beforehand, so others may have made it. One that was chosen may be shared.
        if default_of and folder.stat().st_uid != os.getuid():
            raise NotPermitted(f"{folder}: belongs to another user", _hint(default_of))
    return folder


def _of_the_user(kind: Literal["STATE", "CACHE"]) -> Path:
    """~/.local/state or ~/.cache, or what XDG_STATE_HOME or XDG_CACHE_HOME says.

    Without HOME, as under `env -i`, the home directory comes from the password database.
    """
    from platformdirs.unix import Unix  # The same folders on macOS.

    folders = Unix("batch-predict")
    try:
        folder = folders.user_state_path if kind == "STATE" else folders.user_cache_path
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():  # Older releases leave a "~" as it is.
        raise StoreDown(f"user {os.getuid()} has no home directory", _hint(kind))
    return folder


def _hint(kind: str) -> str:
    return f"set BATCH_PREDICT_{kind} to a folder on a local disk that this user may write"
