"""CSV: pyarrow splits the records, every column as text; types come from the job alone."""

from __future__ import annotations

import csv
import functools
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from batch.casting import cast_text
from batch.chunk import (
    SHOWN_CHARACTERS,
    Chunk,
    Reject,
    TypedColumn,
    Unreadable,
    Untyped,
    assemble,
)
from batch.columns import InputColumn
from batch.decoding.streams import BLOCK_BYTES, UNDECODABLE, open_text, plain, require_columns
from batch.job import KEY_NULLS
from batch.recipe import TextOptions

_RETURN_SECONDS = 2.0


def decode_csv(
    path: str,
    *,
    columns: Sequence[InputColumn],
    key: Sequence[str],
    text: TextOptions,
    chunk_rows: int,
) -> Iterator[Untyped]:
    """The records of a CSV file, in chunks of at most `chunk_rows` and of about `BLOCK_BYTES`.

    A record with another number of fields than the header is a reject. Blank lines are no
    records. Raises `Unreadable` for a missing or doubled column, for a quote that is not closed
    where its field ends, and for a record longer than `BLOCK_BYTES`.
    """
    names, has_records = _begin(path, text)
    if names:
        require_columns(names, columns)
    if not has_records:
        return
    try:
        yield from _CsvReader(names, columns, key, text, chunk_rows).read(path)
    except pa.ArrowInvalid as error:
        if "straddling object" in str(error):
            raise Unreadable(
                f"a record is longer than {BLOCK_BYTES} bytes: is a quote opened and never closed?"
            ) from None
        raise


def _begin(path: str, text: TextOptions) -> tuple[list[str], bool]:
    """The names of the columns, [] for an empty file, and whether a record follows them."""
    with _open_lines(path, text) as lines:
        first = next((row for row in csv.reader(lines, delimiter=text.delimiter) if row), [])
        if text.names:
            return list(text.names), bool(first)
        return first, bool(lines.read(1))


def _open_lines(path: str, text: TextOptions) -> io.TextIOWrapper:
    stream = io.BufferedReader(open_text(path, text.encoding))
    return io.TextIOWrapper(stream, "utf-8-sig", newline="")


@dataclass
class _CsvReader:
    """One reading of one file: which records were broken, and how many came before."""

    names: list[str]
    columns: Sequence[InputColumn]
    key: Sequence[str]
    text: TextOptions
    chunk_rows: int
    broken: dict[int, Reject] = field(default_factory=dict)
    has_long_fields: bool = False

    def read(self, path: str) -> Iterator[Untyped]:
        with _QuoteCounter(open_text(path, self.text.encoding)) as source:
            row = 0
            for batch in self._batches(source):
                if source.quotes and not self.has_long_fields:
                    self.has_long_fields = any(map(_spans_lines, batch.columns))
                rows, row = _number(row, batch.num_rows, self.broken)
                yield from self._chunks(batch, rows, row)
            if self.broken:
                nothing = pa.array([], pa.string())
                batch = pa.record_batch([nothing] * len(self.names), self.names)
                yield functools.partial(
                    self._chunk, batch, pa.array([], pa.int64()), dict(self.broken)
                )
        if source.quotes % 2 or self.has_long_fields:
            _require_closed_quotes(path, self.text)

    def _batches(self, source: _QuoteCounter) -> Iterator[pa.RecordBatch]:
        lent = (source, self._reject)
        before = _references(lent)
        yield from self._open(*lent)
        _await_return(lent, before)  # After an error, its traceback would hold them still.

    def _open(self, source: _QuoteCounter, reject: Callable[[Any], str]) -> Any:
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
                invalid_row_handler=reject,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string())
            ),
        )

    def _reject(self, row: Any) -> str:
        number = row.number - (1 if self.text.names else 2)  # Arrow counts the header as row 1.
        reason = f"found {row.actual_columns} fields, expected {row.expected_columns}"
        self.broken[number] = Reject(number, "", reason, plain(row.text))
        self.has_long_fields |= "\n" in row.text or "\r" in row.text
        return "skip"

    def _chunks(self, batch: pa.RecordBatch, rows: pa.Array, end: int) -> Iterator[Untyped]:
        """A batch in pieces, each with the broken records before the next one."""
        for start in range(0, max(batch.num_rows, 1), self.chunk_rows):
            after = start + self.chunk_rows
            row = rows[after].as_py() if after < len(rows) else end
            earlier = [number for number in self.broken if number < row]
            broken = {number: self.broken.pop(number) for number in earlier}
            piece = batch.slice(start, self.chunk_rows)
            yield functools.partial(self._chunk, piece, rows.slice(start, self.chunk_rows), broken)

    def _chunk(self, batch: pa.RecordBatch, rows: pa.Array, broken: dict[int, Reject]) -> Chunk:
        return assemble(
            [self._typed(column, batch.column(column.name)) for column in self.columns],
            rows,
            raw=lambda index: _raw(batch, index, self.text.delimiter),
            shown=lambda name, index: _shown(batch.column(name)[index].as_py()),
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
    """Passes bytes through and counts the quotes. No block but the last ends with CR."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held = b""
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block: bytes = self._held + self._stream.read(max(size - len(self._held), -1))
        self._held = b""
        if len(block) > 1 and block.endswith(b"\r"):
            # Arrow drops a LF that begins a block after a CR that ended one, within quotes too.
            block, self._held = block[:-1], b"\r"
        self.quotes += block.count(b'"')
        return block

    def close(self) -> None:
        self._stream.close()
        super().close()


def _await_return(lent: Sequence[object], before: int) -> None:
    """Wait until Arrow has given back what it borrowed.

    A thread of Arrow's drops its references a little after the last batch. If Python ends just
    then, that thread aborts the whole process, whatever the run had to say (apache/arrow#34314).
    """
    deadline = time.monotonic() + _RETURN_SECONDS
    while _references(lent) > before and time.monotonic() < deadline:
        time.sleep(0.001)


def _references(objects: Sequence[object]) -> int:
    return sum(sys.getrefcount(one) for one in objects)


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


def _require_closed_quotes(path: str, text: TextOptions) -> None:
    """Raises `Unreadable` where a quoted field swallows the end of its line.

    pyarrow reads on to the next quote, or to the end of the file, and makes one record of all
    that lies between; Python's csv module can tell, so files with such fields are read again.
    """
    csv.field_size_limit(max(csv.field_size_limit(), BLOCK_BYTES))
    with _open_lines(path, text) as lines:
        reader = csv.reader(lines, delimiter=text.delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                if next(reader, None) is None:
                    return
            except csv.Error as error:
                # Text behind a closing quote does no harm where the field lies on one line.
                if reader.line_num > line or str(error) == "unexpected end of data":
                    raise Unreadable(
                        f"line {line}: a quote is opened and not closed where its field ends: "
                        "the records after it cannot be told apart"
                    ) from None


def _spans_lines(values: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, r"[\r\n]")).as_py())


def _raw(batch: pa.RecordBatch, index: int, delimiter: str) -> str:
    """The record as CSV again."""
    line = io.StringIO()
    fields = [plain(column[index].as_py()) for column in batch.columns]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return line.getvalue().removesuffix("\n")


def _shown(text: str) -> str:
    return f"'{plain(text)[:SHOWN_CHARACTERS]}'"
