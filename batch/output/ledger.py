"""The ledger: every input processed so far. The last entry of a path, in segment order, counts."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Collection, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from batch.errors import Damaged

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One input that was taken in; records = predicted + rejected."""

    path: str
    size: int
    token: str
    digest: str
    as_of: datetime
    records: int
    predicted: int
    rejected: int
    parts: tuple[str, ...]
    rejects: tuple[str, ...]
    run_id: str
    recipe: str

    @property
    def files(self) -> set[str]:
        """The files that hold its rows, of predictions and of rejects."""
        return {*self.parts, *self.rejects}


class Ledger:
    """Every entry that is in force, looked up by the path of the input."""

    def __init__(self, table: pa.Table | None = None) -> None:
        self._table = table

    @classmethod
    def from_segments(cls, segments: Iterable[tuple[str, bytes]]) -> Ledger:
        """Read segments, given as (source, bytes), oldest first. Raises `Damaged`."""
        tables = [_decode(data, source) for source, data in segments]
        if not tables:
            return cls()
        import pyarrow as pa

        return cls(pa.concat_tables(tables))

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, path: object) -> bool:
        return path in self._tokens

    def __iter__(self) -> Iterator[LedgerEntry]:
        return (self._entry(row) for row in self._rows.values())

    def get(self, path: str) -> LedgerEntry | None:
        row = self._rows.get(path)
        return None if row is None else self._entry(row)

    def token(self, path: str) -> str | None:
        """The token with which the input was taken in, None if it was not."""
        return self._tokens.get(path)

    def tokens(self) -> Mapping[str, str]:
        """The token with which every input was taken in."""
        return self._tokens

    def paths(self) -> KeysView[str]:
        return self._tokens.keys()

    def recipes(self) -> dict[str, str]:
        """The recipe of every input."""
        return {path: self._recipes[row] for path, row in self._rows.items()}

    def outdated(self, recipe: str, *, ignoring: Collection[str] = ()) -> list[str]:
        """The inputs with records that another recipe predicted; those to ignore are left out.

        `recipe` may be the beginning of a digest.
        """
        if all(known.startswith(recipe) for known in self._distinct("recipe")):
            return []
        records = self._column("records")
        return [
            path
            for path, row in self._rows.items()
            if records[row] and path not in ignoring and not self._recipes[row].startswith(recipe)
        ]

    def run_ids(self) -> set[str]:
        """The runs that wrote any entry, in force or not."""
        return self._distinct("run_id")

    # A later row of one path overwrites an earlier one: that is the rule of the ledger.

    @cached_property
    def _tokens(self) -> dict[str, str]:
        return dict(zip(self._paths, self._column("token"), strict=True))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self._paths)}

    @cached_property
    def _paths(self) -> list[str]:
        return self._column("path")

    @cached_property
    def _recipes(self) -> list[str]:
        return self._column("recipe")

    def _distinct(self, name: str) -> set[str]:
        """The values of a column, of entries that are in force or not."""
        return set() if self._table is None else set(self._table[name].unique().to_pylist())

    def _column(self, name: str) -> list[str]:
        return [] if self._table is None else list(self._table[name].to_pylist())

    def _entry(self, row: int) -> LedgerEntry:
        assert self._table is not None, "a row was found in it"
        values = {name: self._table[name][row].as_py() for name in self._table.column_names}
        values.update(parts=tuple(values["parts"]), rejects=tuple(values["rejects"]))
        return LedgerEntry(**values)


def seen_mark(entry: LedgerEntry | None) -> str:
    """Identifies one ledger entry in a plan; "" for none."""
    return f"{entry.token}@{entry.run_id}" if entry else ""


def encode_segment(entries: Iterable[LedgerEntry]) -> bytes:
    """One ledger segment as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [field.name for field in dataclasses.fields(LedgerEntry)]
    rows = [{name: getattr(entry, name) for name in names} for entry in entries]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), buffer, compression="zstd")
    return buffer.getvalue()


def _decode(data: bytes, source: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # In this thread alone: one of Arrow's own that lets go of Python's bytes while the process
        # ends aborts it (apache/arrow#34314), and many commands end right after this.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        # Casting loads half of Arrow, and what we wrote needs none.
        return table if table.schema.equals(_schema()) else table.cast(_schema())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damaged(
            f"{source}: not a ledger segment: {error}",
            "restore the file from a backup; nothing was changed",
        ) from None


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, count = pa.string(), pa.int64()
    return pa.schema({
        "path": text, "size": count, "token": text, "digest": text,
        "as_of": pa.timestamp("us", "UTC"), "records": count, "predicted": count,
        "rejected": count, "parts": pa.list_(text), "rejects": pa.list_(text), "run_id": text,
        "recipe": text,
    })  # fmt: skip
