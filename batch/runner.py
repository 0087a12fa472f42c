"""One run: the only place that knows the order of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from batch import layout
from batch.engine import sweep_shared_memory
from batch.errors import BatchError
from batch.inputs import survey_inputs
from batch.job import Job
from batch.lock import (
    Lock,
    Locked,
    OlderOutput,
    keep_suspects,
    output_lock,
    read_suspects,
    remember,
    require_not_older,
)
from batch.logs import log, utc_now
from batch.newest import read_live
from batch.planning import Survey
from batch.publishing import TRIES, move_pointer, require_not_paused, require_same_output
from batch.reporting import Outcome, Progress, Trace, leave_record
from batch.signals import Stopped, stoppable
from batch.slices import PlanAgain
from batch.store import open_output
from batch.store.base import Store
from batch.tidying import tidy
from batch.version import Live

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
class _Beginning:
    """What a run found; `model` is the model file."""

    job: Job
    live: Live
    found: Survey
    model: Path
    lock: Lock


def run(job: Job, options: Options) -> Outcome:
    """Predict every input that is not predicted yet, and publish a new version.

    Every `BatchError` becomes an outcome; a bug is recorded and raised. Safe to call at any time
    and from several hosts: work may be done twice, it is never published twice.
    """
    trace = Trace(job=job.name, kind="run", started_at=options.clock())
    try:
        with output_lock(job.output_url, now=trace.started_at, wait=options.wait) as lock:
            store = options.open_output(job)
            try:
                with stoppable(job.settings.run.timeout):
                    _clear_up_after_the_dead(store, lock)
                    outcome = _run_anew(job, store, options, trace, lock)
                    outcome = tidy(job, store, outcome, clock=options.clock)
            except OlderOutput as error:
                return _stopped(error, trace)  # Not even a heartbeat: the disk may be missing.
            except BatchError as error:
                outcome = _stopped(error, trace)
            except Stopped as stop:
                outcome = Outcome(
                    "interrupted",
                    75,
                    str(stop),
                    "run again: it goes on where it was",
                    run_id=trace.run_id,
                )
            except BaseException as bug:
                message = f"{type(bug).__name__}: {bug}"
                outcome = Outcome("bug", 1, message, run_id=trace.run_id)
                leave_record(store, trace, outcome, now=options.clock())
                raise
            leave_record(store, trace, outcome, now=options.clock())
            return outcome
    except Locked as error:
        return Outcome("locked", error.exit_code, error.message, error.hint)
    except BatchError as error:
        return _stopped(error, trace)


def _clear_up_after_the_dead(store: Store, lock: Lock) -> None:
    """Whoever held the lock before and died left files and shared memory behind."""
    for process in lock.dead_processes:
        sweep_shared_memory(process)
    lock.bury()
    store.sweep()


def _run_anew(job: Job, store: Store, options: Options, trace: Trace, lock: Lock) -> Outcome:
    """Begin again when another host finished what this run was about to take over."""
    for _ in range(TRIES - 1):
        try:
            return _run(job, store, options, trace, lock)
        except PlanAgain as error:
            log.info("%s: begin again", error.message)
    return _run(job, store, options, trace, lock)


def _run(job: Job, store: Store, options: Options, trace: Trace, lock: Lock) -> Outcome:
    live = _open_output(job, store, options)
    found = survey_inputs(job, live.ledger)
    trace.waiting = len(found.waiting)
    if job.settings.output.mode == "append" and not found.todo:
        return _nothing(live, found)
    # From here on there may be something to predict: what that takes is loaded only now.
    from batch.modelfile import model_file

    with model_file(job) as model:
        return _predict(store, _Beginning(job, live, found, model, lock), options, trace)


def _predict(store: Store, begun: _Beginning, options: Options, trace: Trace) -> Outcome:
    from batch.completing import judge_and_publish
    from batch.preparing import recipe_of, replacement
    from batch.working import Task, predict_all

    job, live, found = begun.job, begun.live, begun.found
    recipe, sidecar = recipe_of(job, store, live, found.todo, model=begun.model)
    if job.settings.output.mode == "replace":
        found = replacement(job, live, found, recipe)
        if not found.todo:
            return _nothing(live, found)
    task = Task(
        job,
        begun.model,
        recipe,
        sidecar,
        found.todo,
        live.ledger,
        options.open_output,
        suspects=read_suspects(store.url),
        left_behind=begun.lock.left_behind,
        note=begun.lock.note,
    )
    receipts = predict_all(store, task, trace, clock=options.clock, progress=options.progress)
    results = [result for receipt in receipts for result in receipt.results]
    keep_suspects(store.url, {result.path for result in results if result.is_fatal})
    return judge_and_publish(store, live, task, receipts, trace, clock=options.clock)


def _open_output(job: Job, store: Store, options: Options) -> Live:
    """The live version, if this job may extend it; a pointer that is behind is moved."""
    live = read_live(store)
    require_not_older(store.url, live.manifest, accept_older=options.accept_older)
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


def _nothing(live: Live, found: Survey) -> Outcome:
    waiting = f"; {len(found.waiting):,} inputs wait" if found.waiting else ""
    return Outcome(
        "nothing to do",
        0,
        f"nothing to do{waiting}; version {live.version} stays",
        version=live.version,
        waiting=len(found.waiting),
    )


def _stopped(error: BatchError, trace: Trace) -> Outcome:
    return Outcome(
        _STOPPED.get(error.exit_code, "stopped"),
        error.exit_code,
        error.message,
        error.hint,
        run_id=trace.run_id,
    )
