"""Run records, one for each attempt at a run, and the heartbeat of the last one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from batch.errors import Damaged
from batch.output import layout
from batch.output.manifest import Counts, Unreadable
from batch.output.read import read_document
from batch.records.documents import Document
from batch.store.base import Missing, Store


class RunRecord(Document, frozen=True):
    """One execution, of whatever outcome."""

    run_id: str
    attempt: int
    kind: str
    job: str
    host: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    exit_code: int
    version: int | None
    added: Counts
    recipe: str | None = None
    message: str = ""
    hint: str = ""
    unreadable: tuple[Unreadable, ...] = ()
    waiting: int = 0
    seconds: dict[str, float] = msgspec.field(default_factory=dict)


class Heartbeat(Document, frozen=True):
    """When the last run of any outcome ended; advisory, for monitoring."""

    at: datetime
    host: str
    outcome: str
    exit_code: int
    version: int | None
    run_id: str | None = None


def read_records(store: Store, *, last: int) -> Iterator[RunRecord]:
    """The records of the last runs."""
    entries = store.list(layout.RUNS).entries
    # A name tells when a run began, a time when it ended: but for a copy, where all are new.
    newest = {entry.path for entry in sorted(entries, key=lambda entry: entry.modified)[-last:]}
    for path in sorted(newest | {entry.path for entry in entries[-last:]}):
        try:
            yield read_document(store, path, RunRecord)
        except (Missing, Damaged):
            continue  # Pruned since it was listed; and no record decides anything.
