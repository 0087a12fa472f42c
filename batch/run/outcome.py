"""What a run leaves behind for people: its record in OUTPUT/runs, and the heartbeat."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from batch.errors import BatchError
from batch.logs import log
from batch.output import layout
from batch.output.manifest import Counts, Kind, Unreadable
from batch.output.run_record import Heartbeat, RunRecord
from batch.records.documents import encode
from batch.store.base import Exists, Missing, Store

#: Called with slices done, slices in all, and records predicted so far.
Progress = Callable[[int, int, int], None]

_TRIES = 5


@dataclass
class Trace:
    """What a run found out so far, so that its record can tell even when it failed."""

    job: str
    kind: Kind
    started_at: datetime
    run_id: str | None = None
    recipe: str | None = None
    waiting: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a stage, in seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: for the exit code, a line to a person, or a block under cron."""

    name: str
    exit_code: int
    message: str
    hint: str = ""
    run_id: str | None = None
    version: int | None = None
    added: Counts = field(default_factory=Counts)
    unreadable: tuple[Unreadable, ...] = ()
    waiting: int = 0
    outdated: int = 0


def leave_record(store: Store, trace: Trace, outcome: Outcome, *, now: datetime) -> None:
    """Write the heartbeat, and the record of a run that did or tried anything.

    Neither decides anything: a store that does not take them is only logged.
    """
    try:
        if trace.run_id:
            _create_record(store, trace, outcome, now)
        _beat(store, trace, outcome, now)
    except BatchError as error:
        log.warning("the run left no record: %s", error.message)


def _create_record(store: Store, trace: Trace, outcome: Outcome, now: datetime) -> None:
    assert trace.run_id is not None, "the caller looked"
    attempt = 1
    for _ in range(_TRIES):
        record = RunRecord(
            run_id=trace.run_id,
            attempt=attempt,
            kind=trace.kind,
            job=trace.job,
            host=os.uname().nodename,
            started_at=trace.started_at,
            ended_at=now,
            outcome=outcome.name,
            exit_code=outcome.exit_code,
            version=outcome.version,
            added=outcome.added,
            recipe=trace.recipe,
            message=outcome.message,
            hint=outcome.hint,
            unreadable=outcome.unreadable,
            waiting=trace.waiting,
            seconds=trace.seconds,
        )
        with suppress(Exists):
            store.create(layout.record_path(trace.run_id, attempt), encode(record))
            return
        # A run that is held again and again has many: ask once instead of trying each.
        found = {entry.path for entry in store.list(layout.RUNS).entries}
        attempt = next(
            number for number in count(1) if layout.record_path(trace.run_id, number) not in found
        )


def _beat(store: Store, trace: Trace, outcome: Outcome, now: datetime) -> None:
    beat = Heartbeat(
        at=now,
        host=os.uname().nodename,
        outcome=outcome.name,
        exit_code=outcome.exit_code,
        version=outcome.version,
        run_id=trace.run_id,
    )
    try:
        blob = store.read(layout.HEARTBEAT)
    except Missing:
        blob = None
    store.replace(layout.HEARTBEAT, encode(beat), token=blob.token if blob else None)
