"""Slices, the plan that lists them, and the receipts that say they are done."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from batch.errors import TryAgain
from batch.output.manifest import CheckResult, Column, ModelInfo, PartFile
from batch.records.documents import Document
from batch.records.histogram import Histogram

PLAN_FORMAT = "batch-predict-plan/1"


class PlanAgain(TryAgain):
    """The run in progress must be planned again: another host finished it, or it was abandoned."""


class PlannedInput(Document, frozen=True):
    """One input that a run will take in, and the ledger entry that the plan saw for it.

    `seen` is "" for an input that was never taken in; `seen_digest` is None where even the same
    content must be predicted again.
    """

    path: str
    size: int
    token: str
    as_of: datetime
    reason: Literal["new", "changed", "again"]
    seen: str = ""
    seen_digest: str | None = None


class Slice(Document, frozen=True):
    """The unit of parallel work: one input, or many small ones together; becomes one part."""

    number: int
    inputs: tuple[PlannedInput, ...]
    receipt: str

    @property
    def bytes(self) -> int:
        return sum(planned.size for planned in self.inputs)


class Plan(Document, frozen=True):
    """The inputs and slices of a run; written before the first slice, never changed.

    `model` is what predicts, as a manifest names it; with `keeps_model` the version's own stays.
    `request` tells one backfill from another.
    """

    format: str
    run_id: str
    kind: str
    job: str
    recipe: str
    created_at: datetime
    slices: tuple[Slice, ...]
    model: ModelInfo
    keeps_model: bool = False
    request: str = ""


class InputResult(Document, frozen=True):
    """The outcome for one input of a slice.

    taken: its records are in the part or rejected. resent: its content is the one taken in
    before. unreadable: nothing of it is used; `is_fatal` if predicting it killed the process.
    changed: it changed or vanished while it was read; it stays open.
    """

    path: str
    outcome: Literal["taken", "resent", "unreadable", "changed"]
    digest: str = ""
    records: int = 0
    predicted: int = 0
    rejected: int = 0
    reason: str = ""
    is_fatal: bool = False


class Receipt(Document, frozen=True):
    """A slice is done: its files, the outcome for each input, and its histogram.

    `columns` are those of the part; `null_predictions` counts its rows with a null among the
    predictions; `seconds` tells the time by stage.
    """

    run_id: str
    recipe: str
    slice: Slice
    results: tuple[InputResult, ...]
    part: PartFile | None
    rejects: PartFile | None
    columns: tuple[Column, ...]
    histogram: Histogram | None
    seconds: dict[str, float]
    null_predictions: int = 0


class DroppedNote(Document, frozen=True):
    """Who abandoned a run, and when."""

    by: str
    at: datetime


class HeldNote(Document, frozen=True):
    """Why a finished run was not published."""

    checks: tuple[CheckResult, ...]
