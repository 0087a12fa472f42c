"""CSV: cut into pieces whose records are counted, each typed separately; the job declares the types."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterator, Sequence
from contextlib import closing

from batch.inputs.decoding.csv_in_order import UntidyReader
from batch.inputs.decoding.csv_pieces import CsvForm, CsvPiece
from batch.inputs.decoding.streams import (
    Blocks,
    ends_of_records,
    is_utf8,
    open_bytes,
    open_text,
    recoded,
    require_columns,
)
from batch.records.chunk import UnreadableInput, Untyped
from batch.records.columns import InputColumn, TextOptions


def decode_csv(
    path: str,
    *,
    columns: Sequence[InputColumn],
    key: Sequence[str],
    text: TextOptions,
    chunk_rows: int,
    block_bytes: int,
) -> Iterator[Untyped]:
    """The records of a CSV file, in chunks of at most `chunk_rows` and of about `block_bytes`.

    A record with more or fewer fields than the header is a reject. Blank lines are not records.
    Raises `UnreadableInput` for a missing or duplicate column, for a quote that is not closed at
    the end of its field, and for a record longer than `block_bytes`.
    """
    names, has_records = _begin(path, text, block_bytes)
    if names:
        require_columns(names, columns)
    if has_records:
        yield from _read(path, CsvForm(names, columns, key, text, block_bytes), chunk_rows)


def _begin(path: str, text: TextOptions, block_bytes: int) -> tuple[list[str], bool]:
    """The column names, [] for an empty file, and whether a record follows them."""
    with _open_lines(path, text, block_bytes) as lines:
        first = next((row for row in csv.reader(lines, delimiter=text.delimiter) if row), [])
        if text.names:
            return list(text.names), bool(first)
        return first, bool(lines.read(1))


def _open_lines(path: str, text: TextOptions, block_bytes: int) -> io.TextIOWrapper:
    stream = io.BufferedReader(open_text(path, text.encoding, block_bytes))
    return io.TextIOWrapper(stream, "utf-8-sig", newline="")


def _read(path: str, form: CsvForm, chunk_rows: int) -> Iterator[Untyped]:
    text = form.text
    has_header, row = not text.names, 0
    # UTF-8 is validated piece by piece, so it need not slow down reading.
    stream = (
        open_bytes(path)
        if is_utf8(text.encoding)
        else open_text(path, text.encoding, form.block_bytes)
    )
    with closing(stream):
        delimiter = ord(text.delimiter)
        blocks = Blocks(
            stream, functools.partial(ends_of_records, delimiter=delimiter), form.block_bytes
        )
        for block in blocks:
            records, has_header = block.without_first() if has_header else (block, False)
            for data, count in records.pieces(records.holds_fields(), chunk_rows):
                yield Untyped(count, data.size, CsvPiece(form, data, row, count).chunk)
                row += count
        if blocks.has_more:
            rest = UntidyReader(form, chunk_rows, row, has_header=has_header)
            yield from rest.read(recoded(blocks, "utf-8", form.block_bytes))
            if rest.has_long_fields or rest.is_open:
                _require_closed_quotes(path, form)


def _require_closed_quotes(path: str, form: CsvForm) -> None:
    """Raises `UnreadableInput` if a quoted field swallows the end of its line.

    pyarrow reads on to the next quote, or to the end of the file, and makes one record of
    everything in between. Python's csv module detects this, so files with such fields are read again.
    """
    csv.field_size_limit(max(csv.field_size_limit(), form.block_bytes))
    with _open_lines(path, form.text, form.block_bytes) as lines:
        reader = csv.reader(lines, delimiter=form.text.delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                if next(reader, None) is None:
                    return
            except csv.Error as error:
                # Text after a closing quote is harmless if the field is on one line.
                if reader.line_num > line or str(error) == "unexpected end of data":
                    raise UnreadableInput(
                        f"line {line}: unclosed quote: the records after it cannot be separated"
                    ) from None
