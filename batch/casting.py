"""Turn text, JSON values and Parquet columns into typed arrays, and name what does not fit.

Every public function returns the typed array, with null where a value does not fit, and the
positions of those values in ascending order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batch.columns import InputColumn, arrow_type, type_of_arrow
from batch.errors import BadData

Cast = tuple[pa.Array, list[int]]

_TRUE, _FALSE = ("true", "t", "yes", "1"), ("false", "f", "no", "0")
_INT64_SPAN = 2.0**63
_UTC = pa.timestamp("us", "UTC")

_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_ZONE = r"(?:[zZ]|UTC|[+-]\d\d(?::?\d\d)?)"
_TIME = rf"\d\d(?::\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?: ?{_ZONE})?)?"

#: What the text of a type looks like. Whatever does not is told apart at once: only values of
#: the right shape that are no values all the same (2013-02-31) have to be searched for.
_SHAPES = {
    "int64": r"^[+-]?0*\d{1,19}(?:DECIMAL0*)?$",
    "float64": r"^[+-]?(?:(?:\d+(?:DECIMAL\d*)?|DECIMAL\d+)(?:[eE][+-]?\d+)?"
    r"|(?i:inf|infinity|nan))$",
    "date": rf"^{_DAY}$",
    "timestamp": rf"^{_DAY}(?:[T ]{_TIME})?$",
}


class WrongType(BadData):
    """A Parquet column of a type that cannot become the type the job wants."""


def cast_text(values: pa.Array, column: InputColumn, *, decimal: str = ".") -> Cast:
    """Text as it stands in CSV, null where the text means null."""
    match column.type:
        case "int64" | "float64" | "date" | "timestamp":
            array = _parse(values, column, decimal)
        case "bool":
            array = _to_bool(values)
        case "category" if arrow_type(column) == pa.int64():
            array = _parse(values, _whole(column), decimal)
        case _:
            array = values
    return _judge(pc.is_valid(values), array, column)


def cast_values(values: Sequence[Any], column: InputColumn) -> Cast:
    """JSON scalars. A number is not text, but a whole number may stand for a string key.

    A column of no known type takes what Arrow makes of the values.
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
            array = _parse(pa.array(texts, pa.string()), column, ".")
        case _:
            texts = [str(value) if type(value) in {str, int} else None for value in values]
            array = pa.array(texts, pa.string())
    return _judge(given, array, column)


def cast_arrow(values: pa.Array, column: InputColumn) -> Cast:
    """A Parquet column. Raises `WrongType` where its type can never fit."""
    found = type_of_arrow(values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), arrow_type(column)), []
    if found is None or (column.type and (found, column.type) not in _FITTING):
        wanted = column.type or "a type that models and predictions can carry"
        raise WrongType(f"column {column.name!r}: found {values.type}, expected {wanted}")
    if pa.types.is_floating(values.type):
        values = _nan_as_null(values)
    given = pc.is_valid(values)
    if found == "string":
        # By way of bytes: only that cast looks whether they are text.
        values = _cast_most(values.cast(pa.binary()), pa.string(), lambda part: part.cast("string"))
    is_number = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    if column.type is None and not is_number:
        column = msgspec.structs.replace(column, type=found)
    return _judge(given, _from_arrow(values, column), column)


_FITTING = {
    ("string", "string"), ("string", "category"), ("int64", "category"), ("int64", "int64"),
    ("float64", "int64"), ("int64", "float64"), ("float64", "float64"), ("bool", "bool"),
    ("date", "date"), ("date", "timestamp"), ("timestamp", "timestamp"),
}  # fmt: skip


def _judge(given: pa.Array, array: pa.Array, column: InputColumn) -> Cast:
    """Whatever was `given` and is null now does not fit.

    Neither does a category that training never saw, unless null is allowed: the model sees null
    for it then.
    """
    bad = pc.and_(given, pc.is_null(array))
    if column.type == "category" and not column.nullable:
        known = pc.is_in(array, value_set=pa.array(column.categories or (), array.type))
        bad = pc.and_(given, pc.invert(known))
        array = pc.if_else(known, array, pa.scalar(None, array.type))
    return array, pc.indices_nonzero(bad).to_pylist()


def _whole(column: InputColumn) -> InputColumn:
    """The column of whole numbers that a category of whole numbers is first read as."""
    return msgspec.structs.replace(column, type="int64")


# Text


def _parse(values: pa.Array, column: InputColumn, decimal: str) -> pa.Array:
    """Text as numbers, dates or timestamps; null where it is none."""
    if column.format and column.type in {"date", "timestamp"}:
        return _parse_by_format(values, column, column.format)
    try:
        return _parse_tidy(values, column, decimal)
    except pa.ArrowInvalid:
        pass
    tidy = pc.utf8_trim_whitespace(values)
    shape = _SHAPES[str(column.type)].replace("DECIMAL", re.escape(decimal))
    tidy = pc.if_else(pc.match_substring_regex(tidy, shape), tidy, pa.scalar(None, pa.string()))
    for pattern, replacement in _spellings(column, decimal):
        tidy = pc.replace_substring_regex(tidy, pattern=pattern, replacement=replacement)
    return _cast_most(tidy, arrow_type(column), lambda part: _parse_tidy(part, column, "."))


def _parse_tidy(values: pa.Array, column: InputColumn, decimal: str) -> pa.Array:
    """All of it or ArrowInvalid: text as Arrow spells it."""
    match column.type:
        case "int64":
            if pc.any(pc.match_substring_regex(values, "[xX]")).as_py():
                raise pa.ArrowInvalid("Arrow reads 0x10 as 16")
            return values.cast(pa.int64())
        case "float64":
            if decimal != ".":
                raise pa.ArrowInvalid("1.000 may be a thousand")
            return values.cast(pa.float64())
        case "timestamp":
            return _parse_timestamps(values, column.timezone or "UTC")
        case _:
            return values.cast(arrow_type(column))


def _spellings(column: InputColumn, decimal: str) -> list[tuple[str, str]]:
    """Patterns and replacements that make Arrow's spelling of text that has the right shape."""
    match column.type:
        case "int64":
            # "3.0" is what pandas writes for a whole number in a column with nulls. No way
            # through floats: 9007199254740993.0 must keep its last digit.
            return [(r"^\+", ""), (rf"{re.escape(decimal)}0*$", "")]
        case "float64":
            return [(r"^\+", ""), (re.escape(decimal), ".")]
        case "timestamp":
            zulu = [(r" ?(?:[zZ]|UTC)$", "Z"), (r" ([+-][\d:]+)$", r"\1")]
            return [(r"(\.\d{6})\d+", r"\1"), *zulu]
        case _:
            return []


def _parse_timestamps(values: pa.Array, zone: str) -> pa.Array:
    """Timestamps with a zone keep their moment; those without are in `zone`."""
    try:
        return _in_zone(values.cast(pa.timestamp("us")), zone)
    except pa.ArrowInvalid:
        pass
    zoned = pc.match_substring_regex(values, rf":\d\d.*{_ZONE}$")
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, values, nothing).cast(_UTC)
    without = pc.if_else(zoned, nothing, values).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone, _in_zone(without, zone))


def _in_zone(naive: pa.Array, zone: str) -> pa.Array:
    """Raises ArrowInvalid for a time that a change of clocks skips or repeats."""
    if zone == "UTC":  # Needs no database of time zones.
        return naive.cast(_UTC)
    return pc.assume_timezone(naive, zone).cast(_UTC)


def _parse_by_format(values: pa.Array, column: InputColumn, date_format: str) -> pa.Array:
    # Arrow's strptime drops the offset of %z, knows no %f, and makes the 31st of February a day
    # of March: Python's reads these, each text once.
    texts = pc.utf8_trim_whitespace(values).dictionary_encode()
    moments = [_moment(text, date_format) for text in texts.dictionary.to_pylist()]
    if column.type == "date":
        days = [moment and moment.date() for moment in moments]
        return pa.array(days, pa.date32()).take(texts.indices)
    if "%z" in date_format:
        return pa.array(moments, _UTC).take(texts.indices)
    naive, zone = pa.array(moments, pa.timestamp("us")), column.timezone or "UTC"
    return _cast_most(naive, _UTC, lambda part: _in_zone(part, zone)).take(texts.indices)


def _moment(text: str, date_format: str) -> datetime | None:
    try:
        return datetime.strptime(text, date_format)  # noqa: DTZ007  # The caller knows the zone.
    except ValueError:
        return None


def _to_bool(values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    is_true = pc.is_in(lower, value_set=pa.array(_TRUE))
    known = pc.or_(is_true, pc.is_in(lower, value_set=pa.array(_FALSE)))
    return pc.if_else(known, is_true, pa.scalar(None, pa.bool_()))


def _cast_most(
    values: pa.Array, target: pa.DataType, cast: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    """Cast all that can be cast; halves what cannot until single values remain, which are null."""
    try:
        return cast(values)
    except pa.ArrowInvalid:
        if len(values) <= 1:
            return pa.nulls(len(values), target)
    middle = len(values) // 2
    halves = (values.slice(0, middle), values.slice(middle))
    return pa.concat_arrays([_cast_most(half, target, cast) for half in halves])


# JSON


def _untyped(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowException):  # Mixed: nobody can tell which of them fit.
        return pa.nulls(len(values))


def _from_scalars(values: Sequence[Any], column: InputColumn) -> pa.Array:
    exact = {"int64": int, "float64": float, "bool": bool}[str(column.type)]
    if set(map(type, values)) <= {exact, type(None)}:
        try:
            return pa.array(values, arrow_type(column))
        except (OverflowError, pa.ArrowInvalid):
            pass  # A whole number of more than 64 bits.
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
    return value if type(value) is bool else None


# Parquet


def _from_arrow(values: pa.Array, column: InputColumn) -> pa.Array:
    match column.type:
        case None:
            return values  # Numbers, as wide as the file has them.
        case "int64" if pa.types.is_floating(values.type):
            return _whole_numbers(values)
        case "float64":
            return values.cast(pa.float64(), safe=False)
        case "timestamp":
            return _moments(values, column.timezone or "UTC")
        case "category" if pa.types.is_string(values.type) and arrow_type(column) == pa.int64():
            return _parse(values, _whole(column), ".")
        case _:
            target = arrow_type(column)
            return _cast_most(values, target, lambda part: part.cast(target))


def _nan_as_null(values: pa.Array) -> pa.Array:
    is_nan = pc.is_nan(values.cast(pa.float64()))
    if not pc.any(is_nan).as_py():
        return values
    return pc.if_else(is_nan, pa.scalar(None, values.type), values)


def _whole_numbers(values: pa.Array) -> pa.Array:
    """Floats as int64; null for those that are not whole or too large."""
    values = values.cast(pa.float64())
    fits = pc.and_(
        pc.equal(pc.floor(values), values),
        pc.and_(pc.greater_equal(values, -_INT64_SPAN), pc.less(values, _INT64_SPAN)),
    )
    return pc.if_else(fits, values, pa.scalar(None, pa.float64())).cast(pa.int64())


def _moments(values: pa.Array, zone: str) -> pa.Array:
    """Dates and timestamps in µs UTC; those without a zone are in `zone`."""
    naive = pa.timestamp("us", getattr(values.type, "tz", None))
    options = pc.CastOptions(naive, allow_time_truncate=True)
    in_us = _cast_most(values, naive, lambda part: pc.cast(part, options=options))
    if naive.tz:
        return in_us.cast(_UTC)
    return _cast_most(in_us, _UTC, lambda part: _in_zone(part, zone))
