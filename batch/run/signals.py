"""Stop a run in good order: on SIGTERM, on SIGINT, and when its time is over."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from batch.errors import StoreDown, TryAgain

#: A model that does not return for so long after the signal is not waited for.
GRACE_SECONDS = 10.0

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


class Stopped(BaseException):
    """The run was told to stop. No `Exception`, so that nothing on the way takes it for one."""


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
