"""Many writers at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def race(act: Callable[[int], None], *losing: type[Exception], writers: int = 8) -> list[int]:
    """Let all writers act at the same moment; those that were not told that they lost."""
    barrier = threading.Barrier(writers)

    def attempt(number: int) -> bool:
        barrier.wait()
        try:
            act(number)
        except losing:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(attempt, range(writers)))
    return [number for number in range(writers) if won[number]]
