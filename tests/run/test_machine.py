"""How much memory a job may take, and what of it a chunk gets."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.inputs.decoding import open_decoder
from batch.job.types import parse_bytes
from batch.records.columns import InputColumn, TextOptions
from batch.run.machine import bytes_for_chunk

TEXT = TextOptions(delimiter=",", decimal=".", encoding="utf-8", names=None, null_values=("",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500MB", 500_000_000), ("1GiB", 1 << 30), ("1.5 GB", 1_500_000_000), ("64MiB", 64 << 20)],
)
def test_memory_is_a_number_and_a_unit(text: str, expected: int) -> None:
    """Both kinds of units, as people write them."""
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("value", ["1", "1G", "lots", "", 500, None, "-1GB"])
def test_memory_without_a_unit_is_refused(value: object) -> None:
    """A number alone could be bytes or megabytes."""
    with pytest.raises(ValueError, match="expected a memory size"):
        parse_bytes(value)


def test_a_chunk_gets_less_where_more_are_at_work() -> None:
    """And never next to nothing, however much the libraries take."""
    sizes = [bytes_for_chunk(4 << 30, threads=threads) for threads in (1, 2, 8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < 4 << 30
    assert bytes_for_chunk(2 << 20, threads=2) == 1 << 20


@pytest.mark.parametrize("width", [1, 50])
def test_wide_records_come_in_chunks_of_fewer(tmp_path: Path, width: int) -> None:
    """By the bytes of the first of them; all of them come."""
    names = [f"x{number}" for number in range(width)]
    table = pa.table({name: [float(row) for row in range(4_000)] for name in names})
    pq.write_table(table, tmp_path / "a.parquet")
    columns = [InputColumn(name, "float64", nullable=False) for name in names]
    decode = open_decoder(
        "parquet", columns, key=(), text=TEXT, chunk_rows=3_000, chunk_bytes=80_000
    )
    chunks = [untyped() for untyped in decode(str(tmp_path / "a.parquet"))]
    most = min(3_000, 80_000 // (8 * width))
    assert max(len(chunk.rows) for chunk in chunks) <= most
    assert [row for chunk in chunks for row in chunk.rows.to_pylist()] == [*range(4_000)]
