"""CSV: pyarrow splits the records, every column as bytes; types come from the job alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from batch.casting import cast_text
from batch.chunk import Chunk, Reject, TypedColumn, Unreadable, assemble
from batch.columns import InputColumn
from batch.decoding.streams import BLOCK_BYTES, UNDECODABLE, open_text, plain, require_columns
from batch.job import KEY_NULLS
from batch.recipe import TextOptions


def decode_csv(
    path: str, *, columns: Sequence[InputColumn], key: Sequence[str], text: TextOptions
) -> Iterator[Chunk]:
    """The records of a CSV file in chunks of about `BLOCK_BYTES`.

    A record with another number of fields than the header is a reject. Blank lines are no
    records. Raises `Unreadable` for a missing or doubled column and for an unclosed quote.
    """
    try:
        names = list(text.names) if text.names else _header(path, text)
        if names:
            require_columns(names, columns)
            yield from _CsvReader(names, columns, key, text).read(path)
    except (pa.ArrowException, OSError, UnicodeError, csv.Error) as error:
        raise Unreadable(f"not readable as CSV: {error}") from None


def _header(path: str, text: TextOptions) -> list[str]:
    """The names in the first line that is not blank, [] for an empty file."""
    stream = io.BufferedReader(open_text(path, text.encoding))
    lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    names = next((row for row in csv.reader(lines, delimiter=text.delimiter) if row), [])
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise Unreadable(f"the header names {', '.join(map(repr, doubled))} more than once")
    return names


@dataclass
class _CsvReader:
    """One reading of one file: which records were broken, and how many came before."""

    names: list[str]
    columns: Sequence[InputColumn]
    key: Sequence[str]
    text: TextOptions
    broken: dict[int, Reject] = field(default_factory=dict)
    last_broken: tuple[int, str] = (-1, "")

    def read(self, path: str) -> Iterator[Chunk]:
        source = _QuoteCounter(open_text(path, self.text.encoding))
        row, last_value = 0, ""
        for batch in self._open(source):
            rows, row = _number(row, batch.num_rows, self.broken)
            last_value = batch.column(batch.num_columns - 1)[-1].as_py() if len(rows) else ""
            yield self._chunk(batch, rows, self._broken_before(row))
        if self.broken:
            nothing = pa.RecordBatch.from_pylist(
                [], pa.schema([(name, pa.string()) for name in self.names])
            )
            yield self._chunk(nothing, pa.array([], pa.int64()), self.broken)
        broken_number, broken_text = self.last_broken
        swallowed = (
            broken_text.count('"') % 2 == 1
            if broken_number >= row - 1
            else source.ends_inside(last_value)
        )
        if source.quotes % 2 and swallowed:
            raise Unreadable(
                "a quote is opened and never closed: the records after it cannot be told apart"
            )

    def _open(self, source: _QuoteCounter) -> Any:
        return pyarrow.csv.open_csv(
            pa.PythonFile(source, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # Only one thread tells the numbers of broken rows.
                block_size=BLOCK_BYTES,
                column_names=self.names if self.text.names else None,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.text.delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._reject,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string())
            ),
        )

    def _reject(self, row: Any) -> str:
        number = row.number - (1 if self.text.names else 2)  # Arrow counts the header as row 1.
        reason = f"found {row.actual_columns} fields, expected {row.expected_columns}"
        self.broken[number] = Reject(number, "", reason, plain(row.text))
        self.last_broken = (number, row.text)
        return "skip"

    def _broken_before(self, row: int) -> dict[int, Reject]:
        earlier = [number for number in self.broken if number < row]
        return {number: self.broken.pop(number) for number in earlier}

    def _chunk(self, batch: pa.RecordBatch, rows: pa.Array, broken: dict[int, Reject]) -> Chunk:
        return assemble(
            [self._typed(column, batch.column(column.name)) for column in self.columns],
            rows,
            raw=lambda index: _raw(batch, index, self.text.delimiter),
            shown=lambda name, index: f"'{plain(batch.column(name)[index].as_py())[:80]}'",
            rejects=broken,
        )

    def _typed(self, column: InputColumn, values: pa.Array) -> TypedColumn:
        undecodable = pc.indices_nonzero(pc.match_substring(values, UNDECODABLE)).to_pylist()
        nulls = KEY_NULLS if column.name in self.key else self.text.null_values
        is_null = pc.is_in(values, value_set=pa.array(nulls, pa.string()))
        values = pc.if_else(is_null, pa.scalar(None, pa.string()), values)
        values, bad = cast_text(values, column, decimal=self.text.decimal)
        return TypedColumn(column, values, sorted({*undecodable, *bad}))


class _QuoteCounter(io.RawIOBase):
    """Passes bytes through, counts the quotes and remembers the end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._tail = b""
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._stream.read(size)
        self.quotes += block.count(b'"')
        if block:
            self._tail = self._tail[-BLOCK_BYTES:] + block
        return block

    def ends_inside(self, last_value: str) -> bool:
        """Whether the last value of the last record began with a quote that was never closed."""
        return self._tail.endswith(f'"{last_value.replace(chr(34), chr(34) * 2)}'.encode())


def _number(first: int, count: int, broken: dict[int, Reject]) -> tuple[pa.Array, int]:
    """The numbers of the next `count` whole records, and the first number after them."""
    numbers: list[int] = []
    start = first
    for skipped in sorted(number for number in broken if number >= first):
        if len(numbers) + skipped - start >= count:
            break
        numbers.extend(range(start, skipped))
        start = skipped + 1
    end = start + count - len(numbers)
    numbers.extend(range(start, end))
    while end in broken:
        end += 1
    return pa.array(numbers, pa.int64()), end


def _raw(batch: pa.RecordBatch, index: int, delimiter: str) -> str:
    """The record as CSV again."""
    line = io.StringIO()
    fields = [plain(column[index].as_py()) for column in batch.columns]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return line.getvalue().removesuffix("\n")
