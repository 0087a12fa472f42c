"""A store that something happens in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta

from batch.store.base import Listing, Store
from tests.faults.faulty import Operation, Watched


class Wrapped(Watched):
    """A store that calls `before` with the verb and the path of each operation."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        @contextmanager
        def around(operation: Operation) -> Iterator[None]:
            before(operation.verb, operation.path)
            yield

        super().__init__(store, around)


class Later(Watched):
    """A store some days later: by its own clock, all that lies there is that much older."""

    def __init__(self, store: Store, days: float = 8) -> None:
        super().__init__(store, lambda _: nullcontext())
        self._by = timedelta(days=days)

    def list(self, prefix: str = "") -> Listing:
        found = super().list(prefix)
        return replace(found, now=found.now + self._by)
