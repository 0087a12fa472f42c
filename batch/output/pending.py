"""The contents of `pending/`: unpublished plans, and the notes beside them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from batch.output import layout
from batch.output.plan import DroppedNote, Plan
from batch.output.read import read_document
from batch.records.documents import encode
from batch.store.base import Entry, Exists, Store


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
