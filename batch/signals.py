"""Stop a run in good order: on SIGTERM, on SIGINT, and when its time is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType


class Stopped(BaseException):
    """The run was told to stop. No `Exception`, so that nothing on the way takes it for one."""


@contextmanager
def stoppable(timeout: timedelta | None) -> Iterator[None]:
    """Raise `Stopped` in here when a signal comes or the timeout is over.

    Outside the main thread, where Python takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, _stop)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    }
    signal.setitimer(signal.ITIMER_REAL, timeout.total_seconds() if timeout else 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    reason = "run.timeout is over" if number == signal.SIGALRM else signal.Signals(number).name
    raise Stopped(f"stopped: {reason}")
