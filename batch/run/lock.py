"""This host's lock on an output."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from batch.errors import TryAgain
from batch.run.host_state import refused, state_file
from batch.store.file_lock import lock_within

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


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise refused(path, error, "this host needs its lock file there") from None


def state_files(output_url: str) -> tuple[Path, Path]:
    """The two files of this host for an output: its lock, and the newest version it saw."""
    return state_file(output_url, "lock"), state_file(output_url, "seen")
