"""Group inputs into slices: large ones alone, small ones together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from batch.output.plan import PlannedInput
from batch.records.text import compression_of

#: Each is read whole, so a compressed one counts as what it may become in memory.
_UNPACKED = 16


@dataclass(frozen=True)
class Packing:
    """Inputs up to `small_bytes` share a slice, which holds at most the other two."""

    small_bytes: int = 4 << 20
    packed_bytes: int = 64 << 20
    packed_inputs: int = 2_000


PACKING = Packing()


def pack(
    inputs: Iterable[PlannedInput], packing: Packing = PACKING, *, apart: Collection[str] = ()
) -> list[tuple[PlannedInput, ...]]:
    """Group inputs into slices: large ones alone, small ones together, in the order of names.

    Those of the paths `apart` stand alone too.
    """
    groups: list[tuple[PlannedInput, ...]] = []
    together: list[PlannedInput] = []
    held = 0
    for planned in inputs:
        size = planned.size * (_UNPACKED if _is_compressed(planned.path) else 1)
        if size > packing.small_bytes or planned.path in apart:
            groups.append((planned,))
            continue
        is_full = held + size > packing.packed_bytes or len(together) == packing.packed_inputs
        if together and is_full:
            groups.append(tuple(together))
            together, held = [], 0
        together.append(planned)
        held += size
    return [*groups, tuple(together)] if together else groups


def in_reading_order(
    inputs: Iterable[PlannedInput], packing: Packing = PACKING
) -> tuple[PlannedInput, ...]:
    """The inputs as their slices will hold them, where nothing was done before."""
    return tuple(planned for group in pack(inputs, packing) for planned in group)


def _is_compressed(path: str) -> bool:
    return path.endswith(".parquet") or compression_of(path) is not None
