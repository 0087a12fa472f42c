"""A store whose N-th operation goes wrong, or before whose N-th operation somebody else acts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batch.errors import StoreDown
from batch.job.job_file import Job
from batch.output.read import open_output
from batch.store.base import Blob, Changed, Entry, Exists, Listing, Store
from batch.store.files import this_host

#: What changes an object; a torn write needs bytes that arrive one after the other.
EFFECTS = frozenset({"create", "uploaded", "replace", "delete"})
WRITES = EFFECTS - {"delete"}
EVERYTHING = EFFECTS | {"list", "stat", "read", "fetch", "upload", "settle", "sweep"}

#: No process of Linux has a number above 2**22.
NOBODY = 2**22 + 1


class Crash(BaseException):
    """The process is gone. No `Exception`, so that nothing on the way takes it for an error."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, at which verbs, whether the operation takes effect first, how long it lasts.

    A store that fails for good takes no operation any more; one whose answers are lost, all.
    crash: nothing happens any more. fail: the store gives no answer. taken: it answers that the
    name is taken, as it does to whoever repeats a write whose first answer was lost.
    """

    name: str
    how: Literal["crash", "fail", "taken"]
    verbs: frozenset[str] = EVERYTHING
    with_effect: bool = False
    is_torn: bool = False
    lasts: Literal["once", "verb", "store"] = "once"


FAULTS = (
    Fault("crash before", "crash"),
    Fault("crash after", "crash", EFFECTS, with_effect=True),
    Fault("crash in a write", "crash", WRITES, is_torn=True),
    Fault("fails once", "fail"),
    Fault("verb fails for good", "fail", EFFECTS, lasts="verb"),
    Fault("store fails for good", "fail", EFFECTS, lasts="store"),
    Fault("answer lost once", "fail", EFFECTS, with_effect=True),
    Fault("answers lost for good", "fail", EFFECTS, with_effect=True, lasts="store"),
    Fault("answer to a repetition", "taken", WRITES, with_effect=True),
)


@dataclass(frozen=True)
class Operation:
    """One use of a verb. `content` is what a write writes, or the file that holds it."""

    verb: str
    path: str
    output: Path
    content: bytes | Path = b""


Around = Callable[[Operation], AbstractContextManager[None]]


def opening(*arounds: Around) -> Callable[[Job], Store]:
    """What a run opens its output by: each operation happens inside all of these, last outermost."""

    def opened(job: Job) -> Store:
        store = open_output(job)
        for around in arounds:
            store = Watched(store, around)
        return store

    return opened


class Watched:
    """A store that does each operation inside a context manager; an upload counts as two."""

    def __init__(self, store: Store, around: Around) -> None:
        self._store, self._around = store, around

    @property
    def url(self) -> str:
        """The place underneath."""
        return self._store.url

    @property
    def is_remote(self) -> bool:
        """As underneath."""
        return self._store.is_remote

    def list(self, prefix: str = "") -> Listing:
        with self._at("list", prefix):
            return self._store.list(prefix)

    def stat(self, path: str) -> Entry:
        with self._at("stat", path):
            return self._store.stat(path)

    def read(self, path: str, *, unless: str | None = None) -> Blob | None:
        with self._at("read", path):
            return self._store.read(path, unless=unless)

    @contextmanager
    def fetch(self, path: str, *, token: str | None = None, size: int = 0) -> Iterator[Path]:
        with ExitStack() as stack:
            with self._at("fetch", path):
                local = stack.enter_context(self._store.fetch(path, token=token, size=size))
            yield local

    def create(self, path: str, data: bytes) -> None:
        with self._at("create", path, data):
            self._store.create(path, data)

    @contextmanager
    def upload(self, path: str) -> Iterator[Path]:
        with ExitStack() as stack:
            with self._at("upload", path):
                local = stack.enter_context(self._store.upload(path))
            yield local
            with self._at("uploaded", path, local):
                stack.close()

    def replace(self, path: str, data: bytes, *, token: str | None) -> None:
        with self._at("replace", path, data):
            self._store.replace(path, data, token=token)

    def delete(self, path: str) -> None:
        with self._at("delete", path):
            self._store.delete(path)

    def settle(self, paths: Iterable[str]) -> None:
        with self._at("settle", ""):
            self._store.settle(paths)

    def sweep(self) -> None:
        with self._at("sweep", ""):
            self._store.sweep()

    def _at(
        self, verb: str, path: str, content: bytes | Path = b""
    ) -> AbstractContextManager[None]:
        return self._around(Operation(verb, path, Path(self.url), content))


class Injector:
    """Injects a fault at the N-th of the operations that it can strike, counted from 1."""

    def __init__(self, fault: Fault, at: int) -> None:
        self._fault, self._at = fault, at
        self._count, self._struck = 0, ""

    @property
    def has_struck(self) -> bool:
        return bool(self._struck)

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        """Go wrong before or after the effect, if it is the turn of this operation."""
        strikes = self._strikes(operation.verb)
        if strikes and self._fault.is_torn:
            leave_torn(operation)
        if strikes and not self._fault.with_effect:
            raise self._error(operation)
        yield
        if strikes:
            raise self._error(operation)

    def _strikes(self, verb: str) -> bool:
        if self._struck:
            return self._still_strikes(verb)
        self._count += verb in self._fault.verbs
        if verb in self._fault.verbs and self._count == self._at:
            self._struck = verb
        return bool(self._struck)

    def _still_strikes(self, verb: str) -> bool:
        if self._fault.how == "crash":
            raise Crash
        if self._fault.lasts == "store":
            return verb in EFFECTS or not self._fault.with_effect
        return self._fault.lasts == "verb" and verb == self._struck

    def _error(self, operation: Operation) -> BaseException:
        if self._fault.how == "crash":
            return Crash()
        if self._fault.how == "taken":
            kind = Changed if operation.verb == "replace" else Exists
            return kind(f"{operation.path}: is there already, by ourselves")
        return StoreDown(f"{operation.path}: no answer to {operation.verb}")


class Turn:
    """Lets somebody else act, once, before the N-th operation, counted from 1."""

    def __init__(self, act: Callable[[], None], at: int) -> None:
        self._act, self._left = act, at
        self.has_come = False

    @contextmanager
    def around(self, operation: Operation) -> Iterator[None]:
        """Act if it is the turn of this operation."""
        del operation
        self._left -= 1
        if self._left == 0:
            self.has_come = True
            self._act()
        yield


def leave_torn(operation: Operation) -> None:
    """Leave half of what was being written, as a process of this host does that was killed."""
    content = operation.content
    data = content.read_bytes() if isinstance(content, Path) else content
    unfinished = operation.output / ".tmp" / f"{this_host()}-{NOBODY}-{os.urandom(8).hex()}"
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_bytes(data[: len(data) // 2])
