"""The bytes of an input: decompressed, and converted to UTF-8 if necessary."""

from __future__ import annotations

import codecs
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from batch.records.chunk import UnreadableInput
from batch.records.columns import InputColumn
from batch.records.text import compression_of

#: Bytes read at a time.
BLOCK_BYTES = 4 << 20

#: A code point that no text contains; it precedes the escaped value of an undecodable byte.
UNDECODABLE = "\ufffe"
_MARKING = "batch-predict-mark-undecodable"


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


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    escaped, position = codecs.backslashreplace_errors(error)
    return UNDECODABLE + str(escaped), position


codecs.register_error(_MARKING, _mark)
