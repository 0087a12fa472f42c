"""Rows of parts: the first of a version, and all of one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batch.errors import BadUsage
from batch.output.latest import LATEST_BY
from batch.output.manifest import Manifest, PartFile
from batch.output.part_reader import read_batches, read_rows_where
from batch.records.cast import cast_text
from batch.records.columns import InputColumn, type_of_arrow
from batch.store.base import Store
from batch.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa


def first_rows(store: Store, files: Sequence[PartFile], count: int) -> list[dict[str, object]]:
    """A few rows of the newest parts. Raises `Damaged` for a part that cannot be read."""
    rows: list[dict[str, object]] = []
    for file in reversed(files):
        for batch in read_batches(store, file, check="size"):
            rows.extend(batch.slice(0, count - len(rows)).to_pylist())
            if len(rows) >= count:
                return rows
    return rows


class KeyFinder:
    """Finds the rows of one key in parts; `key` holds one text for each key column.

    Raises `BadUsage` for a key of the wrong form.
    """

    def __init__(self, store: Store, manifest: Manifest, key: Sequence[str]) -> None:
        if len(key) != len(manifest.key):
            raise BadUsage(
                f"found {counted(len(key), 'key value')}, expected one for each of {', '.join(manifest.key)}",
                "give --key once for each key column, in this order",
            )
        self._store = store
        self.key = dict(zip(manifest.key, key, strict=True))

    def rows(self, file: PartFile, names: Sequence[str]) -> list[dict[str, object]]:
        """The rows of the key in one part, with the given columns that it has. Raises `Damaged`."""
        found = read_rows_where(self._store, file, names, by=list(self.key), holds=self._is_wanted)
        return list(found.to_pylist())

    def _is_wanted(self, rows: pa.Table) -> pa.ChunkedArray:
        import pyarrow.compute as pc

        is_wanted = None
        for name, text in self.key.items():
            equal = pc.equal(rows[name], _typed(name, text, rows.schema.field(name).type))
            is_wanted = equal if is_wanted is None else pc.and_(is_wanted, equal)
        return is_wanted


def rows_of_key(store: Store, manifest: Manifest, key: Sequence[str]) -> list[dict[str, object]]:
    """Every row of one key, the latest first, each with the run that published it.

    Raises `BadUsage` for a key of the wrong form, `Damaged` for a part that cannot be read.
    """
    finder = KeyFinder(store, manifest, key)
    names = [column.name for column in manifest.columns]
    rows = [
        {**row, "run_id": file.run_id}
        for file in manifest.files
        for row in finder.rows(file, names)
    ]
    return sorted(rows, key=place_of, reverse=True)


def place_of(row: dict[str, object]) -> tuple[object, ...]:
    """The place of a row in the order that decides the latest one."""
    return tuple(row[name] for name in LATEST_BY)


def _typed(name: str, text: str, wanted: pa.DataType) -> pa.Scalar:
    import pyarrow as pa

    column = InputColumn(name=name, type=type_of_arrow(wanted), nullable=False)
    values, bad = cast_text(pa.array([text], pa.string()), column)
    if bad:
        raise BadUsage(f"key {name}: found {text!r}, expected {column.type}")
    return values.cast(wanted)[0]
