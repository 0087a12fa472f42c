"""A piece of a CSV file that holds whole records, typed by itself in any thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from batch.inputs.decoding import texts
from batch.inputs.decoding.streams import as_text, plain
from batch.records.arrays import contains, to_arrow
from batch.records.chunk import Chunk, Reject, UnreadableInput, assemble
from batch.records.columns import InputColumn
from batch.records.text import TextOptions

#: Arrow takes half the time where what it reads together fits into the cache.
CACHED_BYTES = 1 << 20


@dataclass(frozen=True)
class CsvForm:
    """What the records of a CSV file look like, and which of their columns are wanted."""

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
        """Records as text, typed. `whole()` has all of their columns, where `batch` does not."""
        return assemble(
            [
                texts.typed(batch.column(column.name), column, self.key, self.text)
                for column in self.columns
            ],
            rows,
            raw=lambda index: texts.raw(whole() if whole else batch, index, self.text.delimiter),
            shown=lambda name, index: texts.shown(batch.column(name)[index].as_py()),
            rejects=broken,
        )

    def as_text(self, names: Sequence[str]) -> pyarrow.csv.ConvertOptions:
        """Every column as text, these columns only."""
        return pyarrow.csv.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(names, pa.string()), include_columns=names
        )


@dataclass(frozen=True)
class CsvPiece:
    """`count` records as they stand in the file, the first of which has the number `first`."""

    form: CsvForm
    data: pa.Buffer
    first: int
    count: int

    def chunk(self) -> Chunk:
        """The records, typed. Raises `UnreadableInput` if there are not as many as were counted."""
        broken: dict[int, Reject] = {}
        batch = self._read([column.name for column in self.form.columns], broken)
        if batch.num_rows + len(broken) != self.count:
            last = self.first + self.count - 1
            raise UnreadableInput(f"records {self.first} to {last} cannot be told apart")
        rows = np.arange(self.first, self.first + self.count)
        kept = np.setdiff1d(rows, list(broken)) if broken else rows
        return self.form.chunk(batch, to_arrow(kept), broken, lambda: self._whole)

    @functools.cached_property
    def _whole(self) -> pa.RecordBatch:
        # Only what is rejected is shown with its other columns: seldom, so not read before.
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
        # Of a quoted "\r\n", Arrow drops the line feed where it begins a block.
        together = len(text) + 1 if has_quotes else min(CACHED_BYTES, self.form.block_bytes // 2)
        try:
            table = read(pa.BufferReader(text), read_options=self._in_blocks(together))
        except pa.ArrowInvalid:  # A record that is longer, perhaps.
            table = read(pa.BufferReader(text), read_options=self._in_blocks(len(text) + 1))
        for batch in table.combine_chunks().to_batches():
            return batch
        return pa.RecordBatch.from_pylist([], table.schema)

    def _in_blocks(self, size: int) -> pyarrow.csv.ReadOptions:
        return pyarrow.csv.ReadOptions(
            use_threads=False,  # Only one thread tells the numbers of broken rows.
            block_size=size,
            column_names=self.form.names,
        )

    def _reject(self, row: Any, broken: dict[int, Reject]) -> str:
        number = self.first + row.number - 1
        broken[number] = broken_record(row, number)
        return "skip"


def broken_record(row: Any, number: int) -> Reject:
    """The reject for a row that Arrow found to have more or fewer fields than the header."""
    reason = f"found {row.actual_columns} fields, expected {row.expected_columns}"
    return Reject(number, "", reason, plain(row.text))
