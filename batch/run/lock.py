"""This host's lock of an output."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from batch.errors import TryAgain
from batch.run.host_state import _refused, _state_file

_POLL_SECONDS = 0.5
_HOLDER = re.compile(r"process \d+ since ")


class Locked(TryAgain):
    """Another run of this output is under way on this host."""


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
                raise Locked(f"{output_url}: {holder} is {doing}", f"wait for it to finish{how}")
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


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise _refused(path, error, "this host's lock cannot be kept there") from None


def state_files(output_url: str) -> tuple[Path, Path]:
    """What this host keeps for an output: its lock, and what it saw there last."""
    return _state_file(output_url, "lock"), _state_file(output_url, "seen")
