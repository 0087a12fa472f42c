"""Chunks: typed records in memory, each with its number within the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import BadData
from batch.records.arrays import has_nan
from batch.records.columns import InputColumn

if TYPE_CHECKING:
    import pyarrow as pa

#: A rejected record is stored up to this many characters.
RAW_CHARACTERS = 10_000

#: The approximate maximum size of a chunk.
CHUNK_BYTES = 12 << 20

#: A value appears in a reason up to this many characters.
SHOWN_CHARACTERS = 80


class UnreadableInput(BadData):
    """An input without trustworthy records: none of them is published."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be predicted; `row` is its number within the input, from 0."""

    row: int
    column: str
    reason: str
    raw: str

    def __str__(self) -> str:
        column = f", column {self.column!r}" if self.column else ""
        return f"record {self.row}{column}: {self.reason}"


@dataclass(frozen=True)
class Chunk:
    """Typed records, and the rejects found while reading them.

    `rows` (int64) holds the record numbers of `records`; `raw(i)` is record i as it is in the input.
    """

    records: pa.RecordBatch
    rows: pa.Array
    rejects: tuple[Reject, ...]
    raw: Callable[[int], str]


@dataclass(frozen=True)
class Untyped:
    """The next records of an input: counted and numbered, but not typed before it is called.

    Any thread may call it, even while later records are read; it may raise `UnreadableInput`. `rows`
    is the number of records, `bytes` their approximate size.
    """

    rows: int
    bytes: int
    make: Callable[[], Chunk]

    def __call__(self) -> Chunk:
        return self.make()


#: Reads an input at a local path, in pieces; raises `UnreadableInput`.
Decoder = Callable[[str], Iterator[Untyped]]


@dataclass(frozen=True)
class TypedColumn:
    """A decoded column: values, and the positions of those that do not match its type."""

    column: InputColumn
    values: pa.Array
    bad: Sequence[int]


def assemble(
    columns: Sequence[TypedColumn],
    rows: pa.Array,
    *,
    raw: Callable[[int], str],
    shown: Callable[[str, int], str],
    rejects: Mapping[int, Reject] | None = None,
) -> Chunk:
    """Split decoded records into valid ones and rejects, one reject per record.

    `shown(column, i)` is the value of record i for a message; `rejects` are those found earlier,
    by row.
    """
    import pyarrow as pa

    all_rejects = dict(rejects or {})
    reasons: dict[int, tuple[str, str]] = {}
    for typed in columns:
        name, wanted = typed.column.name, typed.column.type
        for index in typed.bad:
            reasons.setdefault(index, (name, f"found {shown(name, index)}, expected {wanted}"))
        for index in [] if typed.column.nullable else _nulls(typed.values):
            reasons.setdefault(index, (name, "null in a non-nullable column"))
    for index, (name, reason) in reasons.items():
        row = rows[index].as_py()
        all_rejects[row] = Reject(row, name, reason, raw(index)[:RAW_CHARACTERS])
    batch = pa.RecordBatch.from_arrays(
        [typed.values for typed in columns], [typed.column.name for typed in columns]
    )
    rejected = tuple(all_rejects[row] for row in sorted(all_rejects))
    if not reasons:
        return Chunk(batch, rows, rejected, raw)
    valid = [index for index in range(len(rows)) if index not in reasons]
    positions = pa.array(valid, pa.int64())
    return Chunk(batch.take(positions), rows.take(positions), rejected, lambda i: raw(valid[i]))


def _nulls(values: pa.Array) -> list[int]:
    import pyarrow.compute as pc

    if not values.null_count and not has_nan(values):
        return []
    positions = pc.indices_nonzero(pc.is_null(values, nan_is_null=True))
    return list(positions.to_pylist())
