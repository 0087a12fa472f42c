"""Text, JSON values and Parquet columns as typed arrays: what fits, what does not, what is lost."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.records.cast import WrongType, cast_arrow, cast_text, cast_values
from batch.records.columns import InputColumn, arrow_type

BEYOND_FLOATS = 2**53 + 1


def column(kind: Any, **options: Any) -> InputColumn:
    """A nullable column of a type."""
    return InputColumn(name="x", type=kind, **{"nullable": True} | options)


def text(values: list[str | None], kind: Any, *, decimal: str = ".", **options: Any) -> list[Any]:
    """Cast text; the positions of what does not fit must be those that became null."""
    array, bad = cast_text(pa.array(values, pa.string()), column(kind, **options), decimal=decimal)
    return judged(values, array, bad, column(kind, **options))


def judged(values: Any, array: pa.Array, bad: list[int], wanted: InputColumn) -> list[Any]:
    """The values as Python sees them, "BAD" for those that do not fit."""
    assert bad == sorted(set(bad))
    assert len(array) == len(values)
    if wanted.type is not None:
        assert array.type == arrow_type(wanted)
    found = array.to_pylist()
    assert all(found[index] is None for index in bad)
    return ["BAD" if index in bad else value for index, value in enumerate(found)]


def moment(*parts: int) -> datetime:
    """A moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# Text


@pytest.mark.parametrize("kind", ["int64", "float64", "bool", "date", "timestamp"])
def test_null_stays_null_and_is_not_bad(kind: str) -> None:
    """Casting names what does not fit; whether null is allowed is not its business."""
    assert text([None, "nonsense", None], kind) == [None, "BAD", None]
    assert text([], kind) == []


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0", 0), ("-0", 0), ("007", 7), ("-12", -12), ("+12", 12), (" 12 ", 12), ("3.0", 3),
        ("3.", 3), ("-3.000", -3), (str(BEYOND_FLOATS), BEYOND_FLOATS),
        (f"{BEYOND_FLOATS}.0", BEYOND_FLOATS), (str(2**63 - 1), 2**63 - 1), (str(-(2**63)), -(2**63)),
        ("00000000000000000000000012", 12),
    ],
)  # fmt: skip
def test_whole_numbers_are_read_digit_by_digit(written: str, number: int) -> None:
    """No number passes through a float, also not the one with ".0" that pandas writes."""
    assert text([written], "int64") == [number]
    assert text(["x", written, None], "int64") == ["BAD", number, None]


@pytest.mark.parametrize(
    "written",
    ["", " ", "x", "1.5", "1e3", "0x10", "0X10", "1,000", "1_000", "--1", "+-5", "+-5.0", "1 2",
     str(2**63), str(-(2**63) - 1), "9" * 40, "nan", "inf", "١٢", "12\x00", "0.1"],
)  # fmt: skip
def test_what_is_no_whole_number_does_not_fit(written: str) -> None:
    """Neither fractions nor other notations nor more than 64 bits."""
    assert text([written, "1"], "int64") == ["BAD", 1]
    assert text([written], "int64") == ["BAD"]


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["{}", "{}.0", " {}", "{}.", "{}\t"]))
@settings(max_examples=100, deadline=None)
def test_every_int64_survives(number: int, spelling: str) -> None:
    """Whatever the spelling."""
    assert text([spelling.format(number), "1.5"], "int64") == [number, "BAD"]


@given(st.lists(st.text("0123456789+-.eExXnaif, ", max_size=6), max_size=8))
@settings(max_examples=150, deadline=None)
def test_the_neighbours_of_a_value_do_not_matter(values: list[str]) -> None:
    """A value fits or not, and means the same, alone and among others."""
    for kind in ("int64", "float64"):
        together = text(list(values), kind)
        alone = [text([value], kind)[0] for value in values]
        assert str(together) == str(alone)


@pytest.mark.parametrize(
    ("written", "number"),
    [("1.5", 1.5), ("-1.5", -1.5), ("+1.5", 1.5), (" 1.5", 1.5), (".5", 0.5), ("5.", 5.0),
     ("1e3", 1000.0), ("1E-3", 0.001), ("7", 7.0), ("inf", math.inf), ("-Infinity", -math.inf),
     ("0.1", 0.1), ("1e400", math.inf)],
)  # fmt: skip
def test_numbers_are_read_as_python_reads_them(written: str, number: float) -> None:
    """With exponent, sign, and spaces around."""
    assert text([written], "float64") == [number] == [float(written)]
    assert text(["x", written], "float64") == ["BAD", number]


@pytest.mark.parametrize("written", ["", "x", "1,5", "1.5.5", "0x10", "1e", "+-1.5", "- 1", "1 5"])
def test_what_is_no_number_does_not_fit(written: str) -> None:
    """Such a value never becomes another number."""
    assert text([written, "1.5"], "float64") == ["BAD", 1.5]


def test_a_decimal_comma_makes_a_point_no_number() -> None:
    """Where 1,5 is written, 1.500 means 1500: it is refused and not read as 1.5."""
    values = ["1,5", "7", "1.500", "1.5", "1.234,5", ",5", "-1,5e3", None]
    assert text(list(values), "float64", decimal=",") == [
        1.5, 7.0, "BAD", "BAD", "BAD", 0.5, -1500.0, None,
    ]  # fmt: skip
    assert text(["1.500", "1.5"], "float64", decimal=",") == ["BAD", "BAD"]
    assert text(["3,0", "3", "3.0", "3.000"], "int64", decimal=",") == [3, 3, "BAD", "BAD"]


def test_booleans_are_words_or_digits() -> None:
    """In any case, with spaces around."""
    yes = ["true", "True", "T", "yes", "YES", "Y", "y", "1", "1.0", " t "]
    no = ["false", "F", "no", "N", "n", "0", "0.0", "False"]
    assert text([*yes, *no], "bool") == [True] * len(yes) + [False] * len(no)
    assert text(["2", "", "on", "1.5", "-1", "yn", None], "bool") == ["BAD"] * 6 + [None]


def test_dates_are_iso_dates_that_exist() -> None:
    """The 31st of February is not moved to March."""
    values = ["2013-12-01", " 2012-02-29", "9999-12-31", "2013-02-29", "2013-13-01", "01.12.2013"]
    found = text(list(values), "date")
    assert found == [date(2013, 12, 1), date(2012, 2, 29), date(9999, 12, 31)] + ["BAD"] * 3


@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_a_format_is_that_of_python(kind: str) -> None:
    """A day that does not exist, and text that goes on, do not fit."""
    values = ["01.12.2013", "1.2.2013", "31.12.9999", "31.02.2013", "01.12.2013x", "", None]
    found = text(list(values), kind, format="%d.%m.%Y")
    days = [date(2013, 12, 1), date(2013, 2, 1), date(9999, 12, 31)]
    if kind == "timestamp":
        days = [moment(day.year, day.month, day.day) for day in days]
    assert found == [*days, "BAD", "BAD", "BAD", None]


def test_a_format_may_have_fractions_and_offsets() -> None:
    """%f and %z, which Arrow's own strptime does not know."""
    with_offset = text(
        ["2013-12-01T10:00:00.5 +0200"], "timestamp", format="%Y-%m-%dT%H:%M:%S.%f %z"
    )
    assert with_offset == [moment(2013, 12, 1, 8, 0, 0, 500_000)]
    assert text(["12/01/2013 01:05 PM"], "timestamp", format="%m/%d/%Y %I:%M %p") == [
        moment(2013, 12, 1, 13, 5)
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2013-12-01", moment(2013, 12, 1)),
        ("2013-12-01 10:30", moment(2013, 12, 1, 10, 30)),
        ("2013-12-01T10:30:15.25", moment(2013, 12, 1, 10, 30, 15, 250_000)),
        ("2013-12-01T10:30:15.123456789", moment(2013, 12, 1, 10, 30, 15, 123_456)),
        ("2013-12-01T10:30Z", moment(2013, 12, 1, 10, 30)),
        ("2013-12-01T10:30z", moment(2013, 12, 1, 10, 30)),
        ("2013-12-01 10:30:00 UTC", moment(2013, 12, 1, 10, 30)),
        ("2013-12-01 10:30:00+01", moment(2013, 12, 1, 9, 30)),
        ("2013-12-01 10:30:00 +0100", moment(2013, 12, 1, 9, 30)),
        ("2013-12-01T10:30:00.123456789-05:00", moment(2013, 12, 1, 15, 30, 0, 123_456)),
        ("1907-01-01 00:00", moment(1907, 1, 1)),
    ],
)
def test_timestamps_keep_their_moment(written: str, expected: datetime) -> None:
    """With a zone or without, which means UTC; what is finer than a microsecond is cut off."""
    assert text([written], "timestamp") == [expected]
    mixed = text(["nonsense", "2013-12-01T00:00", written, "2013-12-01T00:00+01:00"], "timestamp")
    assert mixed == ["BAD", moment(2013, 12, 1), expected, moment(2013, 11, 30, 23)]


def test_what_is_no_moment_does_not_fit() -> None:
    """Dates and times that do not exist, and other orders of day and month."""
    values = ["2013-02-29T10:00", "2013-12-01T25:00", "2013-12-01T10:60", "01.12.2013 10:00",
              "2013-12-01T10:00+99:00", "1385892000", "2013-12-01T10:00:00.", ""]  # fmt: skip
    assert text(list(values), "timestamp") == ["BAD"] * len(values)


def test_a_zone_holds_for_timestamps_that_name_none() -> None:
    """A time that the change of clocks skips or repeats has no moment, so it does not fit."""
    values = ["2013-12-01T10:00", "2013-07-01T10:00", "2013-12-01T10:00Z", "2013-03-31T02:30",
              "2013-10-27T02:30"]  # fmt: skip
    for options in ({}, {"format": "%Y-%m-%dT%H:%M"}):
        found = text(list(values[:2]), "timestamp", timezone="Europe/Berlin", **options)
        assert found == [moment(2013, 12, 1, 9), moment(2013, 7, 1, 8)]
        clocks = text(list(values[3:]), "timestamp", timezone="Europe/Berlin", **options)
        assert clocks == ["BAD", "BAD"]
    assert text(list(values[2:3]), "timestamp", timezone="Europe/Berlin") == [
        moment(2013, 12, 1, 10)
    ]


def test_unknown_categories_fit_only_where_null_is_allowed() -> None:
    """The model sees null for them then; the record keeps its text."""
    known = {"categories": ("AA", "UA")}
    values = ["UA", "ZZ", None, "ua"]
    assert text(list(values), "category", nullable=False, **known) == ["UA", "BAD", None, "BAD"]
    assert text(list(values), "category", nullable=True, **known) == values


def test_categories_may_be_whole_numbers() -> None:
    """Read as such from text, so "01" is 1; text that is no number never fits."""
    known = {"categories": (1, 2)}
    assert text(["01", "2.0", "3", "x", None], "category", nullable=False, **known) == [
        1, 2, "BAD", "BAD", None,
    ]  # fmt: skip
    assert text(["3", "x"], "category", nullable=True, **known) == [3, "BAD"]


def test_text_stays_as_it_is() -> None:
    """Leading zeros, spaces and quotes included."""
    values = ["000651", " a ", '"', "", "日本", None]
    assert text(list(values), "string") == values


@pytest.mark.parametrize("kind", ["int64", "float64", "bool", "date", "timestamp"])
@pytest.mark.timeout(20)
def test_a_column_of_another_type_is_told_at_once(kind: str) -> None:
    """Two hundred thousand values that do not fit take a moment, not minutes."""
    values = pa.array(["oops"] * 200_000)
    _, bad = cast_text(values, column(kind))
    assert len(bad) == 200_000


# JSON


def json(values: list[Any], kind: Any, **options: Any) -> list[Any]:
    """Cast JSON scalars."""
    array, bad = cast_values(list(values), column(kind, **options))
    return judged(values, array, bad, column(kind, **options))


def test_a_json_number_is_whole_if_it_has_no_fraction() -> None:
    """3.0 is, 2**53+1 keeps its digits, and 64 bits are the limit."""
    values = [3, 3.0, BEYOND_FLOATS, 3.5, 2**63, -(2**63), 1e300, True, "3", None, [3], {}]
    assert json(values, "int64") == [
        3, 3, BEYOND_FLOATS, "BAD", "BAD", -(2**63), "BAD", "BAD", "BAD", None, "BAD", "BAD",
    ]  # fmt: skip
    assert json([2**63, 1], "int64") == ["BAD", 1]
    assert json([1, 2, None], "int64") == [1, 2, None]


def test_a_json_number_of_any_size_is_a_float_or_does_not_fit() -> None:
    """Four hundred digits are more than a float can hold."""
    assert json([1, 1.5, 10**400, True, "1.5", None], "float64") == [1.0, 1.5] + ["BAD"] * 3 + [
        None
    ]
    assert json([0.1, None], "float64") == [0.1, None]


def test_json_booleans_are_true_false_and_the_numbers_1_and_0() -> None:
    """MySQL and SQLite export the numbers; no other number and no text is a boolean."""
    values = [True, False, None, 1, 0, 1.0, 0.0, 2, -1, 0.5, "true", "1", [], {}]
    expected = [True, False, None, True, False, True, False] + ["BAD"] * 7
    assert json(values, "bool") == expected


def test_a_whole_json_number_may_stand_for_text() -> None:
    """As it does for keys; a fraction or a boolean may not, their text is anybody's guess."""
    values = ["a", 651, BEYOND_FLOATS, 1.0, True, None, {"a": 1}]
    assert json(values, "string") == ["a", "651", str(BEYOND_FLOATS), "BAD", "BAD", None, "BAD"]


def test_json_dates_and_timestamps_are_text() -> None:
    """In the same spellings as in CSV."""
    assert json(["2013-12-01", 20131201, None, "x"], "date") == [
        date(2013, 12, 1),
        "BAD",
        None,
        "BAD",
    ]
    assert json(["2013-12-01T10:00Z", 0], "timestamp") == [moment(2013, 12, 1, 10), "BAD"]
    assert json(["1.12.2013"], "date", format="%d.%m.%Y") == [date(2013, 12, 1)]


def test_json_categories_are_of_the_type_of_training() -> None:
    """Text is no whole number here, a whole number may stand for text."""
    numbers = {"categories": (1, 2), "nullable": False}
    assert json([1, "1", 3, 2.0, None], "category", **numbers) == [1, "BAD", "BAD", 2, None]
    words = {"categories": ("1", "b"), "nullable": False}
    assert json([1, "b", "c", 1.5], "category", **words) == ["1", "b", "BAD", "BAD"]


def test_json_without_a_type_is_what_it_is() -> None:
    """For single records of a model that nothing tells the types of."""
    assert json([1, 2.5, None], None) == [1.0, 2.5, None]
    assert json(["a", None], None) == ["a", None]
    assert json(["a", 1, None], None) == ["BAD", "BAD", None]


# Parquet


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float64(), pa.decimal128(19, 0)])
def test_parquet_numbers_1_and_0_are_booleans(kind: pa.DataType) -> None:
    """MySQL exports tinyint(1) as int8; any other number does not match."""
    values = pa.array([1, 0, None, 2, -1], pa.int64()).cast(kind)
    assert parquet(values, "bool") == [True, False, None, "BAD", "BAD"]


def test_extension_types_are_read_by_their_storage() -> None:
    """A UUID is its canonical text, JSON is its text."""
    ids = pa.array([bytes(15) + b"\x07", None], pa.uuid())
    for kind in ("string", None):
        assert parquet(ids, kind) == ["00000000-0000-0000-0000-000000000007", None]
    documents = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None]))
    assert parquet(documents, "string") == ['{"a":1}', None]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_parquet_integer_that_no_float_can_hold_does_not_match(sign: int) -> None:
    """Two keys never become one."""
    values = pa.array([sign * 2**53, sign * BEYOND_FLOATS, 7, None])
    assert parquet(values, "float64") == [sign * 2.0**53, "BAD", 7.0, None]


def parquet(values: pa.Array, kind: Any, **options: Any) -> list[Any]:
    """Cast a Parquet column."""
    array, bad = cast_arrow(values, column(kind, **options))
    return judged(values, array, bad, column(kind, **options))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, None], pa.int32()), "int64", [1, None]),
        (pa.array([1, None], pa.uint8()), "float64", [1.0, None]),
        (pa.array([BEYOND_FLOATS, None]), "int64", [BEYOND_FLOATS, None]),
        (pa.array([0.5, None], pa.float32()), "float64", [0.5, None]),
        (pa.array([0.5, None], pa.float16()), "float64", [0.5, None]),
        (pa.array([Decimal("0.5"), None], pa.decimal128(9, 2)), "float64", [0.5, None]),
        (pa.array([Decimal("0.5")], pa.decimal256(50, 2)), "float64", [0.5]),
        (pa.array([BEYOND_FLOATS], pa.decimal128(38, 0)), "int64", [BEYOND_FLOATS]),
        (pa.array([10**30, 7], pa.decimal128(38, 0)), "int64", ["BAD", 7]),
        (pa.array(["a", None]).dictionary_encode(), "string", ["a", None]),
        (pa.array(["a", None], pa.large_string()), "string", ["a", None]),
        (pa.array(["a", None], pa.string_view()), "string", ["a", None]),
        (pa.array([True, None]), "bool", [True, None]),
        (pa.array([1, None], pa.date32()), "date", [date(1970, 1, 2), None]),
        (pa.array([86_400_000], pa.date64()), "date", [date(1970, 1, 2)]),
        (pa.array([1, None], pa.date32()), "timestamp", [moment(1970, 1, 2), None]),
        (pa.array([1_999], pa.timestamp("ns")), "timestamp", [moment(1970, 1, 1, 0, 0, 0, 1)]),
        (pa.array([5], pa.timestamp("s", "Europe/Berlin")), "timestamp", [moment(1970, 1, 1, 0, 0, 5)]),
        (pa.nulls(2), "float64", [None, None]),
        (pa.array([1, 3, None], pa.int8()), "category", [1, 3, None]),
    ],
)  # fmt: skip
def test_parquet_columns_become_the_wanted_type(
    values: pa.Array, kind: str, expected: list[Any]
) -> None:
    """Whatever width, unit or encoding the file has."""
    options = {"categories": (1, 2)} if kind == "category" else {}
    assert parquet(values, kind, **options) == expected


def test_nan_in_parquet_is_null() -> None:
    """Also where whole numbers are wanted: pandas writes them as floats when one is missing."""
    values = pa.array([1.0, math.nan, None, 1.5, math.inf, 2.0**63, -(2.0**63)])
    found = parquet(values, "int64")
    assert found == [1, None, None, "BAD", "BAD", "BAD", -(2**63)]
    assert parquet(values.slice(0, 4), "float64") == [1.0, None, None, 1.5]
    assert parquet(values.slice(0, 2).cast(pa.float32()), None) == [1.0, None]


@pytest.mark.parametrize(
    "numbers", [pa.int8(), pa.int32(), pa.uint16(), pa.float32(), pa.float16()]
)
def test_without_a_wanted_type_numbers_stay_as_wide_as_they_are(numbers: pa.DataType) -> None:
    """The model was trained with files like this one."""
    array, bad = cast_arrow(pa.array([1, None]).cast(numbers), column(None))
    assert array.type == numbers
    assert (array.to_pylist(), bad) == ([1, None], [])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["a"], pa.large_string()), pa.string()),
        (pa.array(["a"]).dictionary_encode(), pa.string()),
        (pa.array([1], pa.timestamp("ns", "Europe/Berlin")), pa.timestamp("us", "UTC")),
        (pa.array([0], pa.date64()), pa.date32()),
        (pa.array([1], pa.decimal128(20, 0)), pa.int64()),
        (pa.array([1], pa.decimal128(20, 2)), pa.float64()),
    ],
)
def test_without_a_wanted_type_the_rest_takes_its_plain_form(
    values: pa.Array, expected: pa.DataType
) -> None:
    """Parts have few types, so that readers in other languages need to know few."""
    array, bad = cast_arrow(values, column(None))
    assert (array.type, bad) == (expected, [])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(["1"]), "int64"), (pa.array([1]), "string"), (pa.array(["1"]), "bool"),
        (pa.array([b"1"]), "string"), (pa.array([[1]]), None), (pa.array([{"a": 1}]), "string"),
        (pa.array([1], pa.uint64()), None), (pa.array([1], pa.time32("s")), "timestamp"),
        (pa.array([0.5]), "date"), (pa.array([1], pa.timestamp("us")), "date"),
    ],
)  # fmt: skip
def test_a_parquet_column_of_another_kind_is_refused_whole(values: pa.Array, kind: Any) -> None:
    """By its type, and the message says what was found."""
    with pytest.raises(WrongType, match=f"'x': found {str(values.type)[:6]}"):
        cast_arrow(values, column(kind))


def test_naive_parquet_timestamps_are_in_the_zone_of_the_column() -> None:
    """As naive text is."""
    naive = pa.array([datetime(2013, 12, 1, 10), datetime(2013, 3, 31, 2, 30)], pa.timestamp("ms"))  # noqa: DTZ001
    found = parquet(naive, "timestamp", timezone="Europe/Berlin")
    assert found == [moment(2013, 12, 1, 9), "BAD"]
    assert parquet(naive.slice(0, 1), None) == [moment(2013, 12, 1, 10)]


def test_parquet_categories_may_come_as_numbers_or_text() -> None:
    """The file need not have the type of training."""
    words, numbers = pa.array(["1", "x", None, "3"]), pa.array([1, 3, None])
    assert parquet(words, "category", categories=(1, 2), nullable=False) == [1, "BAD", None, "BAD"]
    assert parquet(words, "category", categories=(1, 2)) == [1, "BAD", None, 3]
    assert parquet(numbers, "category", categories=("1", "2"), nullable=False) == ["1", "BAD", None]


def test_bytes_that_are_no_text_do_not_fit() -> None:
    """Some writers put them into a column of text."""
    offsets, data = pa.array([0, 1, 2, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")
    broken = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    assert parquet(broken, "string") == ["a", "BAD", ""]
    assert parquet(broken, None) == ["a", "BAD", ""]
