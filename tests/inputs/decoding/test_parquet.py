"""Parquet: the file's own types where the job does not say otherwise, and whole files only."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.inputs.decoding.parquet import file_columns
from batch.records.chunk import UnreadableInput
from batch.records.columns import InputColumn
from tests.support.decoded import Decoded, column

BEYOND_FLOATS = 2**53 + 1


@pytest.fixture
def decoded(tmp_path: Path) -> Any:
    """A function that writes a table and decodes the file."""

    def decode(
        table: pa.Table,
        *columns: InputColumn,
        chunk_rows: int = 1000,
        chunk_bytes: int = 10**6,
        **options: Any,
    ) -> Any:
        pq.write_table(table, tmp_path / "x.parquet", **options)
        size = {"chunk_rows": chunk_rows, "chunk_bytes": chunk_bytes}
        return Decoded("parquet", tmp_path / "x.parquet", columns, **size)

    return decode


def test_columns_are_found_by_name(decoded: Any) -> None:
    """In the order that is wanted; others are not read."""
    table = pa.table({"z": [[1], [2]], "b": ["x", "y"], "a": [1, 2]})
    found = decoded(table, column("a"), column("b"))
    assert (found.rows, found.records) == ([0, 1], [(1, "x"), (2, "y")])
    assert found.raw == ['{"a":1,"b":"x"}', '{"a":2,"b":"y"}']


def test_columns_with_dots_and_spaces(decoded: Any) -> None:
    """A name is a name, not a path into a structure."""
    table = pa.table({"a.b": [1], "a": [{"b": 5}], "größe in m": [2]})
    assert decoded(table, column("a.b"), column("größe in m")).records == [(1, 2)]


def test_keys_keep_their_digits(decoded: Any) -> None:
    """2**53+1 is no float, also where another key is null, with a wanted type or without."""
    table = pa.table({"a": [BEYOND_FLOATS, None, BEYOND_FLOATS + 2]})
    for kind in ("int64", None):
        found = decoded(table, column("a", kind))
        assert found.records == [(BEYOND_FLOATS,), (BEYOND_FLOATS + 2,)]
        assert found.rejects == {1: "a: null in a non-nullable column"}
    decimals = pa.table({"a": pa.array([BEYOND_FLOATS, None], pa.decimal128(20, 0))})
    assert decoded(decimals, column("a")).records == [(BEYOND_FLOATS,)]


def test_nan_is_null(decoded: Any) -> None:
    """A reject where null is not allowed, else the null that it stands for."""
    table = pa.table({"a": [0, 1, 2], "x": [1.0, math.nan, None]})
    found = decoded(table, column("a"), column("x", "float64"))
    assert found.records == [(0, 1.0)]
    assert found.rejects == dict.fromkeys([1, 2], "x: null in a non-nullable column")
    allowed = decoded(table, column("a"), column("x", "int64", nullable=True))
    assert allowed.records == [(0, 1), (1, None), (2, None)]


def test_the_types_that_real_writers_use(decoded: Any) -> None:
    """Narrow numbers, dictionaries, decimals, nanoseconds, large text, all into what is wanted."""
    moment = datetime(2013, 12, 1, 10, tzinfo=UTC)
    table = pa.table({
        "a": pa.array([7, None], pa.int32()),
        "f": pa.array([0.5, None], pa.float32()),
        "d": pa.array(["u", None]).dictionary_encode(),
        "m": pa.array([None, None]).cast(pa.decimal128(9, 2)),
        "t": pa.array([moment, None], pa.timestamp("ns")),
        "s": pa.array(["x", None], pa.large_string()),
        "o": pa.array([True, None]),
    })  # fmt: skip
    kinds = {"a": "int64", "f": "float64", "d": "string", "m": "float64", "t": "timestamp",
             "s": "string", "o": "bool"}  # fmt: skip
    wanted = [column(name, kind, nullable=True) for name, kind in kinds.items()]
    found = decoded(table, *wanted)
    assert found.records == [(7, 0.5, "u", None, moment, "x", True), (None,) * 7]
    types = ["int64", "double", "string", "double", "timestamp[us, tz=UTC]", "string", "bool"]
    assert found.types == [types]
    own = decoded(table, *(column(name, nullable=True) for name in kinds))
    assert own.types == [["int32", "float", *types[2:]]]


def test_values_that_do_not_fit_are_rejects(decoded: Any) -> None:
    """Of their record alone, shown as JSON."""
    table = pa.table({"a": [1.0, 1.5, 1e30], "c": ["u", "u", "u"]})
    found = decoded(table, column("a", "int64"), column("c", "category", categories=("u",)))
    assert found.records == [(1, "u")]
    assert found.rejects == {1: "a: found 1.5, expected int64", 2: "a: found 1e30, expected int64"}
    assert json.loads(found.raw_rejects[1]) == {"a": 1.5, "c": "u"}


def test_what_python_cannot_hold_is_shown_all_the_same(decoded: Any) -> None:
    """A year beyond 9999, and bytes that are no text."""
    offsets, data = pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")
    table = pa.table({
        "s": pa.Array.from_buffers(pa.string(), 1, [None, offsets, data]),
        "t": pa.array([2**50], pa.timestamp("ms")),
    })  # fmt: skip
    found = decoded(table, column("s", "string"), column("t", "timestamp"))
    assert found.rejects == {0: r's: found "\\xff", expected string'}
    assert "1125899906842624" in json.loads(found.raw_rejects[0])["t"]


@pytest.mark.parametrize("chunk_rows", [1, 3, 7, 100])
@pytest.mark.parametrize("chunk_bytes", [10, 40, 80, 10**6])
def test_rows_are_numbered_across_row_groups(
    decoded: Any, chunk_rows: int, chunk_bytes: int
) -> None:
    """Whatever the size of chunks and groups, and how many are read at once; rejects counted."""
    values = [None if row % 4 == 1 else row for row in range(25)]
    texts = [f"{row}" for row in range(25)]
    found = decoded(
        pa.table({"a": values, "unasked": values, "b": texts}),
        column("b"),
        column("a"),
        chunk_rows=chunk_rows,
        chunk_bytes=chunk_bytes,
        row_group_size=5,
    )
    assert found.rows == [row for row in range(25) if row % 4 != 1]
    assert found.records == [(str(row), row) for row in found.rows]
    assert [*found.rejects] == [row for row in range(25) if row % 4 == 1]


def test_a_file_without_rows_has_no_records(decoded: Any) -> None:
    """With and without row groups."""
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert decoded(empty, column("a")).records == []


def test_two_thousand_columns(decoded: Any) -> None:
    """Wide files are read like others."""
    names = [f"c{index}" for index in range(2000)]
    found = decoded(pa.table({name: [1, 2] for name in names}), *map(column, names))
    assert found.records == [(1,) * 2000, (2,) * 2000]


# Inputs that are not what they should be


def test_a_missing_column_is_named(decoded: Any) -> None:
    """With those that were found."""
    with pytest.raises(UnreadableInput, match=r"no column 'b'; found 'a', 'c'"):
        decoded(pa.table({"a": [1], "c": [1]}), column("a"), column("b"))


def test_a_doubled_column_is_refused(decoded: Any) -> None:
    """Unless nobody reads it."""
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "b"])
    with pytest.raises(UnreadableInput, match="duplicate column 'b'"):
        decoded(table, column("a"), column("b"))
    assert decoded(table, column("a")).records == [(1,)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [(pa.array(["1"]), "int64"), (pa.array([1]), "string"), (pa.array([[1]]), None),
     (pa.array([b"1"]), "string"), (pa.array([1], pa.uint64()), None)],
)  # fmt: skip
def test_a_column_of_another_kind_makes_the_file_unreadable(
    decoded: Any, values: pa.Array, kind: Any
) -> None:
    """Not each of its records: the message names column, found and expected."""
    with pytest.raises(UnreadableInput, match=r"column 'a': found .*, expected "):
        decoded(pa.table({"a": values}), column("a", kind))


@pytest.mark.parametrize("kept", [0, 3, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_unreadable(tmp_path: Path, kept: float) -> None:
    """The footer stands at the end, so nothing can be told."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 else len(data) * kept)])
    with pytest.raises(UnreadableInput, match="not readable as Parquet"):
        Decoded("parquet", path, [column("a")])


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_unreadable(tmp_path: Path, data: bytes) -> None:
    """Text under the wrong name, or the right letters around nothing."""
    path = tmp_path / "x.parquet"
    path.write_bytes(data)
    with pytest.raises(UnreadableInput, match="not readable as Parquet"):
        Decoded("parquet", path, [column("a")])
    with pytest.raises(UnreadableInput, match="not readable as Parquet"):
        file_columns(path, ["a"])


def test_a_damaged_page_is_noticed_where_the_file_has_checksums(tmp_path: Path) -> None:
    """Its values would be plausible numbers."""
    path = tmp_path / "x.parquet"
    table = pa.table({"a": [0.5] * 1000 + list(range(1000))})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableInput, match="not readable as Parquet"):
        Decoded("parquet", path, [column("a")])


# What a file says of itself


def test_a_file_tells_the_types_of_its_columns(tmp_path: Path) -> None:
    """In the words of a job file, nullable as Parquet columns are."""
    table = pa.table({
        "a": pa.array([1], pa.int32()), "s": pa.array(["x"]).dictionary_encode(),
        "d": pa.array([1], pa.decimal128(20, 0)), "x": pa.array([1], pa.decimal128(20, 2)),
        "t": pa.array([1], pa.timestamp("ns")), "u": pa.array([1], pa.uint64()),
    })  # fmt: skip
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    found = file_columns(path, ["t", "a", "s", "d", "x"])
    assert [(known.name, known.type) for known in found] == [
        ("t", "timestamp"), ("a", "int64"), ("s", "string"), ("d", "int64"), ("x", "float64"),
    ]  # fmt: skip
    with pytest.raises(UnreadableInput, match="no column 'k'"):
        file_columns(path, ["k"])
    with pytest.raises(UnreadableInput, match="'u': the type uint64 is not supported"):
        file_columns(path, ["u"])
