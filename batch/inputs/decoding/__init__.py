"""Decode an input into chunks of typed records and rejects: one module per format.

Nothing here decides which inputs are read, or what becomes of their records.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from csv import Error as CsvError  # A module of this package is called csv too.

import pyarrow as pa

from batch.inputs.decoding.csv import decode_csv
from batch.inputs.decoding.jsonl import decode_jsonl
from batch.inputs.decoding.parquet import decode_parquet
from batch.inputs.decoding.streams import BLOCK_BYTES
from batch.job.settings import Format
from batch.records.cast import WrongType
from batch.records.chunk import CHUNK_BYTES, Chunk, Decoder, UnreadableInput, Untyped
from batch.records.columns import InputColumn, TextOptions

__all__ = ["open_decoder"]

_NAMES: dict[Format, str] = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}


def open_decoder(  # noqa: PLR0913  # The sizes are optional, and keyword-only.
    input_format: Format,
    columns: Sequence[InputColumn],
    *,
    key: Sequence[str],
    text: TextOptions,
    chunk_rows: int,
    chunk_bytes: int = CHUNK_BYTES,
    block_bytes: int = BLOCK_BYTES,
) -> Decoder:
    """A function that reads inputs of a format into chunks of at most `chunk_rows` records.

    Chunks of Parquet have about `chunk_bytes` at most, those of text at most the `block_bytes` that
    are read at a time.

    The decoder itself does only what must be done in order; calling what it yields types the
    records. Chunks have exactly `columns`, in order. Both raise `UnreadableInput`.
    """
    match input_format:
        case "csv":
            decode: Decoder = functools.partial(
                decode_csv,
                columns=columns,
                key=key,
                text=text,
                chunk_rows=chunk_rows,
                block_bytes=block_bytes,
            )
        case "jsonl":
            decode = functools.partial(
                decode_jsonl, columns=columns, chunk_rows=chunk_rows, block_bytes=block_bytes
            )
        case "parquet":
            decode = functools.partial(
                decode_parquet, columns=columns, chunk_rows=chunk_rows, chunk_bytes=chunk_bytes
            )
    return functools.partial(_decode, decode, _NAMES[input_format])


def _decode(decode: Decoder, name: str, path: str) -> Iterator[Untyped]:
    with _readable_as(name):
        for untyped in decode(path):
            typed = functools.partial(_type, untyped, name)
            yield Untyped(untyped.rows, untyped.bytes, typed)


def _type(untyped: Untyped, name: str) -> Chunk:
    with _readable_as(name):
        return untyped()


@contextmanager
def _readable_as(name: str) -> Iterator[None]:
    """Turn the errors of libraries about malformed content into `UnreadableInput`."""
    try:
        yield
    except WrongType as error:
        raise UnreadableInput(error.message) from None
    except (pa.ArrowException, OSError, UnicodeError, CsvError) as error:
        raise UnreadableInput(f"not readable as {name}: {error}") from None
