"""The bytes of an input: decompressed, converted to UTF-8 if necessary, and cut into blocks of whole records."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batch.records.arrays import glances
from batch.records.chunk import UnreadableInput
from batch.records.columns import InputColumn, compression_of

#: Bytes read at a time.
BLOCK_BYTES = 4 << 20
#: A code point that no text contains; it precedes the escaped value of an undecodable byte.
UNDECODABLE = "\ufffe"
_MARKING = "batch-predict-mark-undecodable"
_BOM = b"\xef\xbb\xbf"
_LF, _CR, _QUOTE, _SPACE = b'\n\r" '
#: Greater than all bytes that end records or delimit quotes, less than letters, digits and
#: delimiters.
_LOW = max(_LF, _CR, _QUOTE) + 1
#: The positions of the line feeds that end records; None if they cannot be found this way.
Ends = Callable[[np.ndarray], np.ndarray | None]


class _Recoded(io.RawIOBase):
    def __init__(self, stream: Any, encoding: str, block_bytes: int) -> None:
        self._stream, self._block_bytes = stream, block_bytes
        self._is_utf8 = is_utf8(encoding)
        name = "utf-8" if self._is_utf8 else encoding
        self._decoder = codecs.getincrementaldecoder(name)(errors=_MARKING)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            block = self._stream.read(self._block_bytes)
            self._rest += self._recode(block)
            if not block:
                break
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _recode(self, block: bytes) -> bytes:
        if self._is_utf8 and block.isascii() and not self._decoder.getstate()[0]:
            return block
        return self._decoder.decode(block, final=not block).encode("utf-8", _MARKING)


@dataclass(frozen=True)
class Block:
    """Complete records. `ends` are the positions of the line feeds after them, and of blank lines."""

    data: pa.Buffer
    ends: np.ndarray

    def pieces(self, is_record: np.ndarray, rows: int) -> Iterator[tuple[pa.Buffer, int]]:
        """Pieces of at most `rows` lines, each with the number of records in it."""
        start = 0
        for first in range(0, len(self.ends), rows):
            stop = int(self.ends[first : first + rows][-1]) + 1
            count = int(np.count_nonzero(is_record[first : first + rows]))
            if count:
                yield self.data.slice(start, stop - start), count
            start = stop

    def without_first(self) -> tuple[Block, bool]:
        """The block after its first non-blank line, and whether there is none."""
        (lines,) = np.nonzero(self.holds_fields())
        if not len(lines):
            return self, True
        start = int(self.ends[lines[0]]) + 1
        return Block(self.data.slice(start), self.ends[lines[0] + 1 :] - start), False

    def holds_fields(self) -> np.ndarray:
        """Which lines are not empty: the records of CSV."""
        text = np.frombuffer(self.data, np.uint8)
        lengths = np.diff(self.ends, prepend=-1) - 1
        has_fields: np.ndarray = (lengths > 1) | ((lengths == 1) & (text[self.ends - 1] != _CR))
        return has_fields

    def holds_text(self) -> np.ndarray:
        """Which lines are not blank: the records of JSON Lines."""
        text, starts = np.frombuffer(self.data, np.uint8), np.append(0, self.ends[:-1] + 1)
        has_text: np.ndarray = text[starts] > _SPACE
        for line in np.flatnonzero(~has_text):
            has_text[line] = bool(self.data[starts[line] : self.ends[line]].to_pybytes().strip())
        return has_text


class Blocks:
    """The blocks of a stream, as long as `ends` finds where its records end.

    A byte order mark is removed, and a missing last line feed is added.
    """

    def __init__(self, stream: Any, ends: Ends, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._stream = stream
        self._ends = ends
        self._rest = pa.py_buffer(b"")
        self.has_more = False

    def __iter__(self) -> Iterator[Block]:
        at_start = True
        while len(block := self._next()):
            if at_start and block[:3].to_pybytes() == _BOM:
                block = block.slice(3)
            at_start = False
            self._rest = block
            ends = self._ends(np.frombuffer(block, np.uint8))
            if ends is None:
                self.has_more = True
                return
            if len(ends):
                stop = int(ends[-1]) + 1
                self._rest = block.slice(stop)
                yield Block(block.slice(0, stop), ends)

    def read(self, size: int) -> bytes:
        """Bytes that no block contained, after the last block."""
        if not len(self._rest):
            return bytes(self._stream.read(size))
        data = self._rest[:size].to_pybytes()
        self._rest = self._rest.slice(len(data))
        return bytes(data)

    def close(self) -> None:
        self._stream.close()

    def _next(self) -> pa.Buffer:
        """The unused rest and the bytes after it; empty at the end of the stream."""
        filled = len(self._rest)
        size = max(self._block_bytes, 2 * filled)
        block = pa.allocate_buffer(size + 1)  # One byte more for the last line feed.
        view = memoryview(block).cast("B")
        view[:filled] = memoryview(self._rest).cast("B")
        while filled < size and (count := self._stream.readinto(view[filled:size])):
            filled += count
        if 0 < filled < size and view[filled - 1] != _LF:
            view[filled] = _LF
            filled += 1
        return block.slice(0, filled)


def open_bytes(path: str) -> Any:
    """The input as an Arrow stream, decompressed according to its suffix."""
    file = pa.OSFile(path, "r")
    compression = compression_of(path)
    return pa.CompressedInputStream(file, compression) if compression else file


def is_utf8(encoding: str) -> bool:
    """Whether text in this encoding is valid UTF-8 as it is."""
    return codecs.lookup(encoding).name in {"utf-8", "ascii", "utf-8-sig"}


def as_text(data: pa.Buffer) -> pa.Buffer:
    """UTF-8, with marks at undecodable bytes."""
    whole = [None, pa.py_buffer(np.array([0, len(data)], np.int32)), data]
    try:
        pa.Array.from_buffers(pa.string(), 1, whole).validate(full=True)
    except pa.ArrowInvalid:
        return pa.py_buffer(data.to_pybytes().decode("utf-8", _MARKING).encode("utf-8", _MARKING))
    return data


def open_text(path: str, encoding: str, block_bytes: int) -> Any:
    """The input as a file of UTF-8, converted from its encoding.

    Undecodable bytes become `UNDECODABLE` and their escaped values, so that one bad record becomes
    one reject instead of making the whole input unreadable.
    """
    return recoded(open_bytes(path), encoding, block_bytes)


def recoded(stream: Any, encoding: str, block_bytes: int) -> io.RawIOBase:
    """A stream of text in an encoding, as `open_text` returns it."""
    return _Recoded(stream, encoding, block_bytes)


def plain(text: str) -> str:
    """Text without marks, for a message."""
    return text.replace(UNDECODABLE, "")


def require_columns(names: Sequence[str], wanted: Sequence[InputColumn]) -> None:
    """Raises `UnreadableInput` with the columns an input lacks, or has more than once."""
    missing = [column.name for column in wanted if column.name not in names]
    if missing:
        raise UnreadableInput(
            f"no column {', '.join(map(repr, missing))}; "
            f"found {', '.join(repr(plain(name)) for name in names)}"
        )
    duplicates = [column.name for column in wanted if names.count(column.name) > 1]
    if duplicates:
        raise UnreadableInput(f"duplicate column {', '.join(map(repr, duplicates))}")


def ends_of_lines(text: np.ndarray) -> np.ndarray:
    """Every line is a record."""
    return _positions(text, lambda glance: glance == _LF)


def ends_of_records(text: np.ndarray, delimiter: int) -> np.ndarray | None:
    """The ends of CSV records, if every quote and every line end is unambiguous.

    None if a quote begins or ends inside a field, if a carriage return has no line feed after it,
    and if no record ends.
    """
    low = _positions(text, lambda glance: glance < _LOW)  # One scan for all three bytes.
    low_bytes = text[low]
    feeds, quotes, returns = (low[low_bytes == byte] for byte in (_LF, _QUOTE, _CR))
    # By parity: before a line feed that ends a record, every opened quote was closed.
    ends = feeds[np.searchsorted(quotes, feeds) % 2 == 0] if len(quotes) else feeds
    if not len(ends):
        return None
    whole = text[: ends[-1] + 1]
    if np.any(whole[returns[returns < ends[-1]] + 1] != _LF):
        return None
    return ends if _are_tidy(quotes[quotes < ends[-1]], whole, delimiter) else None


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    escaped, position = codecs.backslashreplace_errors(error)
    return UNDECODABLE + str(escaped), position


def _are_tidy(quotes: np.ndarray, text: np.ndarray, delimiter: int) -> bool:
    """Whether the 1st, 3rd, ... quote opens a field and the others close it, or are escaped."""
    opening, closing = quotes[::2], quotes[1::2]
    before, after = text[opening - 1], text[closing + 1]
    opens = (before == delimiter) | (before == _LF) | (opening == 0)
    closes = (after == delimiter) | (after == _LF) | (after == _CR)
    is_doubled = closing[:-1] + 1 == opening[1:]
    return bool(np.all(opens[1:] | is_doubled) and np.all(closes[:-1] | is_doubled)) and bool(
        not len(quotes) or (opens[0] and closes[-1])
    )


def _positions(text: np.ndarray, is_wanted: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    positions = [np.flatnonzero(is_wanted(glance)) + start for start, glance in glances(text)]
    return np.concatenate(positions) if positions else np.zeros(0, np.intp)


codecs.register_error(_MARKING, _mark)
