"""Write a part: Parquet of one fixed schema, hashed while written, counted before it gets its name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import DoesNotFit, StoreDown
from batch.output.manifest import Column, PartFile
from batch.records.columns import ROW, type_name
from batch.store.base import Store
from batch.wording import counted

REJECT_SCHEMA = pa.schema(
    [("_input", pa.string()), ("_row", pa.int64()), ("_as_of", pa.timestamp("us", "UTC")),
     ("column", pa.string()), ("reason", pa.string()), ("raw", pa.string())]
)  # fmt: skip


class PartWriter:
    """Collects tables into one Parquet file of the store; without rows there is no file.

    The file gets its name when `stack` is left without an exception: call `finish` inside the
    stack, and create the receipt after it. The values of the columns `unique` hardly repeat.
    """

    def __init__(
        self, stack: ExitStack, store: Store, path: str, *, unique: Sequence[str] = ()
    ) -> None:
        self._stack = stack
        self._store = store
        self._path = path
        self._unique = {*unique, ROW}
        self._sink: _HashingSink | None = None
        self._writer: Any = None
        self._local = Path()
        self.rows = 0
        self.schema: pa.Schema = pa.schema([])

    def write(self, table: pa.Table) -> None:
        """Append rows; every table must have the columns of the first."""
        if table.num_rows == 0:
            return
        if self._writer is None:
            self._open(table.schema)
        if table.schema != self.schema:
            table = self._conform(table)
        self._writer.write_table(table)
        self.rows += table.num_rows

    def finish(
        self, *, as_of: tuple[datetime, datetime], run_id: str, recipe: str, model_sha256: str,
        inputs: int,
    ) -> PartFile | None:  # fmt: skip
        """Close the file and describe it; None if nothing was written."""
        if self._sink is None:
            return None
        self._writer.close()
        self._sink.close()
        # A short file is still valid Parquet: count what arrived on the disk.
        found = pq.read_metadata(self._local).num_rows
        if found != self.rows:
            raise StoreDown(f"{self._path}: wrote {counted(self.rows, 'row')}, found {found:,}")
        return PartFile(
            path=self._path, rows=self.rows, bytes=self._local.stat().st_size,
            sha256=self._sink.digest.hexdigest(), as_of=as_of, run_id=run_id, recipe=recipe,
            model_sha256=model_sha256, inputs=inputs,
        )  # fmt: skip

    def _open(self, schema: pa.Schema) -> None:
        self._local = self._stack.enter_context(self._store.upload(self._path))
        self._sink = _HashingSink(self._local)
        self._stack.callback(self._sink.close)
        self.schema = schema
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            schema,
            compression="zstd",
            use_dictionary=[field.name for field in schema if self._repeats(field)],
        )
        # Closed before its sink, or it complains to stderr when it is collected.
        self._stack.callback(self._writer.close)

    def _repeats(self, field: pa.Field) -> bool:
        """Whether a dictionary is worth building: it costs more than all the rest of writing."""
        return field.name not in self._unique and not pa.types.is_floating(field.type)

    def _conform(self, table: pa.Table) -> pa.Table:
        try:
            if {*table.column_names} == {*self.schema.names}:
                return table.select(self.schema.names).cast(self.schema)
        except pa.ArrowException:
            pass
        raise DoesNotFit(
            f"the model returned {_listed(table.schema)} after {_listed(self.schema)}",
            "hooks and model must return the same columns and types for every chunk",
        )


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """A schema as the manifest states it."""
    return tuple(Column(name=field.name, type=type_name(field.type)) for field in schema)


class _HashingSink(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
