"""One attempt at a run: under this host's lock, stoppable, and recorded however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import ParamSpec

from batch.errors import BatchError
from batch.inputs.pack import PACKING, Packing
from batch.job.job import Job
from batch.logs import log, utc_now
from batch.output import layout
from batch.output.manifest import Kind
from batch.output.open import open_output
from batch.output.plan import PlanAgain
from batch.output.publish import TRIES, move_pointer, require_not_paused, require_same_output
from batch.output.read import read_live
from batch.output.retention import RETENTION, Retention
from batch.output.version import Live
from batch.run.host_state import OlderOutput, last_seen, remember, require_not_older
from batch.run.lock import Lock, Locked, output_lock
from batch.run.outcome import Outcome, Progress, RunResult, Trace, leave_record
from batch.run.signals import Stopped, stoppable
from batch.store.base import Store

Given = ParamSpec("Given")


@dataclass(frozen=True)
class Options:
    """What the caller of a run decides; `clock` gives the time in UTC.

    `wait` is for how long to wait for another run on this host to end. `open_output` opens OUTPUT,
    here and in the worker processes, which get it by pickling. `packing` shapes slices,
    `retention` says how much history is kept.
    """

    accept_older: bool = False
    wait: timedelta = timedelta()
    progress: Progress = lambda *_: None
    clock: Callable[[], datetime] = utc_now
    open_output: Callable[[Job], Store] = open_output
    packing: Packing = PACKING
    retention: Retention = RETENTION


class Attempt:
    """What the steps of one run share; the caller of the last step sets the `result`."""

    lock: Lock
    store: Store
    result: RunResult

    def __init__(self, job: Job, options: Options, *, kind: Kind) -> None:
        self.job, self.options = job, options
        self.trace = Trace(job=job.name, kind=kind, started_at=options.clock())
        self.until_recorded, self.until_ended = ExitStack(), ExitStack()

    def take_lock(self) -> None:
        """Hold this host's lock until the attempt is recorded, and obey signals from here on.

        Raises `Locked`.
        """
        trace, wait = self.trace, self.options.wait
        self.lock = self.until_recorded.enter_context(
            output_lock(self.job.output_url, kind=trace.kind, now=trace.started_at, wait=wait)
        )
        self.store = self.options.open_output(self.job)
        self.until_ended.enter_context(stoppable(self.job.settings.run.timeout))
        self._clear_up_after_the_dead()

    def _clear_up_after_the_dead(self) -> None:
        """Remove the files and the shared memory of runs that died while they held the lock."""
        for process in self.lock.dead_processes:
            from batch.run.predict.workers import sweep_shared_memory  # A usual run needs it not.

            sweep_shared_memory(process)
        self.lock.bury()
        self.store.sweep()


@contextmanager
def attempt(job: Job, options: Options, *, kind: Kind) -> Iterator[Attempt]:
    """An attempt that ends with a result; runs and backfills have a lock of their own each.

    Every `BatchError` and every signal ends here, as the result; a bug is recorded and raised.
    """
    this = Attempt(job, options, kind=kind)
    with this.until_recorded:
        try:
            with this.until_ended:
                yield this
        except (Locked, OlderOutput) as error:
            # Not even a heartbeat: the run in progress leaves its own, or the disk may be missing.
            outcome = Outcome.LOCKED if isinstance(error, Locked) else Outcome.of(error)
            this.result = RunResult(outcome, error.message, error.hint)
            return
        except BatchError as error:
            run_id = this.trace.run_id
            this.result = RunResult(Outcome.of(error), error.message, error.hint, run_id)
        except Stopped as stop:
            run_id = this.trace.run_id
            this.result = RunResult(Outcome.INTERRUPTED, str(stop), "rerun to resume", run_id)
        except BaseException as bug:
            message = f"{type(bug).__name__}: {bug}"
            this.result = RunResult(Outcome.BUG, message, run_id=this.trace.run_id)
            _record(this)
            raise
        _record(this)


def replanned(step: Callable[Given, RunResult]) -> Callable[Given, RunResult]:
    """Take the step again when another host finished or gave up what it was about to take over."""

    @wraps(step)
    def repeated(*args: Given.args, **kwargs: Given.kwargs) -> RunResult:
        for _ in range(TRIES - 1):
            try:
                return step(*args, **kwargs)
            except PlanAgain as error:
                log.info("%s: planning again", error.message)
        return step(*args, **kwargs)

    return repeated


def open_live(this: Attempt) -> Live:
    """The live version, if this job may extend it; a pointer that is behind is moved."""
    job, store = this.job, this.store
    seen = last_seen(store.url)  # First: a backfill may publish while we read, or a run.
    live = read_live(store)
    require_not_older(store.url, live.manifest, seen=seen, accept_older=this.options.accept_older)
    require_same_output(live, job)
    if live.manifest:
        # Its writer may have been killed before it was durable, and we build upon it.
        store.settle(
            [layout.manifest_path(live.version), *(one.path for one in live.manifest.ledger)]
        )
        move_pointer(store, live.manifest)
        remember(store.url, live.manifest)
    require_not_paused(live, job)
    return live


def _record(this: Attempt) -> None:
    if hasattr(this, "store"):  # Else it ended before anything could be seen of it in OUTPUT.
        leave_record(this.store, this.trace, this.result, now=this.options.clock())
