"""One version in memory, immutable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from batch.client.answers import Answers
from batch.client.index import key_index
from batch.client.parts import read_part
from batch.client.tables import plain, union
from batch.errors import DoesNotFit
from batch.output.latest import LATEST_BY, earliest_first
from batch.records.arrays import in_one, to_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from batch.output.manifest import Column, Manifest, PartFile
    from batch.store.base import Store

#: Enough to hash one part while another is decoded; decoding has threads of its own.
_READERS = 2


class Version:
    """The predictions of one manifest, in memory.

    `names` are the columns a reader gets, key first. `parts` maps the path of every live part to
    its rows: slices of one table, which the next version takes over without reading them again.
    """

    def __init__(
        self, manifest: Manifest, names: Sequence[str], table: pa.Table, parts: Mapping[str, Any]
    ) -> None:
        self.manifest = manifest
        self.parts = parts
        self._names = list(names)
        self._table = table
        self._index = key_index(table, manifest.key, earliest_first(table))
        self._find = self._index.find
        columns = {name: in_one(table[name]) for name in names}
        is_given = self._index.echoes
        self._answers = Answers(columns, given=manifest.key[0] if is_given else None)

    @property
    def key_count(self) -> int:
        return len(self._index)

    def get(self, key: Any) -> dict[str, Any] | None:
        """The latest row of the key, None if there is none."""
        row = self._find(key)
        return None if row is None else self._answers.one_row(row, key)

    def get_many(self, keys: Sequence[Any]) -> list[dict[str, Any] | None]:
        """`get` for each key, in order."""
        rows = self._index.find_many(keys)
        if not (rows < 0).any():
            return [*self._answers.many(rows, keys)]
        places = (rows >= 0).nonzero()[0].tolist()
        answers: list[dict[str, Any] | None] = [None] * len(keys)
        known = self._answers.many(rows[places], [keys[place] for place in places])
        for place, answer in zip(places, known, strict=True):
            answers[place] = answer
        return answers

    def table(self, *, all_rows: bool) -> pa.Table:
        """The latest row of each key or every row, as Arrow."""
        chosen = self._table.select(self._names)
        return plain(chosen if all_rows else chosen.take(to_arrow(self._index.rows)))


def load_version(
    store: Store,
    manifest: Manifest,
    *,
    columns: Sequence[str] | None = None,
    previous: Version | None = None,
) -> Version:
    """Read the parts that `previous` does not hold, verify them, and build the version.

    `columns` limits the columns to read, beyond the key and those that decide the latest row.
    Raises `Damaged` for a part that is missing or damaged, `DoesNotFit` for an unknown column.
    """
    published = _published_columns(manifest)
    names = _chosen(manifest, published, columns)
    wanted = [column for column in published if column.name in {*names, *LATEST_BY}]
    # Oldest first: then the rows come nearly in the order that decides the latest one.
    files = sorted(manifest.files, key=lambda file: (file.as_of[0], file.path))
    tables = _read_all(store, files, wanted, previous.parts if previous else {})
    table = union(tables, wanted)
    parts, start = {}, 0
    for file in files:
        parts[file.path] = table.slice(start, file.rows)
        start += file.rows
    return Version(manifest, names, table, parts)


def _published_columns(manifest: Manifest) -> Sequence[Column]:
    """Those of the manifest, which knows none before the first record was predicted."""
    from batch.output.manifest import Column

    key = [Column(name=name, type="string") for name in manifest.key]
    types = ("timestamp", "string", "int64")
    latest = [Column(name=name, type=kind) for name, kind in zip(LATEST_BY, types, strict=True)]
    return manifest.columns or (*key, *latest)


def _chosen(
    manifest: Manifest, published: Sequence[Column], columns: Sequence[str] | None
) -> list[str]:
    known = [column.name for column in published]
    unknown = [name for name in columns or () if name not in known]
    if unknown:
        raise DoesNotFit(
            f"version {manifest.version} of {manifest.job} has no column {', '.join(unknown)}",
            f"it has: {', '.join(known)}",
        )
    return list(dict.fromkeys([*manifest.key, *(known if columns is None else columns)]))


def _read_all(
    store: Store, files: Sequence[PartFile], wanted: Sequence[Column], held: Mapping[str, pa.Table]
) -> list[pa.Table]:
    types = {column.name: column.type for column in wanted}
    read = partial(read_part, store, types=types)
    with ThreadPoolExecutor(_READERS) as readers:
        return list(
            readers.map(lambda file: held[file.path] if file.path in held else read(file), files)
        )
