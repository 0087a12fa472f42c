"""CSV records as text: typed column by column, and shown in rejects."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batch.inputs.decoding.streams import UNDECODABLE, plain
from batch.records.arrays import may_contain
from batch.records.cast import cast_text
from batch.records.chunk import SHOWN_CHARACTERS, TypedColumn
from batch.records.columns import InputColumn
from batch.records.parse import parse_numbers
from batch.records.text import KEY_NULLS, TextOptions


def typed(
    values: pa.Array, column: InputColumn, key: Sequence[str], options: TextOptions
) -> TypedColumn:
    """Cast text to the declared type."""
    nulls = KEY_NULLS if column.name in key else options.null_values
    numbers = parse_numbers(values, column, options.decimal, nulls=nulls)
    if numbers is not None:
        return TypedColumn(column, numbers, ())
    undecodable = list[int]()
    if may_contain(values, UNDECODABLE.encode()[0]):
        undecodable = pc.indices_nonzero(pc.match_substring(values, UNDECODABLE)).to_pylist()
    is_null = pc.is_in(values, value_set=pa.array(nulls, pa.string()))
    if pc.any(is_null).as_py():
        values = pc.if_else(is_null, pa.scalar(None, pa.string()), values)
    values, bad = cast_text(values, column, decimal=options.decimal)
    return TypedColumn(column, values, sorted({*undecodable, *bad}))


def shown(text: str) -> str:
    """A value for a message."""
    return f"'{plain(text)[:SHOWN_CHARACTERS]}'"


def raw(batch: pa.RecordBatch, index: int, delimiter: str) -> str:
    """A record as a CSV line."""
    line = io.StringIO()
    fields = [plain(column[index].as_py()) for column in batch.columns]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return line.getvalue().removesuffix("\n")
