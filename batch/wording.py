"""How many things are said in one line."""

from __future__ import annotations

from collections.abc import Collection


def listed(items: Collection[object], most: int) -> str:
    """The first of them, and a sign that there are more."""
    return ", ".join(map(str, [*items][:most])) + (", …" if len(items) > most else "")
