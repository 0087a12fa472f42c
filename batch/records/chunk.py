"""The records in memory at once, typed, each with its number within the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import BadData
from batch.records.arrays import has_nan
from batch.records.columns import InputColumn

if TYPE_CHECKING:
    import pyarrow as pa

#: A raw record is kept up to this many characters.
RAW_CHARACTERS = 10_000

#: A chunk as it is read has about so many bytes at the most.
CHUNK_BYTES = 12 << 20

#: A value is shown in a reason up to this many characters.
SHOWN_CHARACTERS = 80


class UnreadableInput(BadData):
    """An input that yields no trustworthy records: nothing of it is published."""


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
    """Typed records, and the rejects met while reading them.

    `rows` (int64) are the numbers of the records of `records`; `raw(i)` is record i as it stands
    in the input.
    """

    records: pa.RecordBatch
    rows: pa.Array
    rejects: tuple[Reject, ...]
    raw: Callable[[int], str]


@dataclass(frozen=True)
class Untyped:
    """The next records of an input, counted and numbered, but not typed yet: calling it does that.

    Any thread may call it, also while the next ones are read; it may raise `UnreadableInput`. `rows`
    is how many records there are, of about so many `bytes`.
    """

    rows: int
    bytes: int
    make: Callable[[], Chunk]

    def __call__(self) -> Chunk:
        return self.make()


#: Reads an input at a local path, piece by piece; raises `UnreadableInput`.
Decoder = Callable[[str], Iterator[Untyped]]


@dataclass(frozen=True)
class TypedColumn:
    """A decoded column: values, and the positions of those that do not fit its type."""

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
    """Split decoded records into those that fit and rejects, one reject a record.

    `shown(column, i)` is the value of record i as a person should see it; `rejects` are those
    found before, by row.
    """
    import pyarrow as pa

    found = dict(rejects or {})
    lost: dict[int, tuple[str, str]] = {}
    for typed in columns:
        name, wanted = typed.column.name, typed.column.type
        for index in typed.bad:
            lost.setdefault(index, (name, f"found {shown(name, index)}, expected {wanted}"))
        for index in [] if typed.column.nullable else _nulls(typed.values):
            lost.setdefault(index, (name, "null, where none is allowed"))
    for index, (name, reason) in lost.items():
        row = rows[index].as_py()
        found[row] = Reject(row, name, reason, raw(index)[:RAW_CHARACTERS])
    batch = pa.RecordBatch.from_arrays(
        [typed.values for typed in columns], [typed.column.name for typed in columns]
    )
    rejected = tuple(found[row] for row in sorted(found))
    if not lost:
        return Chunk(batch, rows, rejected, raw)
    kept = [index for index in range(len(rows)) if index not in lost]
    positions = pa.array(kept, pa.int64())
    return Chunk(batch.take(positions), rows.take(positions), rejected, lambda i: raw(kept[i]))


def _nulls(values: pa.Array) -> list[int]:
    import pyarrow.compute as pc

    if not values.null_count and not has_nan(values):
        return []
    positions = pc.indices_nonzero(pc.is_null(values, nan_is_null=True))
    return list(positions.to_pylist())
