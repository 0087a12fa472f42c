"""The state of a job and its output: live version, dates, inputs to do, last run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from batch.errors import BatchError
from batch.inputs.survey import Survey, survey_inputs
from batch.job.job_file import Job
from batch.output import layout
from batch.output.manifest import Counts, Unreadable
from batch.output.plan import list_plans
from batch.output.read import newest_manifest, read_document, read_live
from batch.output.run_record import Heartbeat, RunRecord, read_records
from batch.output.version import Live
from batch.records.documents import Document
from batch.reports.coverage import DateRange, Trouble, cover, held_inputs, outdated_inputs
from batch.reports.target import Target
from batch.store.base import Store

#: At least one of this many records is expected to be of a run.
_LAST_RECORDS = 10


class Status(Document, frozen=True):
    """The state of a job; times in UTC.

    `todo` and `waiting` count inputs (null without a job file), `outdated` counts inputs predicted
    by another recipe than the newest. `dates` are in order; none for a path without a date.
    `is_readable`: whether the output can be read.
    """

    job: str
    output: str
    version: int | None
    published_at: datetime | None
    age_seconds: float | None
    is_stale: bool
    paused: str | None
    totals: Counts
    model: str | None
    outdated: int
    todo: int | None
    waiting: int | None
    dates: tuple[DateRange, ...]
    unreadable: tuple[Unreadable, ...]
    pending: tuple[str, ...]
    last_run: Heartbeat | None
    is_readable: bool
    trouble: str


def read_status(target: Target, *, now: datetime) -> Status:
    """The state of a job; problems with its input or output are part of the answer."""
    live = manifest = todo = waiting = None
    trouble, is_readable = "", False
    last, dates = _last_run(target.store), tuple[DateRange, ...]()
    try:
        manifest = newest_manifest(target.store)
        live = read_live(target.store)
        is_readable = True
        if target.job:
            found = survey_inputs(target.job, live.ledger)
            todo, waiting = len(found.todo), len(found.waiting)
            dates = _dates(target.store, target.job, found, live, last)
    except BatchError as error:
        trouble = error.message
    return Status(
        job=manifest.job if manifest else target.name,
        output=target.store.url,
        version=manifest.version if manifest else None,
        published_at=manifest.published_at if manifest else None,
        age_seconds=(now - manifest.published_at).total_seconds() if manifest else None,
        is_stale=bool(manifest and manifest.stale_after and now > manifest.stale_after),
        paused=f"by {manifest.paused.by}: {manifest.paused.reason}"
        if manifest and manifest.paused
        else None,
        totals=manifest.totals if manifest else Counts(),
        model=manifest.model.sha256 if manifest else None,
        outdated=len(outdated_inputs(live)) if live else 0,
        todo=todo,
        waiting=waiting,
        dates=dates,
        unreadable=last.unreadable if last else (),
        pending=tuple(pending_runs(target.store)),
        last_run=_heartbeat(target.store),
        is_readable=is_readable,
        trouble=trouble,
    )


def _dates(
    store: Store, job: Job, found: Survey, live: Live, last: RunRecord | None
) -> tuple[DateRange, ...]:
    if not job.pattern.has_date:
        return ()
    unreadable = {bad.path for bad in last.unreadable} if last else set[str]()
    return cover(job, found, live, Trouble(unreadable, held_inputs(store, live)))


def _last_run(store: Store) -> RunRecord | None:
    """The record of the last run that had something to do, if it can be read.

    Backfills do not count: they say nothing about inputs that were not selected.
    """
    try:
        records = list(read_records(store, last=_LAST_RECORDS))
    except BatchError:
        return None
    runs = [record for record in records if record.kind == "run"]
    return max(runs, key=lambda record: record.ended_at, default=None)


def pending_runs(store: Store) -> Iterator[str]:
    """Runs that wrote a plan and did not publish: interrupted, held, or in progress."""
    try:
        plans = list_plans(store)
        published = read_live(store).ledger.run_ids() if plans.entries else set[str]()
    except BatchError:
        return
    for run_id in plans.run_ids:
        if run_id not in published and not plans.is_given_up(run_id):
            yield f"{run_id} ({'held' if plans.is_held(run_id) else 'interrupted or in progress'})"


def _heartbeat(store: Store) -> Heartbeat | None:
    try:
        return read_document(store, layout.HEARTBEAT, Heartbeat)
    except BatchError:
        return None  # Advisory: its absence says nothing.
