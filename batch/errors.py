"""The errors an operator can act on, and their exit codes.

A `BatchError` says what, where, found and expected; its hint is the next step. A subclass exists
only where the operator must act differently, and owns its exit code. Any other exception is a bug
and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT_CODES: dict[int, str] = {
    0: "published, or nothing to do",
    1: "a bug: see the traceback",
    2: "usage error",
    3: "held by a check, or paused after a rollback",
    65: "some inputs were unreadable or had too many rejects; the rest is published",
    66: "no such input",
    69: "store unreachable or damaged, or older than this host has seen",
    75: "temporary failure, rerun: locked, interrupted, race lost, or outcome unknown",
    77: "permission denied",
    78: "configuration error: job file, model and data do not match",
}


class BatchError(Exception):
    """Something the operator can act on."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[BatchError], tuple[str, ...]]:
        # Workers hand errors to the coordinator by pickling; keep the hint.
        return type(self), (self.message, self.hint)


class BadUsage(BatchError):
    """The command line parses, but does not apply to this job."""

    exit_code = 2


class Held(BatchError):
    """A check held the run, or a rollback paused the job."""

    exit_code = 3


class BadData(BatchError):
    """An input is unreadable, or has too many rejects."""

    exit_code = 65


class NoInput(BatchError):
    """The requested input, job or version does not exist."""

    exit_code = 66


class StoreDown(BatchError):
    """The store does not answer, or is not the one this host has seen."""

    exit_code = 69


class Damaged(StoreDown):
    """Something the program itself wrote is missing, truncated or altered."""


class TryAgain(BatchError):
    """A temporary failure: the next run succeeds without help."""

    exit_code = 75


class NotPermitted(BatchError):
    """The store or the system refuses access."""

    exit_code = 77


class DoesNotFit(BatchError):
    """Job file, model, data, output and environment do not match."""

    exit_code = 78


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a denied permission into an error that names the file; a missing file stays missing."""
    try:
        yield
    except PermissionError:
        raise NotPermitted(
            f"{path}: permission denied", "let the user who runs this read it"
        ) from None
