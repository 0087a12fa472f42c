"""Download inputs before they are needed: the next ones while the current one is predicted.

The coordinator of a run downloads in the order in which slices start. The code that predicts an
input, in this process or another, takes the copy and removes it. So every input is downloaded once,
and the disk space used is bounded.
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
#: Small inputs are downloaded concurrently. The first large one is downloaded alone, because the run
#: waits for it; then two at a time, so that the network is never idle between them.
_SIDE_BY_SIDE_BYTES, _LARGE_TOGETHER = 32 << 20, 2
#: Limits for downloaded inputs that are not taken yet; one more may be in transit.
_WAITING_BYTES, _WAITING_INPUTS = 256 << 20, 256
_POLL_SECONDS, _SHORT_POLL_SECONDS = 0.02, 0.005
_FAILED = ".failed"
_COMPLETE, _UNFINISHED = "over", "unfinished"


class Ahead:
    """Downloads inputs from a remote store inside a `with` block; `first` ones immediately."""

    def __init__(self, store: Store, first: Sequence[PlannedInput] = ()) -> None:
        self._store, self._first = store, first
        self._wanted: tuple[PlannedInput, ...] = ()
        self._folder: Path | None = None
        self._downloads = ExitStack()

    def __enter__(self) -> Self:
        self.begin(self._first)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self, wanted: Sequence[PlannedInput]) -> Path | None:
        """Start downloading; returns the folder for the copies, None for a local store.

        For the same inputs as before the downloads simply continue; for others they start over.
        """
        if not self._store.is_remote or not wanted:
            return None
        if tuple(wanted) != self._wanted:
            self.end()
            self._wanted = tuple(wanted)
            self._folder = self._downloads.enter_context(spooled())
            self._folder.mkdir()
            self._downloads.callback(_Downloads(self._store, self._folder, wanted).stop)
        return self._folder

    @property
    def source(self) -> Source:
        """A source for inspecting inputs: the copies are kept for the prediction."""
        return Prefetched(self._store, self._folder, keeps=True) if self._folder else self._store

    def end(self) -> None:
        """Stop downloading, and remove copies that were not taken."""
        self._downloads.close()
        self._wanted, self._folder = (), None


class Prefetched:
    """A source of the copies `Ahead` downloads; an input it could not download is fetched directly.

    A copy is removed after use, unless this source `keeps` it.
    """

    def __init__(self, store: Source, folder: Path, *, keeps: bool = False) -> None:
        self._store, self._folder, self._keeps = store, folder, keeps

    @contextmanager
    def fetch(self, path: str, *, token: str | None = None, size: int = 0) -> Iterator[Path]:
        """Like `Source.fetch`."""
        target = self._folder / _name(path, token)
        if not self._arrives(target):
            with self._store.fetch(path, token=token, size=size) as local:
                yield local
            return
        try:
            yield target
        finally:
            if not self._keeps:
                target.unlink(missing_ok=True)

    def _arrives(self, target: Path) -> bool:
        while not target.exists():
            if Path(f"{target}{_FAILED}").exists() or not self._folder.exists():
                return False
            if (self._folder / _COMPLETE).exists():
                return target.exists()  # It may have arrived between the two checks.
            time.sleep(_SHORT_POLL_SECONDS)
        return True


class _Downloads:
    """The download threads; `_waiting` are the sizes of copies that are not taken yet."""

    def __init__(self, store: Store, folder: Path, wanted: Sequence[PlannedInput]) -> None:
        self._store, self._folder = store, folder
        self._pending = deque(wanted)
        self._in_transit: dict[Path, int] = {}
        self._waiting: dict[Path, int] = {}
        self._has_any = False
        self._lock, self._stop = threading.Lock(), threading.Event()
        # Daemons: a hanging download must not keep a process alive that was told to stop.
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
                self._download(planned, target)
                with self._lock:
                    self._waiting[target] = self._in_transit.pop(target)
                    self._has_any = True
                    if not self._pending and not self._in_transit:
                        (self._folder / _COMPLETE).touch()
            except OSError:  # No space even for a marker: without the folder nothing waits for it.
                shutil.rmtree(self._folder, ignore_errors=True)
                return

    def _download(self, planned: PlannedInput, target: Path) -> None:
        # Inside our folder: once that is removed, hanging or repeated downloads leave nothing behind.
        unfinished = spooling_in(self._folder / _UNFINISHED)
        fetched = self._store.fetch(planned.path, token=planned.token, size=planned.size)
        try:
            with unfinished, fetched as local:
                local.rename(target)
        except BatchError as error:  # The code that needs the input meets the error again.
            log.debug("%s: not prefetched: %s", planned.path, error)
            Path(f"{target}{_FAILED}").touch()

    def _next(self) -> PlannedInput | None:
        """The next input, as soon as there is space for it; None if there is none."""
        while not self._stop.is_set():
            with self._lock:
                if not self._pending:
                    return None
                if self._has_space(self._pending[0].size):
                    planned = self._pending.popleft()
                    self._in_transit[self._folder / _name(planned.path, planned.token)] = (
                        planned.size
                    )
                    return planned
            self._stop.wait(_POLL_SECONDS)
        return None

    def _has_space(self, size: int) -> bool:
        self._waiting = {path: bytes_ for path, bytes_ in self._waiting.items() if path.exists()}
        in_transit, waiting = sum(self._in_transit.values()), sum(self._waiting.values())
        may_join = len(self._in_transit) < (_LARGE_TOGETHER if self._has_any else 1)
        return (may_join or in_transit + size <= _SIDE_BY_SIDE_BYTES) and (
            not self._waiting
            or (
                waiting + in_transit + size <= _WAITING_BYTES
                and len(self._waiting) < _WAITING_INPUTS
            )
        )


def _name(path: str, token: str | None) -> str:
    return hashlib.sha256(f"{path}\n{token}".encode()).hexdigest()
