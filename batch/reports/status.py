"""Look at an output: how it is doing, what ran, which rows it holds. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import BatchError, Damaged, NoInput
from batch.inputs.listing import survey_inputs
from batch.inputs.survey import Survey
from batch.job.job_file import load_job
from batch.job.settings import Job
from batch.output import layout
from batch.output.documents import read_document
from batch.output.manifest import Counts, Document, Manifest, PartFile, Unreadable
from batch.output.pending import list_plans
from batch.output.read import newest_manifest, read_live
from batch.output.run_record import Heartbeat, RunRecord
from batch.output.version import Live
from batch.reports.coverage import DateRange, Trouble, cover, held_inputs, outdated_inputs
from batch.reports.history import read_records
from batch.store import open_output, open_store
from batch.store.base import Missing, Store

if TYPE_CHECKING:
    import pyarrow as pa

#: A run is among so many.
_LAST_RECORDS = 10


@dataclass(frozen=True)
class Target:
    """What a reading command looks at: an output, and its job if one was named."""

    store: Store
    job: Job | None

    @property
    def name(self) -> str:
        return self.job.name if self.job else self.store.url


class Status(Document, frozen=True):
    """How a job is doing; times in UTC.

    `todo` and `waiting` count inputs (null where no job file tells where they are), `outdated`
    inputs predicted by another recipe than the newest; `dates` are in order, none for a path
    without a date. `is_readable` tells whether the output is.
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


def find_target(name: str) -> Target:
    """The output that NAME means: an OUTPUT folder or URL, or that of a job."""
    folder = Path(name)
    is_output = (folder / layout.POINTER).is_file() or (folder / layout.MANIFESTS).is_dir()
    if is_output or "://" in name:
        return Target(open_store(name), None)
    job = load_job(name)
    return Target(open_output(job), job)


def read_status(target: Target, *, now: datetime) -> Status:
    """How the job is doing; trouble with its input or output is part of the answer."""
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
    """The record of the last run that did or tried anything, as far as it can be read.

    A backfill tells nothing of the inputs that it was not asked for.
    """
    try:
        runs = [one for one in read_records(store, last=_LAST_RECORDS) if one.kind == "run"]
    except BatchError:
        return None
    return max(runs, key=lambda record: record.ended_at, default=None)


def require_published(target: Target) -> Manifest:
    """The live version. Raises `NoInput` before the first one."""
    manifest = newest_manifest(target.store)
    if manifest is None:
        raise NoInput(
            f"{target.store.url}: nothing is published yet",
            f"batch-predict run {target.job.folder if target.job else 'JOB'}",
        )
    return manifest


def first_rows(store: Store, files: Sequence[PartFile], count: int) -> list[dict[str, object]]:
    """A few rows of the newest parts."""
    rows: list[dict[str, object]] = []
    for file in reversed(files):
        for batch in _batches(store, file):
            rows.extend(batch.slice(0, count - len(rows)).to_pylist())
            if len(rows) >= count:
                return rows
    return rows


def _batches(store: Store, file: PartFile) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with store.fetch(file.path) as local, pq.ParquetFile(local) as part:
            yield from part.iter_batches()
    except (pa.ArrowException, Missing) as error:
        raise Damaged(
            f"{store.url}/{file.path}: cannot be read: {error}",
            "restore the file; nothing else is lost",
        ) from None


def pending_runs(store: Store) -> Iterator[str]:
    """Runs that wrote a plan and did not publish: interrupted, held, or under way."""
    try:
        plans = list_plans(store)
        published = read_live(store).ledger.run_ids() if plans.entries else set[str]()
    except BatchError:
        return
    for run_id in plans.run_ids:
        if run_id not in published and not plans.is_given_up(run_id):
            yield f"{run_id} ({'held' if plans.is_held(run_id) else 'interrupted or under way'})"


def _heartbeat(store: Store) -> Heartbeat | None:
    try:
        return read_document(store, layout.HEARTBEAT, Heartbeat)
    except BatchError:
        return None  # Advisory: its absence says nothing.
