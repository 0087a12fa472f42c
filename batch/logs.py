"""Log lines for `-v`, and the one clock the program reads."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime

log = logging.getLogger("batch")

#: Attributes of every record; what else one has are the fields of its line.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def show_logs(verbosity: int, *, log_format: str = "text") -> None:
    """Send log lines to stderr: errors by default, progress with -v, everything with -vv."""
    level = {0: logging.ERROR, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine() if log_format == "json" else _TextLine())
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False


class _TextLine(logging.Formatter):
    """Time in UTC, level, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime


class _JsonLine(logging.Formatter):
    """One JSON object per line: time, level, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def utc_now() -> datetime:
    """This host's time in UTC."""
    return datetime.now(UTC)
