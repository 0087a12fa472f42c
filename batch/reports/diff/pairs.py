"""The latest row of each key in two versions, side by side.

Of the files in both versions, only rows of keys that the other files touch are read, and no row
becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.output.latest import LATEST_BY, earliest_first, key_codes
from batch.output.manifest import Manifest, PartFile
from batch.output.part_reader import read_rows, read_rows_where
from batch.records.columns import INPUT
from batch.store.base import Store

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Pairs:
    """The keys whose latest row moved, or exists in one of the versions only.

    `before` and `after` hold the numbers of their latest rows in `rows`, -1 where there is none.
    `place` is the place of every row in the order that decides the latest one.
    """

    rows: pa.Table
    before: np.ndarray
    after: np.ndarray
    place: np.ndarray


def pair(store: Store, before: Manifest, after: Manifest, columns: Sequence[str]) -> Pairs | None:
    """Find the pairs; `columns` are read in addition to the key and those that decide the latest row.

    None if the versions certainly hold the same rows. Raises `Damaged` for a part that cannot be
    read.
    """
    import numpy as np

    only_before, only_after, common = _sorted_out(before, after)
    names = [*before.key, *LATEST_BY, *columns]
    old = [read_rows(store, file, names) for file in only_before]
    new = [read_rows(store, file, names) for file in only_after]
    if not old and not new:
        return None
    touched = _joined(table.select(before.key) for table in (*old, *new))
    shared = _Sieve(store, touched, names).rows_of_touched_keys(common)
    rows = _joined([*old, *new, *shared])
    old_rows = sum(table.num_rows for table in old)
    codes, order = key_codes(rows, before.key), earliest_first(rows)
    numbers = np.arange(len(codes))
    is_shared = numbers >= touched.num_rows
    # The touched keys came first, so theirs are the lowest codes.
    keys = int(codes[: touched.num_rows].max(initial=-1)) + 1
    before_rows = _latest(order, codes, keys, (numbers < old_rows) | is_shared)
    after_rows = _latest(order, codes, keys, numbers >= old_rows)
    moved = before_rows != after_rows
    place = np.empty_like(order)
    place[order] = numbers
    return Pairs(rows, before_rows[moved], after_rows[moved], place)


class _Sieve:
    """Finds the rows of some keys, in time that grows with the rows alone."""

    def __init__(self, store: Store, keys: pa.Table, names: Sequence[str]) -> None:
        self._store, self._names = store, names
        self._values = {name: keys[name].unique() for name in keys.column_names}
        self._size = max(len(values) for values in self._values.values())

    def rows_of_touched_keys(self, files: Sequence[PartFile]) -> Iterator[pa.Table]:
        """Tables with all rows of these keys, and of several key columns perhaps with some more."""
        together: list[pa.Table] = []
        for file in files:
            if file.rows >= self._size:
                yield read_rows_where(
                    self._store, file, self._names, by=list(self._values), holds=self._is_touched
                )
                continue
            # Looking for the keys costs as much as reading that many rows: small files share it.
            together.append(read_rows(self._store, file, self._names))
            if sum(table.num_rows for table in together) >= self._size:
                yield self._sifted(together)
                together = []
        if together:
            yield self._sifted(together)

    def _sifted(self, tables: Sequence[pa.Table]) -> pa.Table:
        rows = _joined(tables)
        return rows.filter(self._is_touched(rows))

    def _is_touched(self, rows: pa.Table) -> pa.ChunkedArray:
        import pyarrow.compute as pc

        is_touched = None
        for name, values in self._values.items():
            is_in = pc.is_in(rows[name], value_set=values)
            is_touched = is_in if is_touched is None else pc.and_(is_touched, is_in)
        return is_touched


def _sorted_out(
    before: Manifest, after: Manifest
) -> tuple[list[PartFile], list[PartFile], list[PartFile]]:
    """The files of only one of the versions, and those of both; earlier rows first."""
    ours = {file.path for file in before.files}
    theirs = {file.path for file in after.files}
    return (
        _earliest_first(file for file in before.files if file.path not in theirs),
        _earliest_first(file for file in after.files if file.path not in ours),
        _earliest_first(file for file in after.files if file.path in ours),
    )


def _earliest_first(files: Iterable[PartFile]) -> list[PartFile]:
    # What comes nearly in order is sorted quickly.
    return sorted(files, key=lambda file: (file.as_of[0], file.path))


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of all tables; a column that one lacks is null there."""
    import pyarrow as pa

    rows = pa.concat_tables(tables, promote_options="default")
    return rows.unify_dictionaries() if INPUT in rows.column_names else rows


def _latest(order: np.ndarray, codes: np.ndarray, keys: int, is_there: np.ndarray) -> np.ndarray:
    """The number of the latest row of each of the first `keys` keys, -1 for none."""
    import numpy as np

    latest = np.full(keys, -1, np.int64)
    chosen = order[is_there[order] & (codes[order] < keys)]
    # Of several rows of one key the last assignment stays.
    latest[codes[chosen]] = chosen
    return latest
