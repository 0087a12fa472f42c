"""Group consecutive items up to a size limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def neighbours(
    items: Iterable[Item], *, size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """All items in order, in lists of a total size up to `most`; a larger item gets its own list."""
    group, group_size = list[Item](), 0
    for item in items:
        if group and group_size + size(item) > most:
            yield group
            group, group_size = [], 0
        group.append(item)
        group_size += size(item)
    if group:
        yield group
