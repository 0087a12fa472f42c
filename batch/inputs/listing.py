"""The input side of a run: list what is there, and say what is missing."""

from __future__ import annotations

import os
from pathlib import Path

from batch.errors import BatchError, DoesNotFit, NoInput
from batch.inputs.survey import Survey, survey
from batch.job.settings import Job
from batch.output.ledger import Ledger
from batch.store import open_output, open_store
from batch.store.base import Entry, Listing, Missing, Store


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
