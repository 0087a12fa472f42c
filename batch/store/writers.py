"""Which process writes an unfinished file, and whether it is still running."""

from __future__ import annotations

import hashlib
import os
import time
from functools import cache
from pathlib import Path

_FORGOTTEN_SECONDS = 7 * 86400


@cache
def this_host() -> str:
    """Identifies where a process id means one process: this boot, this PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        where = boot + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # Not Linux: the name of the host must do.
        where = os.uname().nodename
    return hashlib.sha256(where.encode()).hexdigest()[:8]


def is_leftover(item: os.DirEntry[str]) -> bool:
    """Whether an unfinished file, named after its writer, will never be finished.

    Files of other hosts, and of this one before it was rebooted, are leftovers after a week.
    """
    return time.time() - item.stat().st_mtime > _FORGOTTEN_SECONDS or writer_is_dead(item.name)


def writer_is_dead(name: str) -> bool:
    """Whether the process that owns this unfinished file ran on this host and has ended."""
    host, _, rest = name.partition("-")
    process = rest.partition("-")[0]
    if host != this_host() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
