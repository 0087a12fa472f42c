"""Ask again what went wrong on the way: a bounded number of times, further and further apart."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

_TRIES = 8
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 5.0
_DEADLINE_SECONDS = 120.0

_Answer = TypeVar("_Answer")


def retrying(ask: Callable[[], _Answer], *, is_transient: Callable[[Exception], bool]) -> _Answer:
    """The answer, after as many tries as it takes; the last error when there is none.

    Pauses double, and each is a random share of that, so that many hosts do not come back in step
    ("full jitter": M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
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
