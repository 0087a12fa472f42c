"""Cast text, JSON values and Parquet columns to typed arrays, and report values that do not match.

Every public function returns the typed array, with null for each value that does not match the type,
and the positions of those values in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batch.errors import BadData
from batch.records.arrays import has_nan
from batch.records.columns import InputColumn, arrow_type, type_of_arrow
from batch.records.parse import UTC, cast_most, in_zone, parse_bool, parse_text

Cast = tuple[pa.Array, list[int]]

_INT64_SPAN = 2.0**63


class WrongType(BadData):
    """A Parquet column whose type cannot be converted to the declared type."""


def cast_text(values: pa.Array, column: InputColumn, *, decimal: str = ".") -> Cast:
    """Text as it is in the CSV file, null where the text means null."""
    match column.type:
        case "int64" | "float64" | "date" | "timestamp":
            array = parse_text(values, column, decimal)
        case "bool":
            array = parse_bool(values)
        case "category" if arrow_type(column) == pa.int64():
            array = parse_text(values, _whole(column), decimal)
        case _:
            array = values
    return _judge(pc.is_valid(values), array, column)


def cast_values(values: Sequence[Any], column: InputColumn) -> Cast:
    """JSON scalars. A number is not text, but an integer is accepted as a string key.

    A column without a declared type gets the type that Arrow infers.
    """
    given = pa.array([value is not None for value in values], pa.bool_())
    match column.type:
        case None:
            array = _untyped(values)
        case "int64" | "float64" | "bool":
            array = _from_scalars(values, column)
        case "category" if arrow_type(column) == pa.int64():
            array = _from_scalars(values, _whole(column))
        case "date" | "timestamp":
            texts = [value if type(value) is str else None for value in values]
            array = parse_text(pa.array(texts, pa.string()), column, ".")
        case _:
            if not set(map(type, values)) <= {str, type(None)}:
                values = [str(value) if type(value) in {str, int} else None for value in values]
            array = pa.array(values, pa.string())
    return _judge(given, array, column)


def cast_arrow(values: pa.Array, column: InputColumn) -> Cast:
    """A Parquet column. Raises `WrongType` for an incompatible type."""
    # The fast path: nearly all numbers match as they are, and many small inputs have many columns.
    is_wanted = (values.type, column.type) in _WANTED
    if is_wanted and not values.null_count and not has_nan(values):
        return values, []
    file_type = type_of_arrow(values.type)
    if isinstance(values.type, pa.BaseExtensionType):
        values = _stored(values)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), arrow_type(column)), []
    if file_type is None or (column.type and (file_type, column.type) not in _COMPATIBLE):
        wanted = column.type or "a supported type"
        raise WrongType(f"column {column.name!r}: found {values.type}, expected {wanted}")
    if pa.types.is_floating(values.type):
        values = _nan_as_null(values)
    given = pc.is_valid(values)
    if file_type == "string":
        # Via binary: only that cast validates UTF-8.
        values = cast_most(values.cast(pa.binary()), pa.string(), lambda part: part.cast("string"))
    is_number = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    if column.type is None and not is_number:
        column = msgspec.structs.replace(column, type=file_type)
    return _judge(given, _from_arrow(values, column), column)


_WANTED = {
    (pa.int64(), "int64"), (pa.int64(), None), (pa.float64(), "float64"), (pa.float64(), None),
}  # fmt: skip
_COMPATIBLE = {
    ("string", "string"), ("string", "category"), ("int64", "category"), ("int64", "int64"),
    ("float64", "int64"), ("int64", "float64"), ("float64", "float64"), ("bool", "bool"),
    ("int64", "bool"), ("float64", "bool"),
    ("date", "date"), ("date", "timestamp"), ("timestamp", "timestamp"),
}  # fmt: skip


def _judge(given: pa.Array, array: pa.Array, column: InputColumn) -> Cast:
    """A value that was `given` and is null after the cast does not match the type.

    Neither does a category not seen in training, unless the column is nullable: then the model gets
    null for it.
    """
    takes_all = column.type != "category" or column.nullable
    if takes_all and not array.null_count:
        return array, []
    bad = pc.and_(given, pc.is_null(array))
    if not takes_all:
        known = pc.is_in(array, value_set=pa.array(column.categories or (), array.type))
        bad = pc.and_(given, pc.invert(known))
        array = pc.if_else(known, array, pa.scalar(None, array.type))
    return array, pc.indices_nonzero(bad).to_pylist()


def _whole(column: InputColumn) -> InputColumn:
    """The int64 column that a category of integers is parsed as first."""
    return msgspec.structs.replace(column, type="int64")


# JSON


def _untyped(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowException):  # Mixed types: none of them is the right one.
        return pa.nulls(len(values))


def _from_scalars(values: Sequence[Any], column: InputColumn) -> pa.Array:
    exact = {"int64": int, "float64": float, "bool": bool}[str(column.type)]
    if set(map(type, values)) <= {exact, type(None)}:
        try:
            return pa.array(values, arrow_type(column))
        except (OverflowError, pa.ArrowInvalid):
            pass  # An integer of more than 64 bits.
    convert = {"int64": _json_int, "float64": _json_float, "bool": _json_bool}[str(column.type)]
    return pa.array([convert(value) for value in values], arrow_type(column))


def _json_int(value: Any) -> int | None:
    if type(value) is float and value.is_integer() and -_INT64_SPAN <= value < _INT64_SPAN:
        return int(value)
    return value if type(value) is int and -_INT64_SPAN <= value < _INT64_SPAN else None


def _json_float(value: Any) -> float | None:
    try:
        return float(value) if type(value) in {int, float} else None
    except OverflowError:
        return None


def _json_bool(value: Any) -> bool | None:
    """true, false, and the 1 and 0 that databases write for them."""
    is_flag = type(value) is bool or (type(value) in {int, float} and value in {0, 1})
    return bool(value) if is_flag else None


# Parquet


def _from_arrow(values: pa.Array, column: InputColumn) -> pa.Array:
    match column.type:
        case None:
            return values  # Numbers keep the width of the file.
        case "int64" if pa.types.is_floating(values.type):
            return _whole_numbers(values)
        case "float64" if pa.types.is_integer(values.type):
            # A safe cast refuses integers that a float cannot hold: two keys would become one.
            return cast_most(values, pa.float64(), lambda part: part.cast(pa.float64()))
        case "float64":
            return values.cast(pa.float64(), safe=False)
        case "bool" if not pa.types.is_boolean(values.type):
            return _flags(values)
        case "timestamp":
            return _moments(values, column.timezone or "UTC")
        case "category" if pa.types.is_string(values.type) and arrow_type(column) == pa.int64():
            return parse_text(values, _whole(column), ".")
        case _:
            target = arrow_type(column)
            return cast_most(values, target, lambda part: part.cast(target))


def _stored(values: pa.Array) -> pa.Array:
    """An extension type by its storage; a UUID as its canonical text."""
    if values.type.extension_name != "arrow.uuid":
        return values.storage
    texts = [None if value is None else str(value) for value in values.to_pylist()]
    return pa.array(texts, pa.string())


def _nan_as_null(values: pa.Array) -> pa.Array:
    if not has_nan(values):
        return values
    is_nan = pc.is_nan(values.cast(pa.float64()))
    return pc.if_else(is_nan, pa.scalar(None, values.type), values)


def _whole_numbers(values: pa.Array) -> pa.Array:
    """Floats as int64; null for fractions and for numbers out of range."""
    values = values.cast(pa.float64())
    fits = pc.and_(
        pc.equal(pc.floor(values), values),
        pc.and_(pc.greater_equal(values, -_INT64_SPAN), pc.less(values, _INT64_SPAN)),
    )
    return pc.if_else(fits, values, pa.scalar(None, pa.float64())).cast(pa.int64())


def _flags(values: pa.Array) -> pa.Array:
    """1 and 0 as booleans; null for every other number."""
    numbers = values.cast(pa.float64(), safe=False)
    is_flag = pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0))
    return pc.if_else(is_flag, pc.equal(numbers, 1.0), pa.scalar(None, pa.bool_()))


def _moments(values: pa.Array, zone: str) -> pa.Array:
    """Dates and timestamps in µs UTC; those without a zone are in `zone`."""
    naive = pa.timestamp("us", getattr(values.type, "tz", None))
    options = pc.CastOptions(naive, allow_time_truncate=True)
    in_us = cast_most(values, naive, lambda part: pc.cast(part, options=options))
    if naive.tz:
        return in_us.cast(UTC)
    return cast_most(in_us, UTC, lambda part: in_zone(part, zone))
