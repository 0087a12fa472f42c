"""This host's lock of an output, and what the host remembers of it.

Both only save work and catch mistakes: correctness rests on the commit protocol alone. They live
in the host's state folder, never in OUTPUT, which may be a network file system.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

import msgspec

from batch.errors import BatchError, NotPermitted, StoreDown, TryAgain
from batch.logs import log
from batch.output.manifest import Document, Manifest, encode

_POLL_SECONDS = 0.5
_HOLDER = re.compile(r"process \d+ since ")


class Locked(TryAgain):
    """Another run of this output is under way on this host."""


class OlderOutput(StoreDown):
    """The output is not the one that this host knows: nothing may be written there."""


class _Seen(Document, frozen=True):
    output: str
    version: int
    commit_id: str


def state_folder() -> Path:
    """Where this host remembers: $BATCH_PREDICT_STATE, else the user's state folder."""
    named = os.environ.get("BATCH_PREDICT_STATE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "batch-predict"
    try:
        # Under `env -i` there is no HOME either; the password database knows it.
        home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise StoreDown(
            f"user {os.getuid()} has no home to remember in", "set BATCH_PREDICT_STATE to a folder"
        ) from None
    return home / ".local" / "state" / "batch-predict"


class Lock:
    """This host's lock of an output, while we hold it.

    `left_behind` is what a holder that died had noted last: the inputs that it was predicting.
    """

    def __init__(self, file: TextIO, now: datetime) -> None:
        self._file = file
        self._holder = f"process {os.getpid()} since {now:%Y-%m-%d %H:%M:%S} UTC"
        file.seek(0)
        # Nobody synced it: after a power cut it may be torn anywhere.
        lines = file.read().splitlines()
        self._dead = [line for line in lines if _HOLDER.match(line)]
        self.left_behind = frozenset(lines) - {*self._dead}
        self.note(self.left_behind)

    @property
    def dead_processes(self) -> list[int]:
        """Those that held the lock before and died, as long as nobody has cleared up after them."""
        return [int(line.split()[1]) for line in self._dead]

    def bury(self) -> None:
        """All that the dead processes left is cleared up."""
        self._dead = []
        self.note(self.left_behind)

    def note(self, paths: Iterable[str]) -> None:
        """Remember what is being predicted, for whoever comes after a crash; not durable."""
        # What a process has written outlives it, synced or not; a power cut accuses no input.
        with suppress(OSError):  # It saves work: no reason to fail a run.
            self._file.truncate(0)
            self._file.write("\n".join([self._holder, *self._dead, *paths]))
            self._file.flush()

    def release(self) -> None:
        """Say that we ended in order."""
        with suppress(OSError):
            self._file.truncate(0)


@contextmanager
def output_lock(
    output_url: str, *, now: datetime, kind: str = "run", wait: timedelta = timedelta()
) -> Iterator[Lock]:
    """Hold the lock of an output. Raises `Locked` that says who holds it and since when.

    Each kind of work has one of its own. Tries for `wait` before it gives up.
    """
    deadline = time.monotonic() + wait.total_seconds()
    suffix = "lock" if kind == "run" else f"{kind}-lock"
    with _open_lock(_state_file(output_url, suffix)) as file:
        while not _try_to_lock(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.readline().strip() or "another process"
                doing, how = (
                    ("running", " (--wait 10m)") if kind == "run" else (f"at work on a {kind}", "")
                )
                raise Locked(f"{output_url}: {holder} is {doing}", f"wait for it to end{how}")
            time.sleep(_POLL_SECONDS)
        lock = Lock(file, now)
        try:
            yield lock
        finally:
            lock.release()


def _try_to_lock(file: TextIO) -> bool:
    try:
        # lockf, not flock: a forked child that outlives us must not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def last_seen(output_url: str) -> int:
    """The newest version that this host saw in an output, 0 for none.

    Look before the output is read: what is there then can only be newer, whoever publishes
    meanwhile on this host.
    """
    path = _state_file(output_url, "seen")
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Seen).version
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
    except OSError as error:
        what = "which version this host saw last cannot be read"
        raise _refused(path, error, what) from None


def require_not_older(
    output_url: str, newest: Manifest | None, *, seen: int, accept_older: bool
) -> None:
    """Stop when the output is older than what this host had `seen` there before.

    An unmounted disk or a wrong prefix looks like an empty output: without this, everything would
    be predicted again into the wrong place.
    """
    found = newest.version if newest else 0
    if found < seen and not accept_older:
        raise OlderOutput(
            f"{output_url}: found {f'version {found}' if found else 'no version'}, this host saw "
            f"version {seen} there; is the disk mounted?",
            "if this is what you want, run once with --accept-older",
        )


def remember(output_url: str, manifest: Manifest) -> None:
    """Note the newest version that this host saw."""
    path = _state_file(output_url, "seen")
    seen = _Seen(output=output_url, version=manifest.version, commit_id=manifest.commit_id)
    try:
        _write_whole(path, encode(seen))
    except OSError as error:  # It only guards against mistakes: no reason to fail a run.
        log.warning("%s: %s: not remembered", path, error.strerror)


def is_due(output_url: str, what: str, *, every: timedelta, now: datetime) -> bool:
    """Whether this host did something for an output long enough ago; notes that it does it now."""
    path = _state_file(output_url, what)
    try:
        if now.timestamp() - path.stat().st_mtime < every.total_seconds():
            return False
    except FileNotFoundError:
        pass
    with suppress(OSError):
        _write_whole(path, b"")
        os.utime(path, (now.timestamp(), now.timestamp()))
    return True


def read_suspects(output_url: str) -> frozenset[str]:
    """Inputs that a process of this host died with: they are predicted apart from the others."""
    try:
        found = msgspec.json.decode(
            _state_file(output_url, "suspects").read_bytes(), type=list[str]
        )
    except (OSError, msgspec.DecodeError):
        return frozenset()
    return frozenset(found)


def keep_suspects(output_url: str, paths: Collection[str]) -> None:
    """Remember them, all anew."""
    path = _state_file(output_url, "suspects")
    try:
        if paths:
            _write_whole(path, msgspec.json.encode(sorted(paths)))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: %s: not remembered", path, error.strerror)


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise _refused(path, error, "this host's lock cannot be kept there") from None


def _refused(path: Path, error: OSError, what: str) -> BatchError:
    kind = NotPermitted if isinstance(error, PermissionError) else StoreDown
    return kind(
        f"{path}: {(error.strerror or str(error)).lower()}: {what}",
        "set BATCH_PREDICT_STATE to a folder on a local disk that this user may write",
    )


def state_files(output_url: str) -> tuple[Path, Path]:
    """What this host keeps for an output: its lock, and what it saw there last."""
    return _state_file(output_url, "lock"), _state_file(output_url, "seen")


def _state_file(output_url: str, suffix: str) -> Path:
    name = hashlib.sha256(output_url.encode()).hexdigest()[:16]
    return state_folder() / f"{name}.{suffix}"
