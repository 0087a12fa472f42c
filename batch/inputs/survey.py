"""Compare the inputs with the ledger: to predict, waiting, gone, unmatched."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batch.errors import BatchError, DoesNotFit, NoInput
from batch.job.job_file import Job
from batch.job.settings import InputSection
from batch.output.ledger import Ledger, LedgerEntry, seen_mark
from batch.output.plan import PlannedInput
from batch.output.read import open_output
from batch.records.columns import compression_of
from batch.store import open_store
from batch.store.base import Entry, Listing, Missing, Store
from batch.wording import counted, decimal, listed

#: Unfinished files, and folder markers.
_IGNORED_SUFFIXES = (".tmp", ".part", "/")


@dataclass(frozen=True)
class Waiting:
    """An input left to a later run, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """The contents of the input folder compared with the ledger.

    `todo` are the inputs to predict, `present` the paths of all existing inputs, `gone` the paths
    in the ledger that no longer exist, `unmatched` names that do not match the pattern, `too_old`
    inputs that were never predicted and are older than the output's window.
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
    """Decide for each name in the listing whether a run predicts it.

    Whether an input is new or changed depends on its token alone, never on a time. `ends_whole`
    tells whether a plain CSV file ends with a newline; None: inputs appear complete, so none has
    to wait. With `again`, everything is predicted again.
    """
    matched, unmatched = _match(job, listing.entries)
    matched = _selected(job, matched)
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
    # Without splitting the path: this runs for every input.
    is_hidden = path.startswith((".", "_")) or "/." in path or "/_" in path
    return is_hidden or path.endswith(_IGNORED_SUFFIXES)


def _selected(job: Job, matched: list[Entry]) -> list[Entry]:
    """With take = "latest", only the inputs with the newest date."""
    if job.settings.input.take == "all" or not matched:
        return matched
    dates = {entry.path: _as_of(job, entry) for entry in matched}
    latest = max(dates.values())
    return [entry for entry in matched if dates[entry.path] == latest]


def _why_wait(
    settings: InputSection, entry: Entry, now: datetime, ends_whole: Callable[[Entry], bool]
) -> str:
    if now - entry.modified < settings.min_age:
        return f"younger than {decimal(settings.min_age.total_seconds())} s (input.min_age)"
    plain_csv = settings.resolved_format == "csv" and not compression_of(entry.path)
    if plain_csv and settings.final_newline == "required" and not ends_whole(entry):
        return "no final newline, so it may be half-written (input.final_newline)"
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
    """The `as_of` of an input; one predicted again keeps it if the token is unchanged.

    A resent input, with a later time but the same content, would have kept its rows too.
    """
    known = seen.as_of if seen and seen.token == entry.token else None
    return job.pattern.date(entry.path) or known or entry.modified


def _as_of(job: Job, entry: Entry) -> datetime:
    return job.pattern.date(entry.path) or entry.modified


def survey_inputs(
    job: Job, ledger: Ledger, *, again: bool = False, listing: Listing | None = None
) -> Survey:
    """List the inputs, unless a `listing` is given, and survey them.

    Raises `NoInput` if the input folder does not exist, or if nothing in it ever matched.
    """
    store = open_store(job.pattern.base)
    surveyed = survey(
        job,
        listing or _without_output(job, store.list()),
        ledger,
        ends_whole=None if store.is_remote else lambda entry: _ends_whole(store, entry),
        again=again,
    )
    folder_exists = store.is_remote or Path(store.url).is_dir()
    if not surveyed.present and not (len(ledger) and folder_exists):
        nearest = "" if store.is_remote else _nearest(job)
        raise NoInput(f"{job.pattern.path}: nothing matches{nearest}", _unmatched_hint(surveyed))
    return surveyed


def _without_output(job: Job, listing: Listing) -> Listing:
    """The listing without our own output, if that is inside the input folder.

    Raises `DoesNotFit` if the two are the same folder.
    """
    own = _relative(open_output(job).url, open_store(job.pattern.base).url)
    if own == ".":
        raise DoesNotFit(
            f"{job.file}: input and output are the same folder: {job.output_url}",
            "set output.path to a folder of its own",
        )
    if own is None:
        return listing
    below = f"{own}/"
    others = tuple(entry for entry in listing.entries if not entry.path.startswith(below))
    return Listing(others, listing.now)


def _relative(url: str, base: str) -> str | None:
    """The path of a folder relative to `base`, None if it is not inside."""
    if "://" in url or "://" in base:
        below = f"{url}/".startswith(f"{base}/")
        return (url[len(base) + 1 :] or ".") if below else None
    relative = os.path.relpath(url, base)
    return None if relative.startswith("..") else relative


def _ends_whole(store: Store, entry: Entry) -> bool:
    """Whether a file is empty or ends with a newline."""
    if entry.size == 0:
        return True
    try:
        with store.fetch(entry.path) as local, local.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) in b"\r\n"
    except Missing:
        return False  # Deleted since it was listed.
    except (OSError, BatchError):
        return True  # An unreadable file is reported when it is read.


def _nearest(job: Job) -> str:
    folder = Path(job.pattern.base)
    if folder.is_dir():
        return f"; the folder {folder} exists"
    nearest = next(parent for parent in folder.parents if parent.is_dir())
    return f"; the nearest folder that exists is {nearest}"


def _unmatched_hint(surveyed: Survey) -> str:
    others = surveyed.unmatched
    if not others:
        return "correct input.path in the job file, or add the first input"
    verb = "does" if len(others) == 1 else "do"
    return (
        f"correct input.path: {counted(len(others), 'file')} {verb} not match ({listed(others, 3)})"
    )
