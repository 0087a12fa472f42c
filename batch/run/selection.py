"""Choose past inputs to predict again, and the model to do it by."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from batch.errors import BadUsage, NoInput
from batch.inputs.survey import Survey, Waiting
from batch.job.job_file import Job
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.plan import PlannedInput
from batch.records.documents import Document
from batch.wording import command, counted

Only = Literal["missing", "rejected", "outdated"]


class Request(Document, frozen=True):
    """What a person asks to be predicted again: all that fits every condition.

    `first` and `last` are dates in UTC, both inclusive; `inputs` shell patterns of paths below
    the input folder, of which one must match. `model` is a path, a URL, or `v41`: the model that
    made version 41. The request tells one backfill from another when it is continued.
    """

    first: date | None = None
    last: date | None = None
    inputs: tuple[str, ...] = ()
    only: Only | None = None
    model: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no condition is set."""
        return not (self.first or self.last or self.inputs or self.only)

    def includes(self, moment: datetime) -> bool:
        """Whether an input that speaks about this moment is in range."""
        day = moment.astimezone(UTC).date()
        return (self.first or day) <= day <= (self.last or day)

    def names(self, path: str) -> bool:
        """Whether an input is among those that were named."""
        return not self.inputs or any(fnmatch.fnmatchcase(path, name) for name in self.inputs)


@dataclass(frozen=True)
class Choice:
    """The inputs of a backfill.

    `in_range` counts those that dates and names allow; `todo` are those of them to predict.
    `waiting`, `gone` (no longer there) and `too_old` (outside of the output's window) are left.
    """

    in_range: int
    todo: tuple[PlannedInput, ...]
    waiting: tuple[Waiting, ...]
    gone: tuple[str, ...]
    too_old: tuple[str, ...]


def choose(job: Job, found: Survey, ledger: Ledger, request: Request, *, recipe: str) -> Choice:
    """The inputs that a request means, of a survey in which all are to do again.

    Raises `NoInput` that says what is there instead when its range holds none.
    """
    window = job.settings.output.window
    in_range = [one for one in found.todo if _is_meant(request, one.path, one.as_of)]
    too_old = {one.path for one in in_range if window and one.as_of < found.listing.now - window}
    too_old |= {path for path in found.too_old if _may_be_meant(job, request, path)}
    waiting = tuple(one for one in found.waiting if _may_be_meant(job, request, one.path))
    if not in_range and not too_old:
        raise _nothing_in_range(job, found, request)
    todo = [
        one
        for one in in_range
        if one.path not in too_old and _is_wanted(request.only, ledger.get(one.path), recipe)
    ]
    gone = [
        entry.path
        for entry in map(ledger.get, found.gone)
        if entry and _is_meant(request, entry.path, entry.as_of)
    ]
    return Choice(len(in_range), tuple(todo), waiting, tuple(gone), tuple(sorted(too_old)))


def require_dates(request: Request) -> None:
    """Refuse a range that ends before it begins. Raises `BadUsage`."""
    if request.first and request.last and request.last < request.first:
        raise BadUsage(
            f"--to {request.last} is before --from {request.first}", "swap the two dates"
        )


def bounds(request: Request) -> str:
    """The range as it was understood, for a person."""
    if not request.first and not request.last:
        return "all dates"
    first = f"from {request.first} 00:00" if request.first else "from the beginning"
    if not request.last:
        return f"{first} UTC on"
    return f"{first} up to, not including, {request.last + timedelta(days=1)} 00:00 UTC"


def _is_meant(request: Request, path: str, as_of: datetime) -> bool:
    return request.names(path) and request.includes(as_of)


def _may_be_meant(job: Job, request: Request, path: str) -> bool:
    """The same for one that waits: its time of modification is not known here."""
    moment = job.pattern.date(path)
    return request.names(path) and (moment is None or request.includes(moment))


def _is_wanted(only: Only | None, entry: LedgerEntry | None, recipe: str) -> bool:
    match only:
        case "missing":
            return entry is None
        case "rejected":
            return entry is not None and entry.rejected > 0
        case "outdated":
            return entry is not None and entry.recipe != recipe and entry.records > 0
    return True


def _nothing_in_range(job: Job, found: Survey, request: Request) -> NoInput:
    names = f" matching {' or '.join(request.inputs)}" if request.inputs else ""
    moments = [one.as_of for one in found.todo]
    there = (
        f"there {'is' if len(moments) == 1 else 'are'} {counted(len(moments), 'input')}, from "
        f"{min(moments):%Y-%m-%d} to {max(moments):%Y-%m-%d}"
        if moments
        else "there are no inputs"
    )
    if found.waiting:
        there += f", and {len(found.waiting):,} not ready yet, such as {found.waiting[0].path}"
    return NoInput(
        f"no input{names} in range ({bounds(request)}); {there}",
        f"choose another range; `{command('status', job.reference)}` lists the dates",
    )
