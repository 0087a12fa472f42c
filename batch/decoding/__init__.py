"""Turn an input into chunks of typed records and rejects, one format a module."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from batch.chunk import Decoder
from batch.columns import InputColumn
from batch.decoding.csv import decode_csv
from batch.decoding.jsonl import decode_jsonl
from batch.decoding.parquet import decode_parquet
from batch.job import Format
from batch.recipe import TextOptions

__all__ = ["open_decoder"]


def open_decoder(
    input_format: Format,
    columns: Sequence[InputColumn],
    *,
    key: Sequence[str],
    text: TextOptions,
    chunk_rows: int,
) -> Decoder:
    """The function that reads inputs of a format into chunks of at most `chunk_rows` records.

    It yields exactly `columns`, in order, and raises `Unreadable` for an input it cannot read.
    """
    match input_format:
        case "csv":
            return functools.partial(
                decode_csv, columns=columns, key=key, text=text, chunk_rows=chunk_rows
            )
        case "jsonl":
            return functools.partial(decode_jsonl, columns=columns, chunk_rows=chunk_rows)
        case "parquet":
            return functools.partial(decode_parquet, columns=columns, chunk_rows=chunk_rows)
