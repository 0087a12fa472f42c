"""Drop old parts from the live version, by `output.window`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from datetime import datetime

from batch.job.job_file import Job
from batch.output import layout
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.manifest import Manifest
from batch.output.publish import publish, require_not_paused
from batch.output.read import RETENTION, Retention, newest_manifest, with_ledger
from batch.output.version import Draft, Live, like
from batch.store.base import Store


def drop_old(
    store: Store, job: Job, *, clock: Callable[[], datetime], retention: Retention = RETENTION
) -> Manifest | None:
    """Publish a version without the parts that are older than the window; None if there are none.

    The inputs stay in the ledger, without records, so that no run takes them in again. Nothing is
    deleted before `prune` does it.
    """
    window = job.settings.output.window
    if window is None:
        return None
    manifest = newest_manifest(store)
    if manifest is None or manifest.paused or not _old(manifest, clock() - window):
        return None
    run_id = layout.new_run_id(clock())

    def build(base: Live) -> Draft | None:
        require_not_paused(base, job)
        return _without_old(base, before=clock() - window, run_id=run_id)

    return publish(
        store, job, with_ledger(store, manifest), build, clock=clock, retention=retention
    )


def _without_old(live: Live, *, before: datetime, run_id: str) -> Draft | None:
    assert live.manifest is not None, "the caller looked"
    leaving = _whole_inputs(live.ledger, _old(live.manifest, before))
    if not leaving:
        return None
    return like(
        live,
        kind="window",
        run_id=run_id,
        files=tuple(file for file in live.manifest.files if file.path not in leaving),
        rejects=tuple(file for file in live.manifest.rejects if file.path not in leaving),
        entries=tuple(
            dataclasses.replace(entry, records=0, predicted=0, rejected=0, parts=(), rejects=())
            for entry in live.ledger
            if leaving & entry.files
        ),
    )


def _old(manifest: Manifest, before: datetime) -> set[str]:
    return {file.path for file in manifest.all_files if file.as_of[1] < before}


def _whole_inputs(ledger: Ledger, old: Collection[str]) -> set[str]:
    """The old files that hold whole inputs: predictions never leave without their rejects.

    A part is older than the rejects of its slice when the newest input was rejected whole.
    """
    leaving, touched = set(old), _touching(ledger, old)
    while True:
        held_back = {
            path for entry in touched if not entry.files <= leaving for path in entry.files
        }
        if not held_back & leaving:
            return leaving
        leaving -= held_back


def _touching(ledger: Ledger, files: Collection[str]) -> list[LedgerEntry]:
    return [entry for entry in ledger if entry.files.intersection(files)]
