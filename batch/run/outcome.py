"""What a run leaves behind for people: its record in OUTPUT/runs, and the heartbeat."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
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
            seconds = time.perf_counter() - start
            self.add(stage, seconds)
            log.info(
                "%s: %s: %.2f s", self.job, stage, seconds,
                extra={"job": self.job, "stage": stage, "seconds": round(seconds, 3)},
            )  # fmt: skip

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)


class Outcome(Enum):
    """How a run can end: the word of run records, its exit code, and what it means."""

    PUBLISHED = "published", 0, "a new version is live"
    PUBLISHED_IN_PART = "published", 65, "a new version is live; some inputs could not be read"
    PUBLISHED_NOT_ALL = (
        "published",
        75,
        "a new version is live; some inputs are left to the next run",
    )
    NOTHING_TO_DO = "nothing to do", 0, "there is no new input; the live version stays"
    UNREADABLE = "unreadable", 65, "nothing published: none of the inputs could be read"
    CHANGED = "changed", 75, "nothing published: the inputs changed while they were read"
    LOCKED = "locked", 75, "another run of this output is in progress on this host"
    INTERRUPTED = "interrupted", 75, "stopped by a signal or by run.timeout; rerun to resume"
    TRY_AGAIN = "try again", 75, "a passing fault, or another host was faster; rerun"
    HELD = "held", 3, "a check failed, or the job is paused"
    BAD_DATA = "bad data", 65, "data that contradicts itself"
    NO_INPUT = "no input", 66, "no input matches, or the version asked for is not retained"
    STORE_DOWN = "store down", 69, "the store cannot be reached, is damaged, or older than seen"
    NOT_PERMITTED = "not permitted", 77, "the store or the host refuses access"
    DOES_NOT_FIT = "does not fit", 78, "job file, model and data do not match"
    STOPPED = "stopped", 2, "the request makes no sense for this job"
    BUG = "bug", 1, "an error in the program; the traceback is on stderr"

    def __init__(self, word: str, exit_code: int, meaning: str) -> None:
        self.word, self.exit_code, self.meaning = word, exit_code, meaning

    @classmethod
    def of(cls, error: BatchError) -> Outcome:
        """What an error makes of a run."""
        return next(outcome for outcome in _OF_ERRORS if outcome.exit_code == error.exit_code)


_OF_ERRORS = (
    Outcome.HELD, Outcome.BAD_DATA, Outcome.NO_INPUT, Outcome.STORE_DOWN, Outcome.TRY_AGAIN,
    Outcome.NOT_PERMITTED, Outcome.DOES_NOT_FIT, Outcome.STOPPED, Outcome.BUG,
)  # fmt: skip


@dataclass(frozen=True)
class RunResult:
    """How a run ended: for the exit code, a line to a person, or a block under cron."""

    outcome: Outcome
    message: str
    hint: str = ""
    run_id: str | None = None
    version: int | None = None
    added: Counts = field(default_factory=Counts)
    unreadable: tuple[Unreadable, ...] = ()
    waiting: int = 0

    @property
    def name(self) -> str:
        return self.outcome.word

    @property
    def exit_code(self) -> int:
        return self.outcome.exit_code


def leave_record(store: Store, trace: Trace, result: RunResult, *, now: datetime) -> None:
    """Write the heartbeat, and the record of a run that did or tried anything.

    Neither decides anything: a store that does not take them is only logged.
    """
    try:
        if trace.run_id:
            _create_record(store, trace, result, now)
        _beat(store, trace, result, now)
    except BatchError as error:
        log.warning("the run left no record: %s", error.message)


def _create_record(store: Store, trace: Trace, result: RunResult, now: datetime) -> None:
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
            outcome=result.name,
            exit_code=result.exit_code,
            version=result.version,
            added=result.added,
            recipe=trace.recipe,
            message=result.message,
            hint=result.hint,
            unreadable=result.unreadable,
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


def _beat(store: Store, trace: Trace, result: RunResult, now: datetime) -> None:
    beat = Heartbeat(
        at=now,
        host=os.uname().nodename,
        outcome=result.name,
        exit_code=result.exit_code,
        version=result.version,
        run_id=trace.run_id,
    )
    try:
        blob = store.read(layout.HEARTBEAT)
    except Missing:
        blob = None
    store.replace(layout.HEARTBEAT, encode(beat), token=blob.token if blob else None)
