"""CSV whose records only Arrow can separate: read in order, every column as text."""

from __future__ import annotations

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

from batch.inputs.decoding.csv_pieces import CsvForm, broken_record
from batch.records.chunk import Reject, UnreadableInput, Untyped

_RETURN_SECONDS = 2.0


@dataclass
class UntidyReader:
    """Reads the records from number `first` on; there may be none.

    Quoted fields may contain line ends, and which text is quoted is known only when reading from
    the start: so records are split in order, and typed in any order. Afterwards `has_long_fields`
    tells whether any field contains a line end, `is_open` whether a quote was not closed.
    """

    form: CsvForm
    chunk_rows: int
    first: int
    has_header: bool
    broken: dict[int, Reject] = field(default_factory=dict)
    has_long_fields: bool = False
    is_open: bool = False

    def read(self, stream: Any) -> Iterator[Untyped]:
        row = self.first
        with _QuoteCounter(stream) as source:
            for batch in self._batches(source):
                if source.quotes and not self.has_long_fields:
                    self.has_long_fields = any(map(_spans_lines, batch.columns))
                rows, row = _number(row, batch.num_rows, self.broken)
                yield from self._chunks(batch, rows, row)
            if self.broken:
                nothing = [pa.array([], pa.string())] * len(self.form.names)
                batch = pa.record_batch(nothing, list(self.form.names))
                typed = functools.partial(self.form.chunk, batch, _number(0, 0, {})[0], self.broken)
                yield Untyped(len(self.broken), 0, typed)
        self.is_open = source.quotes % 2 == 1

    def _batches(self, source: _QuoteCounter) -> Iterator[pa.RecordBatch]:
        lent = (source, self._reject)
        before = _references(lent)
        try:
            yield from self._open(*lent)
        except pa.ArrowInvalid as error:
            if "straddling object" not in str(error):
                raise
            raise UnreadableInput(
                f"a record is longer than {self.form.block_bytes:,} bytes: unclosed quote?"
            ) from None
        _await_return(lent, before)  # After an error its traceback would still hold them.

    def _open(self, source: _QuoteCounter, reject: Callable[[Any], str]) -> Any:
        return pyarrow.csv.open_csv(
            pa.PythonFile(source, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # With several threads, Arrow does not number broken rows.
                block_size=self.form.block_bytes,
                column_names=None if self.has_header else self.form.names,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self.form.text.delimiter,
                newlines_in_values=True,
                invalid_row_handler=reject,
            ),
            convert_options=self.form.as_text(self.form.names),
        )

    def _reject(self, row: Any) -> str:
        # Arrow counts from 1, including the header.
        number = self.first + row.number - (2 if self.has_header else 1)
        self.broken[number] = broken_record(row, number)
        self.has_long_fields |= "\n" in row.text or "\r" in row.text
        return "skip"

    def _chunks(self, batch: pa.RecordBatch, rows: pa.Array, end: int) -> Iterator[Untyped]:
        """A batch in pieces, each with the broken records before the next piece."""
        for start in range(0, max(batch.num_rows, 1), self.chunk_rows):
            after = start + self.chunk_rows
            row = rows[after].as_py() if after < len(rows) else end
            earlier = [number for number in self.broken if number < row]
            broken = {number: self.broken.pop(number) for number in earlier}
            records = batch.slice(start, self.chunk_rows)
            numbers = rows.slice(start, self.chunk_rows)
            typed = functools.partial(self.form.chunk, records, numbers, broken)
            yield Untyped(records.num_rows, records.nbytes, typed)


class _QuoteCounter(io.RawIOBase):
    """Passes bytes through and counts the quotes. Only the last block may end with CR."""

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
            # Arrow drops a LF at the start of a block after a CR at the end of one, even inside quotes.
            block, self._held = block[:-1], b"\r"
        self.quotes += block.count(b'"')
        return block

    def close(self) -> None:
        self._stream.close()
        super().close()


def _await_return(lent: Sequence[object], before: int) -> None:
    """Wait until Arrow has released the objects it borrowed.

    One of Arrow's threads drops its references shortly after the last batch. If Python exits just
    then, that thread aborts the whole process, whatever the run's outcome (apache/arrow#34314).
    """
    deadline = time.monotonic() + _RETURN_SECONDS
    while _references(lent) > before and time.monotonic() < deadline:
        time.sleep(0.001)


def _references(objects: Sequence[object]) -> int:
    return sum(sys.getrefcount(item) for item in objects)


def _number(first: int, count: int, broken: dict[int, Reject]) -> tuple[pa.Array, int]:
    """The numbers of the next `count` intact records, and the first number after them."""
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


def _spans_lines(values: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, r"[\r\n]")).as_py())
