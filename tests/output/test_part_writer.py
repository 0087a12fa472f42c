"""Parts: of one schema, hashed and counted, and never there by halves."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import DoesNotFit, StoreDown
from batch.output.manifest import Column, PartFile
from batch.output.part_writer import PartWriter, columns_of
from batch.store import open_store
from batch.store.base import Exists, Store

FIRST, LAST = datetime(2013, 12, 1, tzinfo=UTC), datetime(2013, 12, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where parts go."""
    return open_store(str(tmp_path))


def finish(writer: PartWriter, inputs: int = 1) -> PartFile | None:
    """Close the file as a run does."""
    return writer.finish(
        as_of=(FIRST, LAST), run_id="r", recipe="c", model_sha256="m", inputs=inputs
    )


def written(store: Store, *tables: pa.Table, path: str = "data/1.parquet") -> PartFile | None:
    """Write these tables into one part."""
    with ExitStack() as stack:
        writer = PartWriter(stack, store, path)
        for table in tables:
            writer.write(table)
        return finish(writer)


def test_a_part_is_described_as_it_is(store: Store, tmp_path: Path) -> None:
    """Rows, bytes and sha256 are those of the file; the rest is what the caller knows."""
    tables = [pa.table({"k": ["a", None], "p": [0.5, 0.25]}), pa.table({"k": ["c"], "p": [1.0]})]
    part = written(store, *tables)
    assert part is not None
    data = (tmp_path / "data/1.parquet").read_bytes()
    assert (part.rows, part.bytes) == (3, len(data))
    assert part.sha256 == hashlib.sha256(data).hexdigest()
    assert (part.path, part.as_of, part.inputs) == ("data/1.parquet", (FIRST, LAST), 1)
    assert (part.run_id, part.recipe, part.model_sha256) == ("r", "c", "m")
    assert pq.read_table(tmp_path / "data/1.parquet") == pa.concat_tables(tables)


def test_no_rows_make_no_file(store: Store, tmp_path: Path) -> None:
    """Whether nothing was written or only nothing."""
    assert written(store) is None
    assert written(store, pa.table({"k": pa.array([], pa.string())})) is None
    assert list(tmp_path.iterdir()) == []


def test_later_tables_take_the_schema_of_the_first(store: Store, tmp_path: Path) -> None:
    """Narrower numbers, another order of columns, nulls."""
    first = pa.table({"a": pa.array([1]), "b": pa.array([0.5])})
    later = pa.table({"b": pa.array([1], pa.int8()), "a": pa.array([2], pa.int8())})
    nulls = pa.table({"a": pa.nulls(1), "b": pa.nulls(1)})
    written(store, first, later, nulls)
    found = pq.read_table(tmp_path / "data/1.parquet")
    assert found.schema == first.schema
    assert found.to_pydict() == {"a": [1, 2, None], "b": [0.5, 1.0, None]}


@pytest.mark.parametrize(
    "later",
    [{"a": ["text"]}, {"a": [1.5]}, {"b": [1]}, {"a": [1], "b": [1]}, {}],
    ids=str,
)
def test_a_table_that_does_not_fit_the_first_is_refused(
    store: Store, tmp_path: Path, later: dict[str, Any]
) -> None:
    """Other columns or types for another chunk: nothing is left of the part."""
    table = pa.table(later) if later else pa.table({"a": [[1]]})
    with pytest.raises(DoesNotFit, match=r"the model returned .* after a int64") as caught:
        written(store, pa.table({"a": [1]}), table)
    assert "the same columns and types for every chunk" in caught.value.hint
    assert not [entry for entry in tmp_path.rglob("*") if entry.is_file()]


def test_a_part_that_was_given_up_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Whatever came between its rows and its end."""
    with pytest.raises(ZeroDivisionError), ExitStack() as stack:
        writer = PartWriter(stack, store, "data/1.parquet")
        writer.write(pa.table({"a": list(range(100_000))}))
        raise ZeroDivisionError
    assert not [entry for entry in tmp_path.rglob("*") if entry.is_file()]


def test_a_part_that_was_finished_and_then_given_up_leaves_nothing(
    store: Store, tmp_path: Path
) -> None:
    """It gets its name at the very end."""
    with pytest.raises(ZeroDivisionError), ExitStack() as stack:
        writer = PartWriter(stack, store, "data/1.parquet")
        writer.write(pa.table({"a": [1]}))
        assert finish(writer) is not None
        assert not (tmp_path / "data/1.parquet").exists()
        raise ZeroDivisionError
    assert not [entry for entry in tmp_path.rglob("*") if entry.is_file()]


def test_a_name_that_is_taken_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    """Parts are immutable."""
    written(store, pa.table({"a": [1]}))
    with pytest.raises(Exists):
        written(store, pa.table({"a": [2]}))
    assert pq.read_table(tmp_path / "data/1.parquet").to_pydict() == {"a": [1]}


def test_rows_that_did_not_arrive_are_noticed(store: Store, tmp_path: Path) -> None:
    """A shorter file is still valid Parquet."""
    with pytest.raises(StoreDown, match="wrote 4 rows, found 3"), ExitStack() as stack:
        writer = PartWriter(stack, store, "data/1.parquet")
        writer.write(pa.table({"a": [1, 2, 3]}))
        writer.rows += 1
        finish(writer)
    assert not (tmp_path / "data/1.parquet").exists()


def test_columns_are_named_as_the_manifest_names_them() -> None:
    """With the types of the docs."""
    moment = pa.timestamp("us", "UTC")
    schema = pa.schema([("s", pa.string()), ("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()),
                        ("d", pa.date32()), ("t", moment), ("n", pa.float32())])  # fmt: skip
    assert columns_of(schema) == tuple(
        Column(name=name, type=kind)
        for name, kind in [("s", "string"), ("i", "int64"), ("f", "float64"), ("b", "bool"),
                           ("d", "date"), ("t", "timestamp"), ("n", "float32")]
    )  # fmt: skip
