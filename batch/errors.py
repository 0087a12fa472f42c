"""Everything that can go wrong on purpose, and the exit code that tells it to cron.

A `BatchError` says what, where, found and expected; its hint says what to type next.
A subclass exists only where the operator must act differently, and owns its exit code.
Anything else that is raised is a bug and keeps its traceback.
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

    def __reduce__(self) -> tuple[type[BatchError], tuple[str, str]]:
        # Workers hand errors to the coordinator by pickling; keep the hint.
        return type(self), (self.message, self.hint)


class BadUsage(BatchError):
    """The command line parses, but what it says fits nothing here."""

    exit_code = 2


class Held(BatchError):
    """A check held the run, or a rollback paused the job."""

    exit_code = 3


class BadData(BatchError):
    """An input that cannot be read, or that has too many rejects."""

    exit_code = 65


class NoInput(BatchError):
    """There is nothing where the input should be."""

    exit_code = 66


class StoreDown(BatchError):
    """The store does not answer, or is not the store this host knows."""

    exit_code = 69


class Damaged(StoreDown):
    """Something that the program itself wrote is missing, cut off or altered."""


class TryAgain(BatchError):
    """Nothing is wrong that another run does not mend."""

    exit_code = 75


class NotPermitted(BatchError):
    """The store refuses access."""

    exit_code = 77


class DoesNotFit(BatchError):
    """The job file or the model does not fit the records, the output or this environment."""

    exit_code = 78


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name a file of the operator's that may not be read; one that is absent stays absent."""
    try:
        yield
    except PermissionError:
        raise NotPermitted(
            f"{path}: permission denied", "let the user who runs this read it"
        ) from None
