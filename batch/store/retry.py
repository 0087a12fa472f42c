"""Repeat requests that failed on the way: a bounded number of times, further and further apart."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_TRIES = 8
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 5.0
_DEADLINE_SECONDS = 120.0
_patience: ContextVar[float] = ContextVar("patience in seconds", default=_DEADLINE_SECONDS)

_Answer = TypeVar("_Answer")


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside, this thread starts no further try after this many seconds."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def retrying(ask: Callable[[], _Answer], *, is_transient: Callable[[Exception], bool]) -> _Answer:
    """The answer, after as many tries as it takes; the last error when there is none.

    Pauses double, and each is a random share of that, so that many hosts do not come back in step
    ("full jitter": M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """
    deadline = time.monotonic() + _patience.get()
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except Exception as error:
            if not is_transient(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return ask()
