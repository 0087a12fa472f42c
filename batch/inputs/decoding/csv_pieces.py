"""Pieces of a CSV file: complete records, typed separately in any thread."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from batch.inputs.decoding.streams import UNDECODABLE, as_text, plain
from batch.records.arrays import contains, may_contain, to_arrow
from batch.records.cast import cast_text
from batch.records.chunk import (
    SHOWN_CHARACTERS,
    Chunk,
    Reject,
    TypedColumn,
    UnreadableInput,
    assemble,
)
from batch.records.columns import KEY_NULLS, InputColumn, TextOptions
from batch.records.parse import parse_numbers
from batch.wording import counted

#: Arrow takes half the time if a block fits into the cache.
CACHED_BYTES = 1 << 20


@dataclass(frozen=True)
class CsvForm:
    """The layout of a CSV file's records, and which of their columns to read."""

    names: Sequence[str]
    columns: Sequence[InputColumn]
    key: Sequence[str]
    text: TextOptions
    block_bytes: int

    def chunk(
        self,
        batch: pa.RecordBatch,
        rows: pa.Array,
        broken: Mapping[int, Reject],
        whole: Callable[[], pa.RecordBatch] | None = None,
    ) -> Chunk:
        """Type records given as text. `whole()` returns all of their columns, if `batch` does not."""
        return assemble(
            [
                typed_text(batch.column(column.name), column, self.key, self.text)
                for column in self.columns
            ],
            rows,
            raw=lambda index: raw_text(whole() if whole else batch, index, self.text.delimiter),
            shown=lambda name, index: shown_text(batch.column(name)[index].as_py()),
            rejects=broken,
        )

    def as_text(self, names: Sequence[str]) -> pyarrow.csv.ConvertOptions:
        """Read only these columns, as text."""
        return pyarrow.csv.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(names, pa.string()), include_columns=names
        )


@dataclass(frozen=True)
class CsvPiece:
    """`count` records as they are in the file, numbered from `first`."""

    form: CsvForm
    data: pa.Buffer
    first: int
    count: int

    def chunk(self) -> Chunk:
        """The typed records. Raises `UnreadableInput` if their number differs from the count."""
        broken: dict[int, Reject] = {}
        batch = self._read([column.name for column in self.form.columns], broken)
        if batch.num_rows + len(broken) != self.count:
            last = self.first + self.count - 1
            raise UnreadableInput(f"records {self.first} to {last} cannot be separated")
        rows = np.arange(self.first, self.first + self.count)
        intact = np.setdiff1d(rows, list(broken)) if broken else rows
        return self.form.chunk(batch, to_arrow(intact), broken, lambda: self._whole)

    @functools.cached_property
    def _whole(self) -> pa.RecordBatch:
        # Only rejects are shown with their other columns: rare, so these are read on demand.
        return self._read(self.form.names, {})

    def _read(self, names: Sequence[str], broken: dict[int, Reject]) -> pa.RecordBatch:
        text = as_text(self.data)
        has_quotes = contains(np.frombuffer(text, np.uint8), ord('"'))
        read = functools.partial(
            pyarrow.csv.read_csv,
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.form.text.delimiter,
                quote_char='"' if has_quotes else False,
                newlines_in_values=has_quotes,
                invalid_row_handler=lambda row: self._reject(row, broken),
            ),
            convert_options=self.form.as_text(names),
        )
        # Arrow drops the line feed of a quoted "\r\n" if it begins a block.
        block_bytes = len(text) + 1 if has_quotes else min(CACHED_BYTES, self.form.block_bytes // 2)
        try:
            table = read(pa.BufferReader(text), read_options=self._in_blocks(block_bytes))
        except pa.ArrowInvalid:  # Perhaps a record is longer than a block.
            table = read(pa.BufferReader(text), read_options=self._in_blocks(len(text) + 1))
        for batch in table.combine_chunks().to_batches():
            return batch
        return pa.RecordBatch.from_pylist([], table.schema)

    def _in_blocks(self, size: int) -> pyarrow.csv.ReadOptions:
        return pyarrow.csv.ReadOptions(
            use_threads=False,  # With several threads, Arrow does not number broken rows.
            block_size=size,
            column_names=self.form.names,
        )

    def _reject(self, row: Any, broken: dict[int, Reject]) -> str:
        number = self.first + row.number - 1
        broken[number] = broken_record(row, number)
        return "skip"


def broken_record(row: Any, number: int) -> Reject:
    """The reject for a row with more or fewer fields than the header."""
    reason = f"found {counted(row.actual_columns, 'field')}, expected {row.expected_columns}"
    return Reject(number, "", reason, plain(row.text))


def typed_text(
    values: pa.Array, column: InputColumn, key: Sequence[str], options: TextOptions
) -> TypedColumn:
    """Cast text to the declared type."""
    nulls = KEY_NULLS if column.name in key else options.null_values
    numbers = parse_numbers(values, column, options.decimal, nulls=nulls)
    if numbers is not None:
        return TypedColumn(column, numbers, ())
    undecodable = list[int]()
    if may_contain(values, UNDECODABLE.encode()[0]):
        undecodable = pc.indices_nonzero(pc.match_substring(values, UNDECODABLE)).to_pylist()
    is_null = pc.is_in(values, value_set=pa.array(nulls, pa.string()))
    if pc.any(is_null).as_py():
        values = pc.if_else(is_null, pa.scalar(None, pa.string()), values)
    values, bad = cast_text(values, column, decimal=options.decimal)
    return TypedColumn(column, values, sorted({*undecodable, *bad}))


def shown_text(text: str) -> str:
    """A value for a message."""
    return f"'{plain(text)[:SHOWN_CHARACTERS]}'"


def raw_text(batch: pa.RecordBatch, index: int, delimiter: str) -> str:
    """A record as a CSV line."""
    line = io.StringIO()
    fields = [plain(column[index].as_py()) for column in batch.columns]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return line.getvalue().removesuffix("\n")
