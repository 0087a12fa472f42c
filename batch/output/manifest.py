"""The manifest: the complete list of files that make up one version, and what a reader needs.

`docs/manifest.md` describes it for readers in other languages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from batch.errors import DoesNotFit
from batch.records.documents import Document, decode
from batch.records.histogram import Histogram

FORMAT = "batch-predict/1"

Kind = Literal["run", "backfill", "rollback", "unpause", "repair", "window"]


class Column(Document, frozen=True):
    """One column of the parts: its name and type (string, int64, float64, bool, date, timestamp)."""

    name: str
    type: str


class Counts(Document, frozen=True):
    """Totals; for every input taken in, records = predicted + rejected."""

    inputs: int = 0
    records: int = 0
    predicted: int = 0
    rejected: int = 0
    bytes: int = 0


class ModelInfo(Document, frozen=True):
    """The model behind the newest predictions; paths are relative to OUTPUT.

    `recipe` is the JSON of everything that shapes a prediction; the hook files are beside it.
    `sidecar` describes the model as it was saved, null if it had no sidecar.
    """

    sha256: str
    path: str
    format: str
    class_name: str = msgspec.field(name="class")
    versions: dict[str, str]
    recipe: str
    sidecar: str | None = None


class PartFile(Document, frozen=True):
    """One live Parquet file of predictions or rejects; immutable."""

    path: str
    rows: int
    bytes: int
    sha256: str
    as_of: tuple[datetime, datetime]
    run_id: str
    recipe: str
    model_sha256: str
    inputs: int


class LedgerFile(Document, frozen=True):
    """One ledger segment."""

    path: str
    sha256: str
    inputs: int


class Unreadable(Document, frozen=True):
    """An input that was not taken in, and why."""

    path: str
    reason: str


class CheckResult(Document, frozen=True):
    """One check of the run; forced: it held the run, and a person published it anyway."""

    name: str
    value: float | None
    limit: float | None
    outcome: Literal["pass", "warn", "hold", "forced"]
    detail: str = ""


class Paused(Document, frozen=True):
    """Who paused the job, when and why."""

    by: str
    at: datetime
    reason: str


class Manifest(Document, frozen=True):
    """One version, whole: a reader needs no other manifest."""

    format: str
    job: str
    version: int
    parent: int | None
    commit_id: str
    kind: Kind
    run_id: str
    published_at: datetime
    published_by: str
    stale_after: datetime | None
    paused: Paused | None
    oldest_kept: int
    mode: Literal["append", "replace"]
    key: tuple[str, ...]
    input_base: str
    columns: tuple[Column, ...]
    model: ModelInfo
    totals: Counts
    added: Counts
    files: tuple[PartFile, ...]
    rejects: tuple[PartFile, ...]
    ledger: tuple[LedgerFile, ...]
    unreadable: tuple[Unreadable, ...]
    checks: tuple[CheckResult, ...]
    histogram: Histogram | None = None

    @property
    def all_files(self) -> tuple[PartFile, ...]:
        """The live files of predictions and of rejects."""
        return (*self.files, *self.rejects)

    @property
    def made_by(self) -> str:
        """The sha256 of the model of its own predictions: a backfill's may be another than `model`."""
        own = (file.model_sha256 for file in self.all_files if file.run_id == self.run_id)
        return next(own, self.model.sha256)


class _Format(Document, frozen=True):
    format: str


def decode_manifest(data: bytes, *, source: str) -> Manifest:
    """Read a manifest; an unknown format is refused before anything else is looked at."""
    found = decode(data, _Format, source=source).format
    if found != FORMAT:
        raise DoesNotFit(
            f"{source}: found format {found!r}, expected {FORMAT!r}",
            "this manifest was written by another major version of batch-predict",
        )
    return decode(data, Manifest, source=source)
