"""A published output made by hand: parts, manifests and pointer as a run leaves them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from batch.output import layout
from batch.output.manifest import FORMAT, Column, Counts, Manifest, ModelInfo, PartFile
from batch.records.columns import type_name
from batch.records.documents import encode
from batch.store import open_store
from batch.store.base import Missing

RUN_ID = "20131202T040000Z-5f3a2c"
MODEL = ModelInfo(
    sha256="0" * 64,
    path=layout.model_path("0" * 64),
    format="joblib",
    class_name="sklearn.pipeline.Pipeline",
    versions={"scikit-learn": "1.9.1"},
    recipe=layout.recipe_path("0" * 64, "1" * 64),
)


def part(day: str, /, *, source: str | None = None, **columns: Any) -> pa.Table:
    """The rows of one input of a day: columns are lists or Arrow arrays, `_row` counts from 0."""
    table = pa.table(columns)
    count = table.num_rows
    as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
    ours = {
        "_input": pa.array([source or f"{day}.csv"] * count, pa.string()),
        "_row": pa.array(range(count), pa.int64()),
        "_as_of": pa.array([as_of] * count, pa.timestamp("us", "UTC")),
    }
    return pa.table({**{name: table[name] for name in table.column_names}, **ours})


class Output:
    """An OUTPUT, a folder or a URL, that grows by one version with each `publish`."""

    def __init__(self, folder: Path | str, *, key: tuple[str, ...] = ("id",)) -> None:
        self.folder = Path(folder)
        self.store = open_store(str(folder))
        self.key = key
        self.version = 0
        self._live: list[tuple[PartFile, pa.Schema]] = []

    def publish(
        self, *tables: pa.Table, keep: bool = True, pointer: bool = True, **changes: Any
    ) -> Manifest:
        """One more version: these parts, and the earlier ones too if `keep`.

        `changes` replace fields of the manifest; without `pointer` only the numbered file is made.
        """
        self._live = [*(self._live if keep else []), *map(self._write_part, tables)]
        self.version += 1
        manifest = msgspec.structs.replace(self._manifest(), **changes)
        self.store.create(layout.manifest_path(self.version), encode(manifest))
        if pointer:
            self.point_to(encode(manifest))
        return manifest

    def point_to(self, data: bytes) -> None:
        """Make the pointer hold these bytes."""
        try:
            blob = self.store.read(layout.POINTER)
        except Missing:
            blob = None
        self.store.replace(layout.POINTER, data, token=blob.token if blob else None)

    def path(self, manifest: Manifest, part_number: int = -1) -> Path:
        """Where a part of a manifest lies on disk, by default the last one."""
        return self.folder / manifest.files[part_number].path

    def _write_part(self, table: pa.Table) -> tuple[PartFile, pa.Schema]:
        path = layout.part_path(RUN_ID, len(self._live))
        with self.store.upload(path) as local:
            pq.write_table(table, local)
            data = local.read_bytes()
        instants = table["_as_of"].to_pylist() or [datetime(2013, 12, 1, tzinfo=UTC)]
        described = PartFile(
            path=path,
            rows=table.num_rows,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            as_of=(min(instants), max(instants)),
            run_id=RUN_ID,
            recipe="1" * 64,
            model_sha256=MODEL.sha256,
            inputs=len(set(table["_input"].to_pylist())),
        )
        return described, table.schema

    def _manifest(self) -> Manifest:
        files = tuple(file for file, _ in self._live)
        rows = sum(file.rows for file in files)
        totals = Counts(inputs=len(files), records=rows, predicted=rows)
        return Manifest(
            format=FORMAT,
            job="demo",
            version=self.version,
            parent=self.version - 1 or None,
            commit_id=layout.new_commit_id(),
            kind="run",
            run_id=RUN_ID,
            published_at=datetime.now(UTC),
            published_by="batch@host",
            stale_after=None,
            paused=None,
            oldest_kept=1,
            mode="append",
            key=self.key,
            input_base="data",
            columns=self._columns(),
            model=MODEL,
            totals=totals,
            added=totals,
            files=files,
            rejects=(),
            ledger=(),
            unreadable=(),
            checks=(),
        )

    def _columns(self) -> tuple[Column, ...]:
        """The union over the live parts, `_input`, `_row` and `_as_of` last."""
        ours = {"_input": "string", "_row": "int64", "_as_of": "timestamp"}
        types = {field.name: type_name(field.type) for _, schema in self._live for field in schema}
        between = {name: kind for name, kind in types.items() if name not in {*self.key, *ours}}
        keys = {name: types.get(name, "string") for name in self.key}
        return tuple(Column(name=name, type=kind) for name, kind in (keys | between | ours).items())


def flip_byte(path: Path) -> None:
    """Damage a file in its middle, size unchanged; a second call mends it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
