"""Small things taken together, up to a size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def neighbours(
    items: Iterable[Item], *, size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """All items in their order, in lists of up to `most` in size; a larger item is alone."""
    together, held = list[Item](), 0
    for item in items:
        if together and held + size(item) > most:
            yield together
            together, held = [], 0
        together.append(item)
        held += size(item)
    if together:
        yield together
