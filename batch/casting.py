"""Turn text, JSON values and Parquet columns into typed arrays, and name what does not fit.

Every function returns the typed array, with null where a value does not fit, and the positions
of those values in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batch.columns import InputColumn, arrow_type, type_of_arrow
from batch.errors import BadData

Cast = tuple[pa.Array, list[int]]

_TRUE, _FALSE = ("true", "t", "yes", "1"), ("false", "f", "no", "0")
_ZONE = r"(Z|z|[+-]\d\d(:?\d\d)?)$"
_INT64_SPAN = 2.0**63


class WrongType(BadData):
    """A Parquet column of a type that cannot become the type the job wants."""


def cast_text(values: pa.Array, column: InputColumn, *, decimal: str = ".") -> Cast:
    """Text as it stands in CSV, null where the text means null."""
    if column.type == "string":
        return values, []
    return _largest_cast(values, lambda part: _text_to(part, column, decimal))


def cast_values(values: Sequence[Any], column: InputColumn) -> Cast:
    """JSON scalars. A number is not text, but a whole number may stand for a string key."""
    wanted = _accepted(column)
    bad = [
        index
        for index, value in enumerate(values)
        if value is not None and (type(value) not in wanted)
    ]
    kept = list(values)
    for index in bad:
        kept[index] = None
    if column.type in {"int64", "float64", "bool"} or arrow_type(column) == pa.int64():
        array, more = _cast_numbers(kept, column)
    else:
        texts = [str(value) if type(value) is int else value for value in kept]
        array, more = cast_text(pa.array(texts, pa.string()), column)
    return array, sorted({*bad, *more})


def cast_arrow(values: pa.Array, column: InputColumn) -> Cast:
    """A Parquet column. Raises `WrongType` where its type can never fit."""
    found = type_of_arrow(values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), arrow_type(column)), []
    if column.type is None and found is not None:
        return _native(values, found), []
    if (found, column.type) not in _FITTING:
        raise WrongType(f"column {column.name!r}: found {values.type}, expected {column.type}")
    if column.type == "category":
        return _known_categories(values.cast(arrow_type(column)), column)
    safe = column.type != "float64"
    return _largest_cast(values, lambda part: part.cast(arrow_type(column), safe=safe))


_FITTING = {
    ("string", "string"), ("string", "category"), ("int64", "category"), ("int64", "int64"),
    ("float64", "int64"), ("int64", "float64"), ("float64", "float64"), ("bool", "bool"),
    ("date", "date"), ("date", "timestamp"), ("timestamp", "timestamp"),
}  # fmt: skip


def _native(values: pa.Array, found: str) -> pa.Array:
    """The file's own type, in the few forms that parts and models see."""
    match found:
        case "string":
            return values.cast(pa.string())
        case "timestamp":
            return values.cast(pa.timestamp("us", "UTC"), safe=False)
        case "date":
            return values.cast(pa.date32(), safe=False)
        case _ if pa.types.is_decimal(values.type):
            return values.cast(pa.float64())
        case _:
            return values


def _largest_cast(values: pa.Array, cast: Callable[[pa.Array], pa.Array]) -> Cast:
    """Cast all that can be cast; halves what cannot until single values remain."""
    try:
        return cast(values), []
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
        if len(values) == 1:
            return pa.nulls(1, _cast_type(cast, values, error)), [0]
    middle = len(values) // 2
    left, left_bad = _largest_cast(values.slice(0, middle), cast)
    right, right_bad = _largest_cast(values.slice(middle), cast)
    return pa.concat_arrays([left, right]), [*left_bad, *(middle + index for index in right_bad)]


def _cast_type(cast: Callable[[pa.Array], pa.Array], values: pa.Array, error: Exception) -> Any:
    """The type that `cast` gives: that of nothing cast."""
    try:
        return cast(values.slice(0, 0)).type
    except pa.ArrowException:
        raise error from None


def _text_to(values: pa.Array, column: InputColumn, decimal: str) -> pa.Array:
    match column.type:
        case "int64":
            return _to_int64(values)
        case "float64":
            return _to_float64(values, decimal)
        case "bool":
            return _to_bool(values)
        case "date" if column.format:
            return pc.strptime(values, format=column.format, unit="s").cast(pa.date32())
        case "date":
            return pc.utf8_trim_whitespace(values).cast(pa.date32())
        case "timestamp":
            return _to_timestamp(values, column)
        case "category" if arrow_type(column) == pa.int64():
            return _require_categories(_to_int64(values), column)
        case "category":
            return _require_categories(values, column)
        case _:
            return values


def _to_int64(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        pass
    trimmed = pc.utf8_trim_whitespace(values)
    # "3.0" is what pandas writes for a whole number in a column with nulls. No way through
    # floats: 9007199254740993.0 must keep its last digit.
    whole = pc.replace_substring_regex(trimmed, pattern=r"^\+?(-?\d+)\.0*$", replacement=r"\1")
    return pc.replace_substring_regex(whole, pattern=r"^\+", replacement="").cast(pa.int64())


def _to_float64(values: pa.Array, decimal: str) -> pa.Array:
    if decimal != ".":
        values = pc.replace_substring(values, pattern=decimal, replacement=".")
    try:
        return values.cast(pa.float64())
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(values)
        return pc.replace_substring_regex(trimmed, pattern=r"^\+", replacement="").cast(
            pa.float64()
        )


def _to_bool(values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    is_true = pc.is_in(lower, value_set=pa.array(_TRUE))
    known = pc.or_(is_true, pc.is_in(lower, value_set=pa.array(_FALSE)))
    if not pc.all(pc.or_(known, pc.is_null(lower)), min_count=0).as_py():
        raise pa.ArrowInvalid("not a boolean")
    return pc.if_else(pc.is_valid(lower), is_true, pa.scalar(None, pa.bool_()))


def _to_timestamp(values: pa.Array, column: InputColumn) -> pa.Array:
    """Timestamps with a zone keep their moment; those without are in `timezone`, else UTC."""
    utc = pa.timestamp("us", "UTC")
    if column.format and "%z" in column.format:
        return _parsed_with_zone(values, column.format)
    if column.format:
        naive = pc.strptime(values, format=column.format, unit="us")
        return pc.assume_timezone(naive, column.timezone or "UTC").cast(utc)
    trimmed = pc.utf8_trim_whitespace(values)
    zoned = pc.match_substring_regex(trimmed, pattern=r"\d\d:\d\d.*" + _ZONE)
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, trimmed, nothing).cast(utc)
    naive = pc.if_else(zoned, nothing, trimmed).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone, pc.assume_timezone(naive, column.timezone or "UTC").cast(utc))


def _parsed_with_zone(values: pa.Array, date_format: str) -> pa.Array:
    """Arrow's strptime drops the offset of %z, so Python's reads these."""
    from datetime import datetime

    try:
        moments = [
            None if text is None else datetime.strptime(text, date_format)
            for text in values.to_pylist()
        ]
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from None
    return pa.array(moments, pa.timestamp("us", "UTC"))


def _require_categories(values: pa.Array, column: InputColumn) -> pa.Array:
    array, bad = _known_categories(values, column)
    if bad:
        raise pa.ArrowInvalid("unknown category")
    return array


def _known_categories(values: pa.Array, column: InputColumn) -> Cast:
    """A category that training never saw is null where null is allowed, else it does not fit."""
    known = pc.is_in(values, value_set=pa.array(column.categories or (), values.type))
    kept = pc.if_else(known, values, pa.scalar(None, values.type))
    if column.nullable:
        return kept, []
    lost = pc.and_(pc.invert(known), pc.is_valid(values))
    return kept, pc.indices_nonzero(lost).to_pylist()


def _accepted(column: InputColumn) -> set[type]:
    match column.type:
        case "int64" | "float64":
            return {int, float}
        case "bool":
            return {bool}
        case "date" | "timestamp":
            return {str}
        case _:
            return {str, int}


def _cast_numbers(values: list[Any], column: InputColumn) -> Cast:
    bad: list[int] = []
    if column.type != "float64":
        for index, value in enumerate(values):
            whole = not isinstance(value, float) or value.is_integer()
            if value is not None and not (whole and -_INT64_SPAN <= value < _INT64_SPAN):
                bad.append(index)
                values[index] = None
            elif isinstance(value, float):
                values[index] = int(value)
    if column.type == "float64":
        values = [None if value is None else float(value) for value in values]
    array = pa.array(values, arrow_type(column))
    if column.type == "category":
        array, unknown = _known_categories(array, column)
        bad += unknown
    return array, bad
