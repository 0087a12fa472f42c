"""Parse text as numbers, booleans, dates and timestamps; null where it is not one."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from batch.records.arrays import has_nan, may_contain
from batch.records.columns import ColumnType, InputColumn, arrow_type

_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
UTC = pa.timestamp("us", "UTC")

_DAY = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_ZONE = r"(?:[zZ]|UTC|[+-]\d\d(?::?\d\d)?)"
_TIME = rf"\d\d(?::\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?: ?{_ZONE})?)?"

#: The syntax of each type. Other text is excluded at once: only values with the right syntax that
#: are invalid nevertheless (2013-02-31) have to be searched for.
_SHAPES = {
    "int64": r"^[+-]?0*\d{1,19}(?:DECIMAL0*)?$",
    "float64": r"^[+-]?(?:(?:\d+(?:DECIMAL\d*)?|DECIMAL\d+)(?:[eE][+-]?\d+)?"
    r"|(?i:inf|infinity|nan))$",
    "date": rf"^{_DAY}$",
    "timestamp": rf"^{_DAY}(?:[T ]{_TIME})?$",
}


def parse_numbers(
    values: pa.Array, column: InputColumn, decimal: str, *, nulls: tuple[str, ...]
) -> pa.Array | None:
    """Numbers, if Arrow accepts every text as one; None if any may mean null or is not a number."""
    kind = column.type
    if kind not in {"int64", "float64"} or _are_numbers(nulls, kind, decimal):
        return None
    if pc.min(pc.binary_length(values)).as_py() == 0:
        return None  # A cast continues to the last value even if the first one fails.
    try:
        array = _parse_tidy(values, column, decimal)
    except pa.ArrowInvalid:
        return None
    return None if has_nan(array) else array


@functools.lru_cache
def _are_numbers(texts: tuple[str, ...], kind: ColumnType, decimal: str) -> bool:
    """Whether one of these texts is a number; nan is not."""
    column = InputColumn(name="", type=kind, nullable=True)
    array = parse_text(pa.array(texts, pa.string()), column, decimal)
    return bool(pc.any(pc.invert(pc.is_null(array, nan_is_null=True))).as_py())


def parse_text(values: pa.Array, column: InputColumn, decimal: str) -> pa.Array:
    """Text as numbers, dates or timestamps; null where it is not one."""
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
    return cast_most(tidy, arrow_type(column), lambda part: _parse_tidy(part, column, "."))


def _parse_tidy(values: pa.Array, column: InputColumn, decimal: str) -> pa.Array:
    """Text in the syntax that Arrow accepts; raises ArrowInvalid unless all of it is."""
    match column.type:
        case "int64":
            if any(may_contain(values, ord(mark)) for mark in "xX") and _any_matches(
                values, "[xX]"
            ):
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


def _any_matches(values: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def _spellings(column: InputColumn, decimal: str) -> list[tuple[str, str]]:
    """Patterns and replacements that turn valid text into the syntax Arrow accepts."""
    match column.type:
        case "int64":
            # pandas writes "3.0" for an integer in a column with nulls. Not via floats:
            # 9007199254740993.0 must keep its last digit.
            return [(r"^\+", ""), (rf"{re.escape(decimal)}0*$", "")]
        case "float64":
            return [(r"^\+", ""), (re.escape(decimal), ".")]
        case "timestamp":
            zulu = [(r" ?(?:[zZ]|UTC)$", "Z"), (r" ([+-][\d:]+)$", r"\1")]
            return [(r"(\.\d{6})\d+", r"\1"), *zulu]
        case _:
            return []


def _parse_timestamps(values: pa.Array, zone: str) -> pa.Array:
    """Timestamps without a zone are in `zone`."""
    try:
        return in_zone(values.cast(pa.timestamp("us")), zone)
    except pa.ArrowInvalid:
        pass
    zoned = pc.match_substring_regex(values, rf":\d\d.*{_ZONE}$")
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, values, nothing).cast(UTC)
    without = pc.if_else(zoned, nothing, values).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone, in_zone(without, zone))


def in_zone(naive: pa.Array, zone: str) -> pa.Array:
    """Raises ArrowInvalid for a time that a daylight saving change skips or repeats."""
    if zone == "UTC":  # Needs no time zone database.
        return naive.cast(UTC)
    return pc.assume_timezone(naive, zone).cast(UTC)


def _parse_by_format(values: pa.Array, column: InputColumn, date_format: str) -> pa.Array:
    # Arrow's strptime drops the offset of %z, does not support %f, and turns 31 February into a day
    # in March. Python's handles all three; it parses each distinct text once.
    texts = pc.utf8_trim_whitespace(values).dictionary_encode()
    moments = [_moment(text, date_format) for text in texts.dictionary.to_pylist()]
    if column.type == "date":
        days = [moment and moment.date() for moment in moments]
        return pa.array(days, pa.date32()).take(texts.indices)
    if "%z" in date_format:
        return pa.array(moments, UTC).take(texts.indices)
    naive, zone = pa.array(moments, pa.timestamp("us")), column.timezone or "UTC"
    return cast_most(naive, UTC, lambda part: in_zone(part, zone)).take(texts.indices)


def _moment(text: str, date_format: str) -> datetime | None:
    try:
        return datetime.strptime(text, date_format)  # noqa: DTZ007  # The caller sets the zone.
    except ValueError:
        return None


def parse_bool(values: pa.Array) -> pa.Array:
    """Text as booleans, case-insensitive; null where it is not one."""
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    is_true = pc.is_in(lower, value_set=pa.array(_TRUE))
    known = pc.or_(is_true, pc.is_in(lower, value_set=pa.array(_FALSE)))
    return pc.if_else(known, is_true, pa.scalar(None, pa.bool_()))


def cast_most(
    values: pa.Array, target: pa.DataType, cast: Callable[[pa.Array], pa.Array]
) -> pa.Array:
    """Cast what can be cast. The rest is halved until single values remain, which become null."""
    try:
        return cast(values)
    except pa.ArrowInvalid:
        if len(values) <= 1:
            return pa.nulls(len(values), target)
    middle = len(values) // 2
    halves = (values.slice(0, middle), values.slice(middle))
    return pa.concat_arrays([cast_most(half, target, cast) for half in halves])
