"""Log lines for `-v`, and the one clock the program reads."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

log = logging.getLogger("batch")


def show_logs(verbosity: int) -> None:
    """Send log lines to stderr: none by default, progress with -v, everything with -vv."""
    level = {0: logging.CRITICAL + 1, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False


def utc_now() -> datetime:
    """This host's time in UTC."""
    return datetime.now(UTC)
