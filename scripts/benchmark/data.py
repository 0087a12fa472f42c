"""Inputs to predict: random features and a key, the same for the same description."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = [f"x{number:02d}" for number in range(20)]
#: Columns of text, and how many different values each has.
CATEGORIES = {"country": 12, "city": 50, "product": 300}
#: More rows than this are never in memory at once.
_BLOCK_ROWS = 250_000

Format = Literal["parquet", "csv", "jsonl"]
Writer = Callable[["pa.Table"], object]


@dataclass(frozen=True)
class Data:
    """A folder of input files: 20 float64 features and an int64 key."""

    format: Format
    rows: int
    files: int = 1
    row_groups: int = 1
    categories: bool = False
    string_keys: bool = False

    @property
    def name(self) -> str:
        """Tells it from all others, as the name of its folder."""
        extras = [
            f"-{self.row_groups}-groups" if self.row_groups > 1 else "",
            "-categories" if self.categories else "",
            "-string-keys" if self.string_keys else "",
        ]
        return f"{self.format}-{self.rows}-in-{self.files}{''.join(extras)}"

    @property
    def title(self) -> str:
        """A description for people."""
        kind = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSON lines"}[self.format]
        files = f"{self.files:,} {kind} files" if self.files > 1 else f"one {kind} file"
        groups = f" of {self.row_groups} row groups" if self.row_groups > 1 else ""
        keys = ", string keys" if self.string_keys else ""
        return f"{self.rows:,} rows in {files}{groups}{keys}"


def write_data(data: Data, folder: Path) -> list[Path]:
    """Make the files of `data` in a new folder."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:06d}.{data.format}" for number in range(data.files)]
    if data.format == "csv" and data.files == data.rows:
        _write_single_rows(data, paths)
        return paths
    for number, path in enumerate(paths):
        first, end = (data.rows * bound // data.files for bound in (number, number + 1))
        write_file(data, path, first, end)
    return paths


def write_file(data: Data, path: Path, first: int, end: int) -> None:
    """The rows whose keys are `first` up to and without `end`."""
    block = _BLOCK_ROWS
    if data.row_groups > 1:
        block = -(-(end - first) // data.row_groups)
    starts = range(first, end, block)
    with _open(data.format, path, table_of(data, first, first)) as write:
        for start in starts:
            write(table_of(data, start, min(start + block, end)))


def _write_single_rows(data: Data, paths: Sequence[Path]) -> None:
    """A CSV file for each row, a hundred thousand of them in a few seconds."""
    import io

    import pyarrow.csv

    for first in range(0, len(paths), 10_000):
        some = paths[first : first + 10_000]
        written = io.BytesIO()
        pyarrow.csv.write_csv(table_of(data, first, first + len(some)), written)
        header, *lines = written.getvalue().splitlines(keepends=True)
        for path, line in zip(some, lines, strict=True):
            path.write_bytes(header + line)


def table_of(data: Data, first: int, end: int) -> pa.Table:
    """Rows as Arrow; those of a key depend on the first key of their block."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng([7, first])
    size = end - first
    keys: object = np.arange(first, end)
    if data.string_keys:
        keys = pa.array([f"customer-{number:08d}" for number in range(first, end)], pa.string())
    columns = {"key": keys} | {name: random.standard_normal(size) for name in FEATURES}
    if data.categories:
        for name, count in CATEGORIES.items():
            values = pa.array([f"{name} {number}" for number in range(count)])
            columns[name] = values.take(pa.array(random.integers(count, size=size)))
    return pa.table(columns)


@contextmanager
def _open(kind: Format, path: Path, empty: pa.Table) -> Iterator[Writer]:
    import pyarrow.csv
    import pyarrow.parquet

    if kind == "jsonl":
        with path.open("wb") as file:
            yield lambda table: file.write(_json_lines(table))
        return
    opened: dict[str, Callable[[], AbstractContextManager[pa.csv.CSVWriter]]] = {
        "csv": lambda: pyarrow.csv.CSVWriter(path, empty.schema),
        "parquet": lambda: pyarrow.parquet.ParquetWriter(path, empty.schema),
    }
    with opened[kind]() as writer:
        yield writer.write_table


def _json_lines(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces: list[object] = []
    for number, name in enumerate(table.column_names):
        quote = '"' if pa.types.is_string(table[name].type) else ""
        start = f'{"{" if number == 0 else f"{pieces.pop()}, "}"{name}": {quote}'
        pieces += [start, table[name].cast("string"), quote]
    lines = pc.binary_join_element_wise(*pieces[:-1], f"{pieces[-1]}}}", "")
    return ("\n".join(lines.to_pylist()) + "\n").encode() if len(lines) else b""


if __name__ == "__main__":
    write_data(Data(**json.loads(sys.argv[1])), Path(sys.argv[2]))
