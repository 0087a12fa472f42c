"""Repeat requests that failed on the way: a bounded number of times, further and further apart."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Persistence:
    """How often this process asks, and how long it waits in between: twice as long each time."""

    tries: int = 8
    first_pause_seconds: float = 0.05
    longest_pause_seconds: float = 5.0


_persistence = [Persistence()]
_DEADLINE_SECONDS = 120.0
_patience: ContextVar[float] = ContextVar("patience in seconds", default=_DEADLINE_SECONDS)

_Answer = TypeVar("_Answer")


@contextmanager
def persisting(persistence: Persistence) -> Iterator[None]:
    """Inside, every thread of this process asks so often."""
    _persistence.append(persistence)
    try:
        yield
    finally:
        _persistence.remove(persistence)


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
    persistence = _persistence[-1]
    pause = persistence.first_pause_seconds
    for _ in range(persistence.tries - 1):
        try:
            return ask()
        except Exception as error:
            if not is_transient(error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, persistence.longest_pause_seconds)
    return ask()
