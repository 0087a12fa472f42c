"""One attempt at a run: under this host's lock, stoppable, recorded whatever came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from batch.errors import BatchError
from batch.job.job import Job
from batch.logs import log, utc_now
from batch.output import layout
from batch.output.manifest import Kind
from batch.output.open import open_output
from batch.output.plan import PlanAgain
from batch.output.publish import TRIES, move_pointer, require_not_paused, require_same_output
from batch.output.read import read_live
from batch.output.version import Live
from batch.run.host_state import (
    OlderOutput,
    is_due,
    keep_suspects,
    last_seen,
    read_suspects,
    remember,
    require_not_older,
)
from batch.run.lock import Lock, Locked, output_lock
from batch.run.outcome import Outcome, Progress, Trace, leave_record
from batch.run.signals import Stopped, stoppable
from batch.store.base import Store

if TYPE_CHECKING:
    from batch.run.execute import Task

_STOPPED = {3: "held", 65: "bad data", 66: "no input", 69: "store down", 75: "try again",
            77: "not permitted", 78: "does not fit"}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What the caller of a run decides; `clock` gives the time in UTC.

    `wait` is for how long to wait for another run on this host to end. `open_output` opens OUTPUT,
    here and in the worker processes, which get it by pickling.
    """

    accept_older: bool = False
    wait: timedelta = timedelta()
    progress: Progress = lambda *_: None
    clock: Callable[[], datetime] = utc_now
    open_output: Callable[[Job], Store] = open_output


@dataclass(frozen=True)
class Attempt:
    """What the steps of one attempt share."""

    job: Job
    store: Store
    options: Options
    trace: Trace
    lock: Lock


def attempt(
    job: Job, options: Options, *, kind: Kind, work: Callable[[Attempt], Outcome]
) -> Outcome:
    """Do the work of a run or a backfill; each kind has its own lock on a host.

    Every `BatchError` becomes an outcome; a bug is recorded and raised.
    """
    trace = Trace(job=job.name, kind=kind, started_at=options.clock())
    try:
        with output_lock(
            job.output_url, kind=kind, now=trace.started_at, wait=options.wait
        ) as lock:
            begun = Attempt(job, options.open_output(job), options, trace, lock)
            try:
                with stoppable(job.settings.run.timeout):
                    _clear_up_after_the_dead(begun)
                    outcome = work(begun)
            except OlderOutput as error:
                return _stopped(error, trace)  # Not even a heartbeat: the disk may be missing.
            except BatchError as error:
                outcome = _stopped(error, trace)
            except Stopped as stop:
                outcome = _interrupted(stop, trace)
            except BaseException as bug:
                message = f"{type(bug).__name__}: {bug}"
                outcome = Outcome("bug", 1, message, run_id=trace.run_id)
                leave_record(begun.store, trace, outcome, now=options.clock())
                raise
            leave_record(begun.store, trace, outcome, now=options.clock())
            return outcome
    except Locked as error:
        return Outcome("locked", error.exit_code, error.message, error.hint)
    except BatchError as error:
        return _stopped(error, trace)


def anew(step: Callable[[], Outcome]) -> Outcome:
    """Take a step, again when another host finished what it was about to take over."""
    for _ in range(TRIES - 1):
        try:
            return step()
        except PlanAgain as error:
            log.info("%s: begin again", error.message)
    return step()


def open_live(begun: Attempt) -> Live:
    """The live version, if this job may extend it; a pointer that is behind is moved."""
    job, store = begun.job, begun.store
    seen = last_seen(store.url)  # First: a backfill may publish while we read, or a run.
    live = read_live(store)
    require_not_older(store.url, live.manifest, seen=seen, accept_older=begun.options.accept_older)
    require_same_output(live, job)
    if live.manifest:
        # Whoever made it may have been killed before it was durable, and we build upon it.
        store.settle(
            [layout.manifest_path(live.version), *(one.path for one in live.manifest.ledger)]
        )
        move_pointer(store, live.manifest)
        remember(store.url, live.manifest)
    require_not_paused(live, job)
    return live


def carry_out(begun: Attempt, live: Live, task: Task) -> Outcome:
    """Predict what a task names, and publish it."""
    from batch.run.completion import finished, judge_and_publish
    from batch.run.execute import predict_all

    store, trace, options = begun.store, begun.trace, begun.options
    receipts = predict_all(store, task, trace, clock=options.clock, progress=options.progress)
    results = [result for receipt in receipts for result in receipt.results]
    fatal = {result.path for result in results if result.is_fatal}
    fine = {result.path for result in results} - fatal
    keep_suspects(store.url, (read_suspects(store.url) - fine) | fatal)
    trace.waiting += len(task.todo) - len(results)
    run = finished(task, receipts, trace)
    return judge_and_publish(store, begun.job, live, run, trace, clock=options.clock)


def _clear_up_after_the_dead(begun: Attempt) -> None:
    """Whoever held the lock before and died left files and shared memory behind."""
    for process in begun.lock.dead_processes:
        from batch.run.predict.workers import (
            sweep_shared_memory,  # What it brings, a usual run does without.
        )

        sweep_shared_memory(process)
    begun.lock.bury()
    begun.store.sweep()


def _interrupted(stop: Stopped, trace: Trace) -> Outcome:
    hint = "rerun to resume"
    return Outcome("interrupted", 75, str(stop), hint, run_id=trace.run_id)


def _stopped(error: BatchError, trace: Trace) -> Outcome:
    return Outcome(
        _STOPPED.get(error.exit_code, "stopped"),
        error.exit_code,
        error.message,
        error.hint,
        run_id=trace.run_id,
    )


_A_DAY = timedelta(days=1)


def tidy(job: Job, store: Store, outcome: Outcome, *, clock: Callable[[], datetime]) -> Outcome:
    """Apply `output.window`, and prune after a publication, at most once a day.

    Neither is what the run was for: a failure is left to the next one.
    """
    try:
        if outcome.name in {"published", "nothing to do"}:
            outcome = _apply_window(job, store, outcome, clock)
        if outcome.name == "published" and is_due(store.url, "pruned", every=_A_DAY, now=clock()):
            from batch.upkeep.prune import prune

            prune(store, retain=job.settings.output.retain, delete=True)
    except (BatchError, Stopped) as error:
        log.warning("left to the next run: %s", error)
    return outcome


def _apply_window(
    job: Job, store: Store, outcome: Outcome, clock: Callable[[], datetime]
) -> Outcome:
    if job.settings.output.window is None:
        return outcome
    from batch.upkeep.window import drop_old

    manifest = drop_old(store, job, clock=clock)
    if manifest is None:
        return outcome
    remember(store.url, manifest)
    return dataclasses.replace(
        outcome,
        name="published",
        version=manifest.version,
        message=f"{outcome.message}; version {manifest.version} is without what is older than "
        "output.window",
    )
