"""The inputs that are there, seen against the ledger: to take in, waiting, gone, unmatched."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batch.errors import BatchError, DoesNotFit, NoInput
from batch.job.job import Job
from batch.job.settings import InputSection
from batch.output.ledger import Ledger, LedgerEntry, seen_mark
from batch.output.open import open_output
from batch.output.plan import PlannedInput
from batch.records.text import compression_of
from batch.store import open_store
from batch.store.base import Entry, Listing, Missing, Store

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


def _gone(ledger: Ledger, present: frozenset[str]) -> tuple[str, ...]:
    paths = ledger.paths()
    if paths <= present:
        return ()
    return tuple(path for path in paths if path not in present)


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


def survey_inputs(
    job: Job, ledger: Ledger, *, again: bool = False, listing: Listing | None = None
) -> Survey:
    """List the inputs, unless that was done, and sort them by what a run has to do.

    Raises `NoInput` when the input folder is absent, or when nothing in it ever matched.
    """
    store = open_store(job.pattern.base)
    found = survey(
        job,
        listing or _without_output(job, store.list()),
        ledger,
        ends_whole=None if store.is_remote else lambda entry: _ends_whole(store, entry),
        again=again,
    )
    is_there = store.is_remote or Path(store.url).is_dir()
    if not found.present and not (len(ledger) and is_there):
        nearest = "" if store.is_remote else _nearest(job)
        raise NoInput(f"{job.pattern.path}: nothing matches{nearest}", _unmatched_hint(found))
    return found


def _without_output(job: Job, listing: Listing) -> Listing:
    """The listing less our own output, where that lies below the input folder.

    Raises `DoesNotFit` when the two are one folder.
    """
    own = _relative(open_output(job).url, open_store(job.pattern.base).url)
    if own == ".":
        raise DoesNotFit(
            f"{job.file}: input and output are one folder: {job.output_url}",
            "set output.path to a folder of its own",
        )
    if own is None:
        return listing
    below = f"{own}/"
    kept = tuple(entry for entry in listing.entries if not entry.path.startswith(below))
    return Listing(kept, listing.now)


def _relative(url: str, base: str) -> str | None:
    """The way from a folder to one that lies in it, None to any other."""
    if "://" in url or "://" in base:
        below = f"{url}/".startswith(f"{base}/")
        return (url[len(base) + 1 :] or ".") if below else None
    found = os.path.relpath(url, base)
    return None if found.startswith("..") else found


def _ends_whole(store: Store, entry: Entry) -> bool:
    """Whether a file is empty or ends with a newline."""
    if entry.size == 0:
        return True
    try:
        with store.fetch(entry.path) as local, local.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) in b"\r\n"
    except Missing:
        return False  # Gone since it was listed.
    except (OSError, BatchError):
        return True  # That it cannot be read is said when it is read.


def _nearest(job: Job) -> str:
    folder = Path(job.pattern.base)
    if folder.is_dir():
        return f"; the folder {folder} exists"
    nearest = next(parent for parent in folder.parents if parent.is_dir())
    return f"; the nearest folder that exists is {nearest}"


def _unmatched_hint(found: Survey) -> str:
    if not found.unmatched:
        return "correct input.path in the job file, or put the first input there"
    names = ", ".join(found.unmatched[:3])
    return f"{len(found.unmatched)} other files are there, such as {names}: correct input.path"
