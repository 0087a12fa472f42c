"""JSON Lines: one object per line; any other line is a reject."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from batch.inputs.decoding.streams import Blocks, ends_of_lines, open_bytes
from batch.records.arrays import to_arrow
from batch.records.cast import cast_values
from batch.records.chunk import SHOWN_CHARACTERS, Chunk, Reject, TypedColumn, Untyped, assemble
from batch.records.columns import InputColumn, arrow_type

#: Raised for a line that is not an object; RecursionError if it is nested too deeply.
_NO_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: Records processed together: as many as fit into the cache.
_RECORDS_AT_ONCE = 256
_NUMBERS = {"int64": int, "float64": float}

#: Python's json.dumps writes NaN and Infinity, which are not JSON; a string is matched as a whole.
_NOT_JSON = re.compile(rb'"(?:[^"\\]+|\\.)*"?|NaN|-?Infinity')
#: The only field of the object that replaces an infinite number: such an object matches no type.
_INFINITE = "\ufffe"

_Line = msgspec.json.Decoder[msgspec.Struct]


def decode_jsonl(
    path: str, *, columns: Sequence[InputColumn], chunk_rows: int, block_bytes: int
) -> Iterator[Untyped]:
    """The records of a JSON Lines file; missing fields are null, unknown ones are ignored."""
    form, row = _JsonForm(columns), 0
    with closing(open_bytes(path)) as stream:
        for block in Blocks(stream, ends_of_lines, block_bytes):
            for data, count in block.pieces(block.holds_text(), chunk_rows):
                yield Untyped(count, data.size, _JsonPiece(form, data, row).chunk)
                row += count


@dataclass(frozen=True)
class _JsonForm:
    columns: Sequence[InputColumn]

    @cached_property
    def any_values(self) -> _Line:
        """Accepts any JSON value: `records.cast` checks the types and words the errors."""
        return self._decoder(dict.fromkeys(_NUMBERS, Any))

    @cached_property
    def numbers(self) -> _Line:
        """Accepts only what `records.cast` accepts as a number, which saves checking each value."""
        return self._decoder({kind: exact | None for kind, exact in _NUMBERS.items()})

    def _decoder(self, types: dict[str, Any]) -> _Line:
        fields = [
            (f"f{index}", types.get(str(column.type), Any), _field(column.name))
            for index, column in enumerate(self.columns)
        ]
        record = msgspec.defstruct("Record", fields, array_like=False, gc=False)
        return msgspec.json.Decoder(record)


def _field(name: str) -> Any:
    return msgspec.field(name=name, default=None)


@dataclass(frozen=True)
class _JsonPiece:
    """Complete lines; the records are numbered from `first`."""

    form: _JsonForm
    data: pa.Buffer
    first: int

    def chunk(self) -> Chunk:
        """The typed records."""
        lines = [line for line in self.data.to_pybytes().split(b"\n") if line.strip()]
        rejects: dict[int, Reject] = {}
        positions: Sequence[int] = range(len(lines))
        columns = self.form.columns
        try:
            values = _taken_apart(
                lines, self.form.numbers, [_column(c, len(lines)) for c in columns]
            )
        except (*_NO_RECORD, OverflowError):  # Not an object or number, or more than 64 bits.
            objects = _objects(lines, self.form.any_values, self.first, rejects)
            positions = list(objects)
            values = _taken_apart(
                [*objects.values()], self.form.any_values, [_Values() for _ in columns]
            )
        by_name = {column.name: data for column, data in zip(columns, values, strict=True)}
        return assemble(
            [by_name[column.name].typed(column) for column in columns],
            to_arrow(np.array(positions, np.int64) + self.first),
            raw=lambda index: _visible(lines[positions[index]]),
            shown=lambda name, index: _shown(by_name[name].values[index])[:SHOWN_CHARACTERS],
            rejects=rejects,
        )


class _Values:
    """The values of one column, of any type."""

    def __init__(self) -> None:
        self.values: Any = []

    def add(self, start: int, values: Callable[[], Iterator[Any]]) -> None:  # noqa: ARG002
        self.values.extend(values())

    def typed(self, column: InputColumn) -> TypedColumn:
        return TypedColumn(column, *cast_values(self.values, column))


class _Numbers(_Values):
    """The values of one column, all of them null or numbers of its type."""

    def __init__(self, count: int, kind: type) -> None:
        self.values = np.zeros(count, kind)
        self._given = np.ones(count, np.bool_)

    def add(self, start: int, values: Callable[[], Iterator[Any]]) -> None:
        numbers = self.values[start : start + _RECORDS_AT_ONCE]
        try:
            numbers[:] = np.fromiter(values(), numbers.dtype, len(numbers))
            if not np.isnan(numbers).any():
                return
        except TypeError:
            pass
        # None is not an integer, and NumPy turns it into NaN among floats; JSON has no NaN.
        self._given[start : start + len(numbers)] = [value is not None for value in values()]
        numbers[:] = [0 if value is None else value for value in values()]

    def typed(self, column: InputColumn) -> TypedColumn:
        given = np.packbits(self._given, bitorder="little")
        buffers = [pa.py_buffer(given), pa.py_buffer(self.values)]
        array = pa.Array.from_buffers(arrow_type(column), len(self.values), buffers)
        return TypedColumn(column, array, ())


def _column(column: InputColumn, count: int) -> _Values:
    kind = _NUMBERS.get(str(column.type))
    return _Numbers(count, kind) if kind else _Values()


def _taken_apart(lines: list[bytes], decoder: _Line, columns: list[_Values]) -> list[_Values]:
    """The columns with the values of the objects added."""
    getters = [operator.attrgetter(f"f{index}") for index in range(len(columns))]
    for start in range(0, len(lines), _RECORDS_AT_ONCE):
        # Line by line: `decode_lines` also accepts two objects on one line, or one on two lines.
        records = list(map(decoder.decode, lines[start : start + _RECORDS_AT_ONCE]))
        for column, getter in zip(columns, getters, strict=True):
            column.add(start, functools.partial(map, getter, records))
    return columns


def _objects(
    lines: list[bytes], decoder: _Line, first: int, rejects: dict[int, Reject]
) -> dict[int, bytes]:
    """The lines that are objects, as JSON, by position; the others become rejects."""
    objects = {}
    for index, line in enumerate(lines):
        try:
            objects[index] = _as_json(line, decoder)
        except _NO_RECORD as error:
            row = first + index
            rejects[row] = Reject(row, "", f"not a JSON object: {error}", _visible(line))
    return objects


def _as_json(line: bytes, decoder: _Line) -> bytes:
    """The line, with NaN as null and each infinite number as an object that matches no type."""
    try:
        decoder.decode(line)
    except msgspec.DecodeError:
        json = _NOT_JSON.sub(_replace, line) if b"NaN" in line or b"Infinity" in line else line
        if json == line:
            raise
        decoder.decode(json)
        return json
    return line


def _replace(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if text.startswith(b'"'):
        return text
    return b"null" if text == b"NaN" else _json({_INFINITE: text.decode()}).encode()


def _visible(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")


def _shown(value: Any) -> str:
    is_infinite = isinstance(value, dict) and [*value] == [_INFINITE]
    return str(value[_INFINITE]) if is_infinite else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
