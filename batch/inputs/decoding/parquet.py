"""Parquet: the file's own types, unless the job declares others."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.types import is_primitive

from batch.inputs.decoding.streams import require_columns
from batch.records.arrays import neighbours, to_arrow
from batch.records.cast import cast_arrow
from batch.records.chunk import (
    CHUNK_BYTES,
    SHOWN_CHARACTERS,
    Chunk,
    TypedColumn,
    UnreadableInput,
    Untyped,
    assemble,
)
from batch.records.columns import InputColumn, type_of_arrow

#: Per column: without it, Arrow holds a whole encoded row group in memory.
_BUFFER_BYTES = 256 << 10
#: Row groups up to this many chunks are read whole: a reader of larger ones holds as much anyway.
_CHUNKS_AT_ONCE = 4
_PROBED_ROWS = 1_000


def decode_parquet(
    path: str, *, columns: Sequence[InputColumn], chunk_rows: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Untyped]:
    """The records of a Parquet file; only `columns` are read."""
    with pq.ParquetFile(
        path, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True
    ) as file:
        names = [column.name for column in columns]
        require_columns(file.schema_arrow.names, columns)
        row = 0
        rows = _rows_of(file, names, chunk_bytes)
        for batch in _batches(file, names, min(chunk_rows, rows), at_once=rows * _CHUNKS_AT_ONCE):
            typed = functools.partial(_chunk, batch, row, columns)
            yield Untyped(batch.num_rows, batch.nbytes, typed)
            row += batch.num_rows


def file_columns(path: Path, names: Sequence[str]) -> tuple[InputColumn, ...]:
    """The columns of a Parquet file, with the types it declares.

    Raises `UnreadableInput` for a missing column, or one whose type is not supported.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableInput(f"not readable as Parquet: {error}") from None
    columns = []
    for name in names:
        if name not in schema.names:
            raise UnreadableInput(f"no column {name!r}; found {', '.join(map(repr, schema.names))}")
        kind = type_of_arrow(schema.field(name).type)
        if kind is None:
            raise UnreadableInput(
                f"column {name!r}: the type {schema.field(name).type} is not supported"
            )
        columns.append(InputColumn(name=name, type=kind, nullable=True))
    return tuple(columns)


def _batches(
    file: pq.ParquetFile, names: list[str], rows: int, *, at_once: int
) -> Iterator[pa.RecordBatch]:
    """Batches of `rows` rows. Row groups of up to `at_once` rows are read whole."""
    counts = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    for groups in neighbours(range(len(counts)), size=counts.__getitem__, most=at_once):
        if counts[groups[0]] > at_once:
            yield from file.iter_batches(rows, groups, names)
        else:
            # Column by column: for columns read together, Arrow keeps the pages and dictionaries of
            # all of them, which take more memory than the values.
            read = (file.read_row_groups(groups, [name], use_threads=False) for name in names)
            columns = {name: table.column(name) for name, table in zip(names, read, strict=True)}
            yield from pa.table(columns).to_batches(rows)


def _rows_of(file: pq.ParquetFile, names: list[str], chunk_bytes: int) -> int:
    """How many records fit into `chunk_bytes`; all of a small file."""
    groups = (file.metadata.row_group(index) for index in range(file.num_row_groups))
    if sum(group.total_byte_size for group in groups) <= chunk_bytes:
        return int(max(1, file.metadata.num_rows))
    types = {name: file.schema_arrow.field(name).type for name in names}
    known = {name: kind.bit_width / 8 for name, kind in types.items() if is_primitive(kind)}
    size = sum(known.values())
    # Text is assumed to be as long as in the first records.
    probed = [name for name in names if name not in known]
    if probed and (first := next(file.iter_batches(_PROBED_ROWS, columns=probed), None)):
        size += first.nbytes / first.num_rows
    return int(max(1, chunk_bytes / max(1, size)))


def _chunk(batch: pa.RecordBatch, first_row: int, columns: Sequence[InputColumn]) -> Chunk:
    typed = [
        TypedColumn(column, *cast_arrow(batch.column(column.name), column)) for column in columns
    ]
    names = [column.name for column in columns]
    rows = to_arrow(np.arange(first_row, first_row + batch.num_rows))
    return assemble(
        typed,
        rows,
        raw=lambda index: _json({name: _plain(batch.column(name)[index]) for name in names}),
        shown=lambda name, index: _json(_plain(batch.column(name)[index]))[:SHOWN_CHARACTERS],
    )


def _plain(value: pa.Scalar) -> object:
    """A value as JSON can represent it, even one without a Python type or text."""
    try:
        return value.as_py()
    except (ValueError, OverflowError):  # Bytes that are not text; a year after 9999.
        return value.cast(pa.string()).cast(pa.binary()).as_py().decode(errors="backslashreplace")


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()
