"""Blocks of an input that end where a record ends, so that each can be decoded by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batch.records.arrays import glances

_BOM = b"\xef\xbb\xbf"
_LF, _CR, _QUOTE, _SPACE = b'\n\r" '
#: Above all bytes that end records or begin and end quotes, below letters, digits and delimiters.
_LOW = max(_LF, _CR, _QUOTE) + 1

#: The positions of the line feeds that end records; None where they are not so easily told.
Ends = Callable[[np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Block:
    """Whole records. `ends` are the positions of the line feeds behind them, blank lines too."""

    data: pa.Buffer
    ends: np.ndarray

    def pieces(self, is_record: np.ndarray, rows: int) -> Iterator[tuple[pa.Buffer, int]]:
        """Pieces of at most so many lines, each with the number of those that are records."""
        start = 0
        for first in range(0, len(self.ends), rows):
            stop = int(self.ends[first : first + rows][-1]) + 1
            count = int(np.count_nonzero(is_record[first : first + rows]))
            if count:
                yield self.data.slice(start, stop - start), count
            start = stop

    def without_first(self) -> tuple[Block, bool]:
        """What follows the first line that is not blank, and whether all lines are."""
        (lines,) = np.nonzero(self.holds_fields())
        if not len(lines):
            return self, True
        start = int(self.ends[lines[0]]) + 1
        return Block(self.data.slice(start), self.ends[lines[0] + 1 :] - start), False

    def holds_fields(self) -> np.ndarray:
        """Which lines are not empty: records of CSV."""
        text = np.frombuffer(self.data, np.uint8)
        lengths = np.diff(self.ends, prepend=-1) - 1
        found: np.ndarray = (lengths > 1) | ((lengths == 1) & (text[self.ends - 1] != _CR))
        return found

    def holds_text(self) -> np.ndarray:
        """Which lines are not blank, of spaces too: records of JSON lines."""
        text, starts = np.frombuffer(self.data, np.uint8), np.append(0, self.ends[:-1] + 1)
        found: np.ndarray = text[starts] > _SPACE
        for line in np.flatnonzero(~found):
            found[line] = bool(self.data[starts[line] : self.ends[line]].to_pybytes().strip())
        return found


class Blocks:
    """The blocks of a stream, as far as `ends` can tell where its records end.

    A byte order mark is left out, and where the last line feed is missing it is put there.
    """

    def __init__(self, stream: Any, ends: Ends, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._stream = stream
        self._ends = ends
        self._left = pa.py_buffer(b"")
        self.has_more = False

    def __iter__(self) -> Iterator[Block]:
        at_start = True
        while len(block := self._next()):
            if at_start and block[:3].to_pybytes() == _BOM:
                block = block.slice(3)
            at_start = False
            self._left = block
            ends = self._ends(np.frombuffer(block, np.uint8))
            if ends is None:
                self.has_more = True
                return
            if len(ends):
                stop = int(ends[-1]) + 1
                self._left = block.slice(stop)
                yield Block(block.slice(0, stop), ends)

    def read(self, size: int) -> bytes:
        """What no block held, after the last one was given."""
        if not len(self._left):
            return bytes(self._stream.read(size))
        data = self._left[:size].to_pybytes()
        self._left = self._left.slice(len(data))
        return bytes(data)

    def close(self) -> None:
        self._stream.close()

    def _next(self) -> pa.Buffer:
        """What is left and what follows; empty at the end of the stream."""
        kept = len(self._left)
        size = max(self._block_bytes, 2 * kept)
        block = pa.allocate_buffer(size + 1)  # One byte more for the last line feed.
        view = memoryview(block).cast("B")
        view[:kept] = memoryview(self._left).cast("B")
        while kept < size and (count := self._stream.readinto(view[kept:size])):
            kept += count
        if 0 < kept < size and view[kept - 1] != _LF:
            view[kept] = _LF
            kept += 1
        return block.slice(0, kept)


def ends_of_lines(text: np.ndarray) -> np.ndarray:
    """Every line is a record."""
    return _positions(text, lambda glance: glance == _LF)


def ends_of_records(text: np.ndarray, delimiter: int) -> np.ndarray | None:
    """The ends of CSV records, where every quote and every line end is what it seems to be.

    None where a quote begins or ends within a field, where a carriage return stands alone, and
    where no record ends.
    """
    low = _positions(text, lambda glance: glance < _LOW)  # One glance for three bytes.
    found = text[low]
    feeds, quotes, returns = (low[found == byte] for byte in (_LF, _QUOTE, _CR))
    # By parity: before a line feed that ends a record, as many quotes were closed as opened.
    ends = feeds[np.searchsorted(quotes, feeds) % 2 == 0] if len(quotes) else feeds
    if not len(ends):
        return None
    whole = text[: ends[-1] + 1]
    if np.any(whole[returns[returns < ends[-1]] + 1] != _LF):
        return None
    return ends if _are_tidy(quotes[quotes < ends[-1]], whole, delimiter) else None


def _are_tidy(quotes: np.ndarray, text: np.ndarray, delimiter: int) -> bool:
    """Whether the 1st, 3rd, ... quote opens a field and the others close it, or are doubled."""
    opening, closing = quotes[::2], quotes[1::2]
    before, after = text[opening - 1], text[closing + 1]
    opens = (before == delimiter) | (before == _LF) | (opening == 0)
    closes = (after == delimiter) | (after == _LF) | (after == _CR)
    is_doubled = closing[:-1] + 1 == opening[1:]
    return bool(np.all(opens[1:] | is_doubled) and np.all(closes[:-1] | is_doubled)) and bool(
        not len(quotes) or (opens[0] and closes[-1])
    )


def _positions(text: np.ndarray, is_wanted: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    found = [np.flatnonzero(is_wanted(glance)) + start for start, glance in glances(text)]
    return np.concatenate(found) if found else np.zeros(0, np.intp)
