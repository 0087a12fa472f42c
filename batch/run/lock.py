"""This host's lock on an output, and what the host remembers of it: both only save work and catch mistakes."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

import msgspec

from batch.errors import BatchError, NotPermitted, StoreDown, TryAgain
from batch.logs import log
from batch.output.manifest import Manifest
from batch.records.documents import Document, encode
from batch.store.files import lock_within, replacing, state_folder

_POLL_SECONDS = 0.5
_HOLDER = re.compile(r"process \d+ since ")


class Locked(TryAgain):
    """Another run into this output is in progress on this host."""


class Lock:
    """This host's lock on an output, while we hold it.

    `left_behind` are the inputs that an earlier holder was predicting when it died.
    """

    def __init__(self, file: TextIO, now: datetime) -> None:
        self._file = file
        self._holder = f"process {os.getpid()} since {now:%Y-%m-%d %H:%M:%S} UTC"
        file.seek(0)
        # It is never synced: after a power cut it may be torn anywhere.
        lines = file.read().splitlines()
        self._dead = [line for line in lines if _HOLDER.match(line)]
        self.left_behind = frozenset(lines) - {*self._dead}
        self.note(self.left_behind)

    @property
    def dead_processes(self) -> list[int]:
        """Earlier holders that died, until their leftovers are cleared up."""
        return [int(line.split()[1]) for line in self._dead]

    def bury(self) -> None:
        """Forget the dead processes: their leftovers are cleared up."""
        self._dead = []
        self.note(self.left_behind)

    def note(self, paths: Iterable[str]) -> None:
        """Note the inputs being predicted, for the next holder after a crash; not durable."""
        # What a process has written outlives it, synced or not; a power cut accuses no input.
        with suppress(OSError):  # It only saves work: no reason to fail a run.
            self._file.truncate(0)
            self._file.write("\n".join([self._holder, *self._dead, *paths]))
            self._file.flush()

    def release(self) -> None:
        """Note that we ended in order."""
        with suppress(OSError):
            self._file.truncate(0)


class OlderOutput(StoreDown):
    """The output is older than the one this host knows: nothing may be written there."""


class _Seen(Document, frozen=True):
    output: str
    version: int
    commit_id: str


@contextmanager
def output_lock(
    output_url: str, *, now: datetime, kind: str = "run", wait: timedelta = timedelta()
) -> Iterator[Lock]:
    """Hold the lock on an output, each kind of work its own. Tries for up to `wait`.

    Raises `Locked`, with the holder and since when.
    """
    suffix = "lock" if kind == "run" else f"{kind}-lock"
    with _open_lock(state_file(output_url, suffix)) as file:
        if not lock_within(file, wait.total_seconds(), poll_seconds=_POLL_SECONDS):
            file.seek(0)
            holder = file.readline().strip() or "another process"
            doing, how = (
                ("running", " (--wait 10m)") if kind == "run" else (f"running a {kind}", "")
            )
            raise Locked(f"{output_url}: {holder} is {doing}", f"wait for it to finish{how}")
        lock = Lock(file, now)
        try:
            yield lock
        finally:
            lock.release()


def state_files(output_url: str) -> tuple[Path, Path]:
    """The two files of this host for an output: its lock, and the newest version it saw."""
    return state_file(output_url, "lock"), state_file(output_url, "seen")


def last_seen(output_url: str) -> int:
    """The newest version that this host saw in an output, 0 for none.

    Look before the output is read: whatever this host publishes meanwhile is then only newer.
    """
    path = state_file(output_url, "seen")
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Seen).version
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
    except OSError as error:
        what = "this host needs it to know which version it saw last"
        raise refused(path, error, what) from None


def require_not_older(
    output_url: str, newest: Manifest | None, *, seen: int, accept_older: bool
) -> None:
    """Stop if the output is older than the version that this host has `seen` there before.

    An unmounted disk or a wrong prefix looks like an empty output: without this, everything would
    be predicted again into the wrong place.
    """
    found = newest.version if newest else 0
    if found < seen and not accept_older:
        raise OlderOutput(
            f"{output_url}: found {f'version {found}' if found else 'no version'}, but this host "
            f"has seen version {seen} there; is the disk mounted?",
            "if that is intended, run once with --accept-older",
        )


def remember(output_url: str, manifest: Manifest) -> None:
    """Store the newest version that this host saw."""
    path = state_file(output_url, "seen")
    seen = _Seen(output=output_url, version=manifest.version, commit_id=manifest.commit_id)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(encode(seen))
    except OSError as error:  # It only guards against mistakes: no reason to fail a run.
        log.warning("%s: %s: not stored", path, error.strerror)


def is_due(output_url: str, what: str, *, every: timedelta, now: datetime) -> bool:
    """Whether this host last did something for an output long enough ago; notes that it does it now."""
    path = state_file(output_url, what)
    try:
        if now.timestamp() - path.stat().st_mtime < every.total_seconds():
            return False
    except FileNotFoundError:
        pass
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now.timestamp(), now.timestamp()))
    return True


def read_suspects(output_url: str) -> frozenset[str]:
    """Inputs during which a process of this host died: they are predicted apart from the others."""
    try:
        found = msgspec.json.decode(state_file(output_url, "suspects").read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError):
        return frozenset()
    return frozenset(found)


def keep_suspects(output_url: str, paths: Collection[str]) -> None:
    """Replace the stored set."""
    path = state_file(output_url, "suspects")
    try:
        if paths:
            with replacing(path) as temporary:
                temporary.write_bytes(msgspec.json.encode(sorted(paths)))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: %s: not stored", path, error.strerror)


def refused(path: Path, error: OSError, what: str) -> BatchError:
    """The error to raise for a file that this host cannot keep, and what that means."""
    kind = NotPermitted if isinstance(error, PermissionError) else StoreDown
    return kind(
        f"{path}: {(error.strerror or str(error)).lower()}: {what}",
        "set BATCH_PREDICT_STATE to a folder on a local disk that this user may write",
    )


def state_file(output_url: str, suffix: str) -> Path:
    """The file in which this host keeps one thing about an output."""
    name = hashlib.sha256(output_url.encode()).hexdigest()[:16]
    return state_folder() / f"{name}.{suffix}"


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise refused(path, error, "this host needs its lock file there") from None
