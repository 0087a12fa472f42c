"""The lock of an open file, which ends with the process that holds it. It only saves work."""

from __future__ import annotations

import fcntl
import time
from typing import IO, Any


def try_to_lock(file: IO[Any]) -> bool:
    """Take the lock, unless another process holds it.

    Threads of one process do not exclude each other. Raises OSError on a file system without locks.
    """
    try:
        # lockf, not flock: a forked child that outlives us must not keep it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def lock_within(file: IO[Any], seconds: float, *, poll_seconds: float) -> bool:
    """Take the lock as soon as it is free; False if it is not after this long.

    It polls: to the system, two processes with two threads each could look like a deadlock.
    """
    deadline = time.monotonic() + seconds
    while not try_to_lock(file):
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True
