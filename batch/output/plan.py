"""Plans and their slices, the receipts that say a slice is done, and how inputs are packed into slices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from batch.errors import TryAgain
from batch.output import layout
from batch.output.manifest import CheckResult, Column, ModelInfo, PartFile
from batch.output.read import read_document
from batch.records.columns import compression_of
from batch.records.documents import Document, encode
from batch.records.histogram import Histogram
from batch.store.base import Entry, Exists, Store

PLAN_FORMAT = "batch-predict-plan/1"
#: Each is read whole, so a compressed one counts as what it may become in memory.
_UNPACKED = 16


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


@dataclass(frozen=True)
class Plans:
    """One listing of `pending/`, and the store's time of it."""

    entries: dict[str, Entry]
    now: datetime

    @property
    def run_ids(self) -> list[str]:
        """The runs that have a plan, oldest first."""
        folders = {path.split("/")[1] for path in self.entries}
        return sorted(run_id for run_id in folders if layout.plan_path(run_id) in self.entries)

    def is_given_up(self, run_id: str) -> bool:
        return layout.dropped_path(run_id) in self.entries

    def is_held(self, run_id: str) -> bool:
        return layout.held_path(run_id) in self.entries

    def age(self, path: str) -> timedelta:
        """Age of the object; zero if missing."""
        entry = self.entries.get(path)
        return self.now - entry.modified if entry else timedelta()


@dataclass(frozen=True)
class Packing:
    """Inputs up to `small_bytes` share a slice, which holds at most the other two."""

    small_bytes: int = 4 << 20
    packed_bytes: int = 64 << 20
    packed_inputs: int = 2_000


PACKING = Packing()


def list_plans(store: Store) -> Plans:
    """Everything in `pending/`."""
    listing = store.list(layout.PENDING)
    return Plans({entry.path: entry for entry in listing.entries}, listing.now)


def read_plan(store: Store, run_id: str) -> Plan:
    """The plan of a run. Raises `Missing`, `Damaged`."""
    return read_document(store, layout.plan_path(run_id), Plan)


def give_up(store: Store, run_id: str, *, by: str, at: datetime) -> None:
    """Mark the run as abandoned by creating dropped.json: it is never continued or published."""
    with suppress(Exists):  # Abandoned by another process at the same time.
        store.create(layout.dropped_path(run_id), encode(DroppedNote(by=by, at=at)))


def pack(
    inputs: Iterable[PlannedInput], packing: Packing = PACKING, *, apart: Collection[str] = ()
) -> list[tuple[PlannedInput, ...]]:
    """Group inputs into slices: large ones alone, small ones together, in the order of names.

    Those of the paths `apart` stand alone too.
    """
    groups: list[tuple[PlannedInput, ...]] = []
    together: list[PlannedInput] = []
    held = 0
    for planned in inputs:
        size = planned.size * (_UNPACKED if _is_compressed(planned.path) else 1)
        if size > packing.small_bytes or planned.path in apart:
            groups.append((planned,))
            continue
        is_full = held + size > packing.packed_bytes or len(together) == packing.packed_inputs
        if together and is_full:
            groups.append(tuple(together))
            together, held = [], 0
        together.append(planned)
        held += size
    return [*groups, tuple(together)] if together else groups


def in_reading_order(
    inputs: Iterable[PlannedInput], packing: Packing = PACKING
) -> tuple[PlannedInput, ...]:
    """The inputs as their slices will hold them, where nothing was done before."""
    return tuple(planned for group in pack(inputs, packing) for planned in group)


def _is_compressed(path: str) -> bool:
    return path.endswith(".parquet") or compression_of(path) is not None
