"""Bring inputs to this host before they are asked for: the next ones while one is predicted.

The coordinator of a run downloads, in the order in which slices begin; whoever predicts, in this
process or another, takes the copy and removes it. So every input comes once, and what waits on
the disk is bounded.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from batch.errors import BatchError
from batch.logs import log
from batch.output.plan import PlannedInput
from batch.store.base import Source, Store
from batch.store.spool import spooled, spooling_in

_THREADS = 8
#: Small inputs come side by side. Of large ones the first comes alone, for it is waited for; then
#: two, so that the network has something to do between them.
_SIDE_BY_SIDE_BYTES, _LARGE_TOGETHER = 32 << 20, 2
#: What may wait to be read; one input more may be on its way.
_WAITING_BYTES, _WAITING_INPUTS = 256 << 20, 256
_POLL_SECONDS, _SHORT_POLL_SECONDS = 0.02, 0.005
_FAILED = ".failed"
_OVER, _UNFINISHED = "over", "unfinished"


class Ahead:
    """Brings inputs of a remote store while it is entered; the `first` ones at once."""

    def __init__(self, store: Store, first: Sequence[PlannedInput] = ()) -> None:
        self._store, self._first = store, first
        self._wanted: tuple[PlannedInput, ...] = ()
        self._folder: Path | None = None
        self._bringing = ExitStack()

    def __enter__(self) -> Self:
        self.begin(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, wanted: Sequence[PlannedInput]) -> Path | None:
        """The folder that the inputs come to, one after the other; None where they are at hand.

        Asked for the same inputs again, what was begun goes on; for others, it ends.
        """
        if not self._store.is_remote or not wanted:
            return None
        if tuple(wanted) != self._wanted:
            self.end()
            self._wanted = tuple(wanted)
            self._folder = self._bringing.enter_context(spooled())
            self._folder.mkdir()
            self._bringing.callback(_Bringing(self._store, self._folder, wanted).stop)
        return self._folder

    @property
    def source(self) -> Source:
        """The inputs as they come, for whoever only looks: they stay for those who predict."""
        return Brought(self._store, self._folder, keeps=True) if self._folder else self._store

    def end(self) -> None:
        """Bring no more, and remove what nobody took."""
        self._bringing.close()
        self._wanted, self._folder = (), None


class Brought:
    """Fetches what `Ahead` brings; what it could not bring is fetched in the usual way.

    Each comes for one who takes it, unless this one `keeps` it there.
    """

    def __init__(self, store: Source, folder: Path, *, keeps: bool = False) -> None:
        self._store, self._folder, self._keeps = store, folder, keeps

    @contextmanager
    def fetch(self, path: str, *, token: str | None = None, size: int = 0) -> Iterator[Path]:
        """As a store does."""
        target = self._folder / _name(path, token)
        if not self._comes(target):
            with self._store.fetch(path, token=token, size=size) as local:
                yield local
            return
        try:
            yield target
        finally:
            if not self._keeps:
                target.unlink(missing_ok=True)

    def _comes(self, target: Path) -> bool:
        while not target.exists():
            if Path(f"{target}{_FAILED}").exists() or not self._folder.exists():
                return False
            if (self._folder / _OVER).exists():
                return target.exists()  # It may have come between the two looks.
            time.sleep(_SHORT_POLL_SECONDS)
        return True


class _Bringing:
    """The threads that download; `_waiting` holds what has come and is not taken yet."""

    def __init__(self, store: Store, folder: Path, wanted: Sequence[PlannedInput]) -> None:
        self._store, self._folder = store, folder
        self._left = deque(wanted)
        self._coming: dict[Path, int] = {}
        self._waiting: dict[Path, int] = {}
        self._has_come = False
        self._lock, self._stop = threading.Lock(), threading.Event()
        # Daemons: a download that hangs must not keep a process that is told to end.
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=_POLL_SECONDS)

    def _run(self) -> None:
        while planned := self._next():
            target = self._folder / _name(planned.path, planned.token)
            try:
                self._bring(planned, target)
                with self._lock:
                    self._waiting[target] = self._coming.pop(target)
                    self._has_come = True
                    if not self._left and not self._coming:
                        (self._folder / _OVER).touch()
            except OSError:  # No room even for a note: without the folder nobody waits.
                shutil.rmtree(self._folder, ignore_errors=True)
                return

    def _bring(self, planned: PlannedInput, target: Path) -> None:
        # Inside our folder: when that goes, what hangs or is asked for again leaves nothing behind.
        unfinished = spooling_in(self._folder / _UNFINISHED)
        fetched = self._store.fetch(planned.path, token=planned.token, size=planned.size)
        try:
            with unfinished, fetched as local:
                local.rename(target)
        except BatchError as error:  # Whoever needs the input meets it again.
            log.debug("%s: not brought ahead: %s", planned.path, error)
            Path(f"{target}{_FAILED}").touch()

    def _next(self) -> PlannedInput | None:
        """The next input, as soon as there is room for it; None when there is nothing to do."""
        while not self._stop.is_set():
            with self._lock:
                if not self._left:
                    return None
                if self._has_room(self._left[0].size):
                    planned = self._left.popleft()
                    self._coming[self._folder / _name(planned.path, planned.token)] = planned.size
                    return planned
            self._stop.wait(_POLL_SECONDS)
        return None

    def _has_room(self, size: int) -> bool:
        self._waiting = {path: held for path, held in self._waiting.items() if path.exists()}
        coming, waiting = sum(self._coming.values()), sum(self._waiting.values())
        together = len(self._coming) < (_LARGE_TOGETHER if self._has_come else 1)
        return (together or coming + size <= _SIDE_BY_SIDE_BYTES) and (
            not self._waiting
            or (waiting + coming + size <= _WAITING_BYTES and len(self._waiting) < _WAITING_INPUTS)
        )


def _name(path: str, token: str | None) -> str:
    return hashlib.sha256(f"{path}\n{token}".encode()).hexdigest()
