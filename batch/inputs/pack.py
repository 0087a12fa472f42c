"""Group inputs into slices: large ones alone, small ones together."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from batch.output.plan import PlannedInput
from batch.records.text import compression_of

#: Inputs up to this size share a slice, of up to this many bytes and inputs. Each is read whole,
#: so a compressed one counts as what it may become in memory.
SMALL_BYTES = 4 << 20


_UNPACKED = 16


PACKED_BYTES = 64 << 20


PACKED_INPUTS = 2_000


def pack(
    inputs: Iterable[PlannedInput], *, apart: Collection[str] = ()
) -> list[tuple[PlannedInput, ...]]:
    """Group inputs into slices: large ones alone, small ones together, in the order of names.

    Those of the paths `apart` stand alone too.
    """
    groups: list[tuple[PlannedInput, ...]] = []
    together: list[PlannedInput] = []
    held = 0
    for planned in inputs:
        size = planned.size * (_UNPACKED if _is_compressed(planned.path) else 1)
        if size > SMALL_BYTES or planned.path in apart:
            groups.append((planned,))
            continue
        if together and (held + size > PACKED_BYTES or len(together) == PACKED_INPUTS):
            groups.append(tuple(together))
            together, held = [], 0
        together.append(planned)
        held += size
    return [*groups, tuple(together)] if together else groups


def in_reading_order(inputs: Iterable[PlannedInput]) -> tuple[PlannedInput, ...]:
    """The inputs as their slices will hold them, where nothing was done before."""
    return tuple(planned for group in pack(inputs) for planned in group)


def _is_compressed(path: str) -> bool:
    return path.endswith(".parquet") or compression_of(path) is not None
