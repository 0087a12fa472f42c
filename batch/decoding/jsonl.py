"""JSON lines: one object a line; a line that is not one is a reject."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from batch.casting import cast_values
from batch.chunk import SHOWN_CHARACTERS, Chunk, Reject, TypedColumn, Untyped, assemble
from batch.columns import InputColumn
from batch.decoding.streams import open_bytes

_BOM = b"\xef\xbb\xbf"
#: What a line raises that is no object; RecursionError where it is nested too deep.
_NO_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_jsonl(
    path: str, *, columns: Sequence[InputColumn], chunk_rows: int
) -> Iterator[Untyped]:
    """The records of a JSON lines file; an absent field is null, unknown fields are ignored."""
    decoder = msgspec.json.Decoder(_record_type(columns))
    row = 0
    for lines in _blocks(path, chunk_rows):
        yield functools.partial(_chunk, lines, row, columns, decoder)
        row += len(lines)


def _record_type(columns: Sequence[InputColumn]) -> type[msgspec.Struct]:
    # Every field takes any JSON value: the types are judged by `casting`, with the right words.
    fields = [
        (f"f{index}", Any, msgspec.field(name=column.name, default=None))
        for index, column in enumerate(columns)
    ]
    return msgspec.defstruct("Record", fields, array_like=False, gc=False)


def _blocks(path: str, chunk_rows: int) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    with io.BufferedReader(open_bytes(path), 1 << 20) as file:
        for number, line in enumerate(file):
            text = line if number else line.removeprefix(_BOM)
            if text.strip():
                lines.append(text)
            if len(lines) == chunk_rows:
                yield lines
                lines = []
    if lines:
        yield lines


def _chunk(
    lines: list[bytes],
    first_row: int,
    columns: Sequence[InputColumn],
    decoder: msgspec.json.Decoder[msgspec.Struct],
) -> Chunk:
    rejects: dict[int, Reject] = {}
    records, kept = _decode(lines, decoder, first_row, rejects)
    rows = pa.array([first_row + index for index in kept], pa.int64())
    values = [[getattr(record, f"f{index}") for record in records] for index in range(len(columns))]
    positions = {column.name: index for index, column in enumerate(columns)}
    typed = [
        TypedColumn(column, *cast_values(data, column))
        for column, data in zip(columns, values, strict=True)
    ]
    return assemble(
        typed,
        rows,
        raw=lambda index: _visible(lines[kept[index]]),
        shown=lambda name, index: _json(values[positions[name]][index])[:SHOWN_CHARACTERS],
        rejects=rejects,
    )


def _decode(
    lines: list[bytes],
    decoder: msgspec.json.Decoder[msgspec.Struct],
    first_row: int,
    rejects: dict[int, Reject],
) -> tuple[list[msgspec.Struct], Sequence[int]]:
    """The records, and the positions of their lines."""
    try:
        # Line by line: `decode_lines` takes two objects on one line, or one on two, for records.
        return [decoder.decode(line) for line in lines], range(len(lines))
    except _NO_RECORD:
        pass
    records, kept = [], []
    for index, line in enumerate(lines):
        try:
            records.append(decoder.decode(line))
            kept.append(index)
        except _NO_RECORD as error:
            row = first_row + index
            rejects[row] = Reject(row, "", f"not a JSON object: {error}", _visible(line))
    return records, kept


def _visible(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
