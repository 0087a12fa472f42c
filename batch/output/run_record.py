"""What a run leaves behind for people: its record, and the heartbeat of the last one."""

from __future__ import annotations

from datetime import datetime

import msgspec

from batch.output.manifest import Counts, Document, Unreadable


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
