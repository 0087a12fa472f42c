"""One attempt at a run: under this host's lock, stoppable, and recorded however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from types import FrameType
from typing import ParamSpec

from batch.errors import BatchError, StoreDown, TryAgain
from batch.job.job_file import Job
from batch.logs import log, utc_now
from batch.output import layout
from batch.output.manifest import Kind
from batch.output.plan import PACKING, Packing, PlanAgain
from batch.output.publish import TRIES, move_pointer, require_not_paused, require_same_output
from batch.output.read import RETENTION, Retention, open_output, read_live
from batch.output.version import Live
from batch.run.lock import (
    Lock,
    Locked,
    OlderOutput,
    last_seen,
    output_lock,
    remember,
    require_not_older,
)
from batch.run.outcome import Outcome, Progress, RunResult, Trace, leave_record
from batch.store.base import Store

Given = ParamSpec("Given")
#: A model that does not return for so long after the signal is not waited for.
GRACE_SECONDS = 10.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


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


class Stopped(BaseException):
    """The run was told to stop. No `Exception`, so that nothing on the way takes it for one."""


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


@contextmanager
def stoppable(timeout: timedelta | None) -> Iterator[None]:
    """Raise `Stopped` in here when a signal comes or the timeout is over.

    Python raises it between two steps of its own. A process that is still deep in a library after
    `GRACE_SECONDS` ends at once, with the same exit code. Outside the main thread, where Python
    takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    with _watched(over):
        before = {number: signal.signal(number, _stop) for number in _STOPPING}
        signal.setitimer(signal.ITIMER_REAL, timeout.total_seconds() if timeout else 0)
        try:
            yield
        finally:
            over.set()
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)


def _record(this: Attempt) -> None:
    if hasattr(this, "store"):  # Else it ended before anything could be seen of it in OUTPUT.
        leave_record(this.store, this.trace, this.result, now=this.options.clock())


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    for other in _STOPPING:  # Once is enough: what cleans up must not be torn away from it.
        signal.signal(other, signal.SIG_IGN)
    reason = "run.timeout has expired" if number == signal.SIGALRM else signal.Signals(number).name
    raise Stopped(f"stopped: {reason}")


@contextmanager
def _watched(over: threading.Event) -> Iterator[None]:
    """Have a thread learn of every signal from the system itself, whatever this thread does."""
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise StoreDown(
            f"cannot open a pipe for signals: {os.strerror(error.errno or 0).lower()}",
            "raise the limit on open files (ulimit -n) and rerun",
        ) from None
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_enforce, args=(reading, over), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)


def _enforce(reading: int, over: threading.Event) -> None:
    with os.fdopen(reading, "rb", buffering=0) as signals:
        while number := signals.read(1):  # Empty once the run is over.
            if number[0] in _STOPPING and not over.wait(GRACE_SECONDS):
                name = signal.Signals(number[0]).name
                line = f"batch-predict: stopped by {name}; the model did not return\n"
                os.write(2, line.encode())
                os._exit(TryAgain.exit_code)
