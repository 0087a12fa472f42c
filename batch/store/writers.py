"""Which process writes an unfinished file, and whether it is still running."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path


@cache
def this_host() -> str:
    """Identifies where a process id means one process: this boot, this PID namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        where = boot + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # Not Linux: the name of the host must do.
        where = os.uname().nodename
    return hashlib.sha256(where.encode()).hexdigest()[:8]


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
