"""A store that something happens in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batch.store.base import Store
from tests.faulty import Operation, Watched


class Wrapped(Watched):
    """A store that calls `before` with the verb and the path of each operation."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        @contextmanager
        def around(operation: Operation) -> Iterator[None]:
            before(operation.verb, operation.path)
            yield

        super().__init__(store, around)
