"""Plan: the inputs there are, minus the ledger, cut into slices; nothing is read or written."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from batch.job.settings import InputSection, Job, compression_of
from batch.output.ledger import Ledger, LedgerEntry, seen_mark
from batch.output.plan import PlannedInput
from batch.store.base import Entry, Listing

#: Inputs up to this size share a slice, of up to this many bytes and inputs. Each is read whole,
#: so a compressed one counts as what it may become in memory.
SMALL_BYTES = 4 << 20
_UNPACKED = 16
PACKED_BYTES = 64 << 20
PACKED_INPUTS = 2_000

#: Files of work in progress, and folder markers.
_IGNORED_SUFFIXES = (".tmp", ".part", "/")


@dataclass(frozen=True)
class Waiting:
    """An input that is left to a later run, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What lies below the input folder, seen against the ledger.

    `todo` are the inputs to take in, `present` the paths of all inputs that are there, `gone` those
    of the ledger that are not, `unmatched` names that the pattern does not match, `too_old` inputs
    that were never taken in and are older than the output's window.
    """

    listing: Listing
    todo: tuple[PlannedInput, ...]
    waiting: tuple[Waiting, ...]
    present: frozenset[str]
    gone: tuple[str, ...]
    unmatched: tuple[str, ...]
    too_old: tuple[str, ...] = ()


def survey(
    job: Job,
    listing: Listing,
    ledger: Ledger,
    *,
    ends_whole: Callable[[Entry], bool] | None,
    again: bool = False,
) -> Survey:
    """Sort the listing by what a run has to do with each name.

    An input is new or changed by its token alone, never by a time. `ends_whole` tells whether a
    plain CSV file ends with a newline; None: inputs appear whole, so none has to wait. With
    `again`, everything is predicted again.
    """
    matched, unmatched = _match(job, listing.entries)
    matched = _taken(job, matched)
    todo, waiting, too_old = [], [], []
    window, tokens = job.settings.output.window, {} if again else ledger.tokens()
    for entry in matched:
        if tokens.get(entry.path) == entry.token:
            continue
        if window and entry.path not in ledger and _as_of(job, entry) < listing.now - window:
            too_old.append(entry.path)
            continue
        reason = ends_whole and _why_wait(job.settings.input, entry, listing.now, ends_whole)
        if reason:
            waiting.append(Waiting(entry.path, reason))
        else:
            todo.append(_planned(job, entry, ledger.get(entry.path), again=again))
    present = frozenset(entry.path for entry in matched)
    return Survey(
        listing=listing,
        todo=tuple(todo),
        waiting=tuple(waiting),
        present=present,
        gone=_gone(ledger, present),
        unmatched=tuple(unmatched),
        too_old=tuple(too_old),
    )


def pack(
    inputs: Iterable[PlannedInput], *, apart: Collection[str] = ()
) -> list[tuple[PlannedInput, ...]]:
    """Group inputs into slices: large ones alone, small ones together, in the order of names.

    Those of the paths `apart` stand alone too.
    """
    groups: list[tuple[PlannedInput, ...]] = []
    together: list[PlannedInput] = []
    held = 0
    for planned in inputs:
        size = planned.size * (_UNPACKED if _is_compressed(planned.path) else 1)
        if size > SMALL_BYTES or planned.path in apart:
            groups.append((planned,))
            continue
        if together and (held + size > PACKED_BYTES or len(together) == PACKED_INPUTS):
            groups.append(tuple(together))
            together, held = [], 0
        together.append(planned)
        held += size
    return [*groups, tuple(together)] if together else groups


def _gone(ledger: Ledger, present: frozenset[str]) -> tuple[str, ...]:
    paths = ledger.paths()
    if paths <= present:
        return ()
    return tuple(path for path in paths if path not in present)


def in_reading_order(inputs: Iterable[PlannedInput]) -> tuple[PlannedInput, ...]:
    """The inputs as their slices will hold them, where nothing was done before."""
    return tuple(planned for group in pack(inputs) for planned in group)


def _is_compressed(path: str) -> bool:
    return path.endswith(".parquet") or compression_of(path) is not None


def _match(job: Job, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    pattern, exclude = job.pattern, job.settings.input.exclude
    matched, unmatched = [], []
    for entry in entries:
        path = entry.path
        if _is_ignored(path):
            continue
        if exclude and any(fnmatch.fnmatchcase(path, rule) for rule in exclude):
            continue
        if pattern.matches(path):
            matched.append(entry)
        else:
            unmatched.append(path)
    return matched, unmatched


def _is_ignored(path: str) -> bool:
    # Without splitting it into names: this is asked for every input there is.
    is_hidden = path.startswith((".", "_")) or "/." in path or "/_" in path
    return is_hidden or path.endswith(_IGNORED_SUFFIXES)


def _taken(job: Job, matched: list[Entry]) -> list[Entry]:
    """With take = "latest", only the inputs of the greatest date."""
    if job.settings.input.take == "all" or not matched:
        return matched
    dates = {entry.path: _as_of(job, entry) for entry in matched}
    latest = max(dates.values())
    return [entry for entry in matched if dates[entry.path] == latest]


def _why_wait(
    settings: InputSection, entry: Entry, now: datetime, ends_whole: Callable[[Entry], bool]
) -> str:
    if now - entry.modified < settings.min_age:
        return f"younger than {settings.min_age.total_seconds():g} s (input.min_age)"
    plain_csv = settings.resolved_format == "csv" and not compression_of(entry.path)
    if plain_csv and settings.final_newline == "required" and not ends_whole(entry):
        return "no newline at its end, so it may be half-written (input.final_newline)"
    return ""


def _planned(job: Job, entry: Entry, seen: LedgerEntry | None, *, again: bool) -> PlannedInput:
    return PlannedInput(
        path=entry.path,
        size=entry.size,
        token=entry.token,
        as_of=_moment(job, entry, seen),
        reason="new" if seen is None else "again" if seen.token == entry.token else "changed",
        seen=seen_mark(seen),
        seen_digest=seen.digest if seen and not again else None,
    )


def _moment(job: Job, entry: Entry, seen: LedgerEntry | None) -> datetime:
    """What is predicted again speaks about the moment it spoke about before.

    Sent again, with a later time but the same content, its rows had stayed as they were.
    """
    known = seen.as_of if seen and seen.token == entry.token else None
    return job.pattern.date(entry.path) or known or entry.modified


def _as_of(job: Job, entry: Entry) -> datetime:
    return job.pattern.date(entry.path) or entry.modified
