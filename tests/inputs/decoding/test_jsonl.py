"""JSON lines: one object a line, and everything else is a reject of that line."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.records.chunk import UnreadableInput
from tests.support.decoded import Decoded, column

A = (column("a", "int64"),)


@pytest.fixture
def decoded(tmp_path: Path) -> Any:
    """A function that decodes these bytes."""

    def decode(
        data: bytes, columns: Any = A, *, name: str = "x.jsonl", chunk_rows: int = 1000
    ) -> Decoded:
        (tmp_path / name).write_bytes(data)
        return Decoded("jsonl", tmp_path / name, columns, chunk_rows=chunk_rows)

    return decode


def test_each_line_is_a_record(decoded: Any) -> None:
    """Whatever ends it, and in any order of fields."""
    found = decoded(b'{"a":1}\n{"b":0,"a":2}\r\n{"a":3}')
    assert (found.rows, found.records) == ([0, 1, 2], [(1,), (2,), (3,)])


def test_blank_lines_have_no_number(decoded: Any) -> None:
    """Wherever they are, also with spaces in them."""
    found = decoded(b'\n\n{"a":1}\n  \t\r\n{"a":\n\n{"a":3}\n\n', chunk_rows=2)
    assert (found.rows, [*found.rejects]) == ([0, 2], [1])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_records_has_none(decoded: Any, data: bytes) -> None:
    """An empty file is no error."""
    found = decoded(data)
    assert (found.records, found.rejects) == ([], {})


def test_a_byte_order_mark_may_begin_the_file(decoded: Any) -> None:
    """There only: elsewhere it is no JSON."""
    found = decoded(b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{"a":2}\n', chunk_rows=1)
    assert (found.rows, [*found.rejects]) == ([0], [1])


@pytest.mark.parametrize(
    "line",
    [b"x", b"[1]", b'"a"', b"1", b"null", b"{", b'{"a":1', b'{"a":1},', b'{"a":1} {"a":2}',
     b'{"a":1}{"a":2}', b"{'a':1}", b'{"a":NaN', b'{NaN:1}', b'{"a":-NaN}', b'{"a":NaN1}', b'{"a":"NaN}', b'{"a":1e400}',
     b'{"a":\xff}', b'{"b":"\\ud800"}', b'{"a":' + b"9" * 5000 + b"}",
     b'{"a":' + b"[" * 100_000 + b"}", b"a,b", b'{"a":01}'],
    ids=lambda line: line[:20],
)  # fmt: skip
def test_a_line_that_is_no_object_is_a_reject(decoded: Any, line: bytes) -> None:
    """One reject, whose raw text is the line; the lines around it keep their numbers."""
    found = decoded(b'{"a":10}\n' + line + b'\n{"a":12}\n')
    assert (found.rows, found.records) == ([0, 2], [(10,), (12,)])
    assert found.rejects[1].startswith(": not a JSON object")
    assert found.raw_rejects[1] == line.decode("utf-8", "backslashreplace")


def test_an_object_over_several_lines_is_no_record(decoded: Any) -> None:
    """Each of its lines is a reject, so a file of such objects becomes unreadable."""
    found = decoded(b'{\n"a":1\n}\n{"a":2}\n')
    assert ([*found.rejects], found.rows) == ([0, 1, 2], [3])


@given(
    st.lists(
        st.sampled_from([b'{"a":%d}', b"", b"  ", b"x", b'{"a":null}', b'{"a":%d} {"a":%d}', b"{",
                         b'"a":%d}', b"[%d]", b"\r"]),
        max_size=20,
    ),
    st.integers(1, 5),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_every_line_that_is_not_blank_has_a_number(
    tmp_path_factory: pytest.TempPathFactory, templates: list[bytes], chunk_rows: int
) -> None:
    """As Python's json module sees the lines, in chunks of any size."""
    lines = [template.replace(b"%d", b"%d" % index) for index, template in enumerate(templates)]
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    path.write_bytes(b"\n".join(lines))
    found = Decoded("jsonl", path, A, chunk_rows=chunk_rows)
    expected: dict[int, int] = {}
    given_lines = [line for line in lines if line.strip()]
    for number, line in enumerate(given_lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value["a"] is not None:
            expected[number] = value["a"]
    assert dict(zip(found.rows, found.records, strict=True)) == {
        number: (value,) for number, value in expected.items()
    }
    assert {*found.rejects} == {*range(len(given_lines))} - {*expected}


VALUES = ["1", "-0", "-0.0", "0.1", "3.0", "9007199254740993", "9007199254740993.0", "1e400",
          "1e-400", "5e-324", "9223372036854775808", "18446744073709551616", "9" * 30, "9" * 400,
          "0.1234567890123456789", "01", "1.", "NaN", "true", "null", '"1"', '"\\u00e9"', "[1]", "{}",
          '"\\ud800"', '"\udcff"', "1,", '1,"x":2', '1,"a":3', "1} {"]  # fmt: skip


@given(
    values=st.lists(st.tuples(*[st.sampled_from(VALUES)] * 4), max_size=6),
    absent=st.sets(st.integers(0, 5)),
    chunk_rows=st.sampled_from([1, 4, 1000]),
)
@settings(max_examples=300, deadline=None)
def test_records_are_the_same_among_lines_of_any_kind(
    tmp_path_factory: pytest.TempPathFactory, *, values: list[tuple[str, ...]], absent: set[int],
    chunk_rows: int,
) -> None:  # fmt: skip
    """Numbers are taken as such as long as all lines are fine; otherwise value by value."""
    columns = [column("a", "int64"), column("x", "float64", nullable=True),
               column("s", "string", nullable=True)]  # fmt: skip
    lines = [
        f'{{"x":{x},"s":{s},"z":{z}' + f',"a":{a}' * (index not in absent) + "}"
        for index, (a, x, s, z) in enumerate(values)
    ]
    folder = tmp_path_factory.mktemp("jsonl")
    (folder / "x.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    whole = Decoded("jsonl", folder / "x.jsonl", columns, chunk_rows=chunk_rows)
    together = [repr(whole.records), whole.raw, [*whole.rejects.values()], whole.rows]
    (folder / "y.jsonl").write_bytes("\nx\n".join(lines).encode("utf-8", "surrogateescape"))
    mixed = Decoded("jsonl", folder / "y.jsonl", columns, chunk_rows=chunk_rows)
    rejects = [reason for row, reason in mixed.rejects.items() if row % 2 == 0]
    alone = [repr(mixed.records), mixed.raw, rejects, [row // 2 for row in mixed.rows]]
    assert together == alone


def test_numbers_are_read_to_the_last_digit(decoded: Any) -> None:
    """As Python reads them, with nulls among them or without."""
    numbers = [0.1, -0.0, 1e-310, 1.7976931348623157e308, 0.30000000000000004, 123456789.12345679]
    columns = [*A, column("x", "float64", nullable=True)]
    for last in (1.5, None):
        lines = [json.dumps({"a": row, "x": x}) for row, x in enumerate([*numbers, last])]
        found = decoded("\n".join(lines).encode(), columns)
        assert repr([x for _, x in found.records]) == repr([*numbers, last])


def test_nan_is_null_and_an_infinite_number_is_a_reject(decoded: Any) -> None:
    """As Python's json.dumps writes them; text that contains these words stays as it is."""
    columns = [*A, column("x", "float64", nullable=True), column("s", "string", nullable=True)]
    values = [(1, math.nan, "NaN, \\"), (2, 0.5, '"Infinity'), (3, math.inf, "c"),
              (4, -math.inf, "d"), (5, 2.5, math.nan), (math.nan, 1.5, "f")]  # fmt: skip
    lines = [json.dumps({"z": math.inf, "a": a, "x": x, "s": s}) for a, x, s in values]
    found = decoded("\n".join(lines).encode(), columns)
    assert found.records == [(1, None, "NaN, \\"), (2, 0.5, '"Infinity'), (5, 2.5, None)]
    assert found.rejects == {
        2: "x: found Infinity, expected float64",
        3: "x: found -Infinity, expected float64",
        5: "a: null in a non-nullable column",
    }
    assert [found.raw_rejects[row] for row in (2, 3, 5)] == [lines[row] for row in (2, 3, 5)]


def test_an_absent_field_is_null(decoded: Any) -> None:
    """As an explicit null is."""
    columns = [*A, column("b", "string", nullable=True)]
    found = decoded(b'{"a":1}\n{"a":2,"b":null}\n{"b":"x"}\n', columns)
    assert found.records == [(1, None), (2, None)]
    assert found.rejects == {2: "a: null in a non-nullable column"}


def test_fields_that_nobody_reads_may_hold_anything(decoded: Any) -> None:
    """Nested or not; of a field that is there twice the last one counts."""
    found = decoded(b'{"z":{"a":[{}]},"a":1,"y":null}\n{"a":1,"a":2}\n{"a":3,"b":"\xff"}\n')
    assert found.records == [(1,), (2,), (3,)]
    assert found.raw[0] == '{"z":{"a":[{}]},"a":1,"y":null}'


def test_field_names_may_be_any_text(decoded: Any) -> None:
    """Spaces, dots and letters of any kind."""
    names = ["a b", "a.b", "größe", "class", "f0", "日本", ""]
    columns = [column(name, "int64") for name in names]
    line = json.dumps({name: index for index, name in enumerate(names)})
    assert decoded(line.encode(), columns).records == [tuple(range(len(names)))]


def test_values_are_read_by_the_type_of_their_column(decoded: Any) -> None:
    """A value that does not fit is shown as the JSON it is."""
    columns = [column("n", "int64"), column("x", "float64"), column("ok", "bool"),
               column("day", "date"), column("at", "timestamp"), column("s", "string"),
               column("c", "category", categories=(1, 2))]  # fmt: skip
    good = {"n": 3.0, "x": 1, "ok": True, "day": "2013-12-01", "at": "2013-12-01T10:00+01:00",
            "s": 651, "c": 2}  # fmt: skip
    changes: list[dict[str, Any]] = [
        {}, {"n": 3.5}, {"n": "3"}, {"n": True}, {"x": "1"}, {"ok": 2}, {"day": 20131201},
        {"day": "2013-02-30"}, {"at": "noon"}, {"s": 1.5}, {"c": "2"}, {"c": 3}, {"s": {"a": [1]}},
    ]  # fmt: skip
    found = decoded("\n".join(json.dumps(good | change) for change in changes).encode(), columns)
    moment = datetime(2013, 12, 1, 9, tzinfo=UTC)
    assert found.records == [(3, 1.0, True, date(2013, 12, 1), moment, "651", 2)]
    assert [*found.rejects.values()] == [
        "n: found 3.5, expected int64", 'n: found "3", expected int64',
        "n: found true, expected int64", 'x: found "1", expected float64',
        "ok: found 2, expected bool", "day: found 20131201, expected date",
        'day: found "2013-02-30", expected date', 'at: found "noon", expected timestamp',
        "s: found 1.5, expected string", 'c: found "2", expected category',
        "c: found 3, expected category", 's: found {"a":[1]}, expected string',
    ]  # fmt: skip


def test_keys_keep_their_digits(decoded: Any) -> None:
    """2**53+1 is no float, as a number or as text, with a null in the column."""
    data = b'{"a":9007199254740993}\n{"a":null}\n{"a":9007199254740995}\n'
    for kind, values in (("int64", [2**53 + 1, 2**53 + 3]),
                         ("string", ["9007199254740993", "9007199254740995"])):  # fmt: skip
        found = decoded(data, [column("a", kind)])
        assert [value for (value,) in found.records] == values
        assert found.rejects == {1: "a: null in a non-nullable column"}


@pytest.mark.parametrize("digits", ["9" * 30, "9" * 400, "-" + "9" * 30])
def test_huge_numbers_do_not_fit_where_they_cannot(decoded: Any, digits: str) -> None:
    """They are rejects, shown in a few digits; the float nearest to one is fine for a float."""
    data = f'{{"a":{digits}}}\n{{"a":1}}\n'.encode()
    whole = decoded(data)
    assert whole.records == [(1,)]
    assert whole.rejects[0].startswith(f"a: found {digits[:20]}")
    assert len(whole.rejects[0]) < 150
    fitting = [(float(digits),)] if len(digits) < 300 else []
    assert decoded(data, [column("a", "float64")]).records == [*fitting, (1.0,)]


def test_long_lines_and_many(decoded: Any) -> None:
    """A megabyte in a field, and chunks of a few rows."""
    lines = [json.dumps({"a": row, "s": "é" * (500_000 if row == 3 else 1)}) for row in range(1000)]
    columns = [*A, column("s", "string")]
    found = decoded("\n".join(lines).encode(), columns, chunk_rows=7)
    assert found.rows == list(range(1000))
    assert len(found.records[3][1]) == 500_000


def test_two_thousand_fields(decoded: Any) -> None:
    """Wide records are read like others."""
    columns = [column(f"c{index}", "int64") for index in range(2000)]
    line = json.dumps({f"c{index}": index for index in range(2000)})
    assert decoded(line.encode(), columns).records == [tuple(range(2000))]


LINES = b"".join(b'{"a":%d,"b":%d}\n' % (row, row * 7919 % 1000) for row in range(20_000))
PACKED: dict[str, Any] = {
    "x.jsonl.gz": gzip.compress,
    "x.jsonl.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("name", PACKED)
def test_compressed_files(decoded: Any, name: str) -> None:
    """Whole ones are read by their suffix, cut or damaged ones are unreadable."""
    pack = PACKED[name]
    assert len(decoded(pack(LINES), name=name).rows) == 20_000
    assert decoded(pack(b'{"a":1}\n') + pack(b'{"a":2}\n'), name=name).records == [(1,), (2,)]
    packed = pack(LINES)
    for data in (packed[: len(packed) // 2], packed[:-3], b"garbage", packed + b"garbage"):
        with pytest.raises(UnreadableInput, match="not readable as JSON Lines"):
            decoded(data, name=name)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    """It went after it was listed."""
    with pytest.raises(UnreadableInput, match="not readable as JSON Lines"):
        Decoded("jsonl", tmp_path / "nothing.jsonl", A)
