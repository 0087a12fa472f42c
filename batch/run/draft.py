"""From receipts to the draft of the next version."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from batch.logs import log
from batch.output.ledger import LedgerEntry, seen_mark
from batch.output.manifest import (
    CheckResult,
    Counts,
    Kind,
    Manifest,
    ModelInfo,
    PartFile,
    Unreadable,
)
from batch.output.plan import InputResult, PlannedInput, Receipt
from batch.output.rewrite import Rewritten, without_inputs
from batch.output.version import Draft, Live, union_columns
from batch.records.histogram import Histogram, merged
from batch.store.base import Store


@dataclass(frozen=True)
class Finished:
    """A run whose slices are all done, ready to be judged and published.

    `request` tells one backfill from another. With `keeps_model` the live version's model stays the
    one that applications are told of; with `is_forced` no check holds it.
    """

    kind: Kind
    run_id: str
    recipe: str
    model: ModelInfo
    receipts: tuple[Receipt, ...]
    replaces: bool
    request: str = ""
    keeps_model: bool = False
    is_forced: bool = False
    checks: tuple[CheckResult, ...] = ()


def draft(store: Store, live: Live, run: Finished) -> Draft | None:
    """What the run makes of the version that it extends; None if nothing of it can be used.

    A slice counts only if each of its inputs still has the ledger entry that the plan saw: then
    nobody else took it in meanwhile. In `replace` mode one slice that does not count spoils all.
    """
    receipts = [receipt for receipt in run.receipts if _still_fits(live, receipt)]
    if run.replaces and len(receipts) != len(run.receipts):
        return None
    parts = tuple(receipt.part for receipt in receipts if receipt.part)
    rejects = tuple(receipt.rejects for receipt in receipts if receipt.rejects)
    new = [
        result for receipt in receipts for result in receipt.results if result.outcome == "taken"
    ]
    whole = run.replaces and bool(new)
    kept = Rewritten((), (), ()) if whole else _kept(store, live, run.run_id, new)
    entries = _entries(live, run, receipts, moved=kept.entries)
    if not entries:
        return None
    columns = live.manifest.columns if live.manifest else ()
    keeps = live.manifest if run.keeps_model else None
    for receipt in receipts:
        columns = union_columns(columns, receipt.columns)
    return Draft(
        kind=run.kind,
        run_id=run.run_id,
        files=(*kept.files, *parts),
        rejects=(*kept.rejects, *rejects),
        entries=entries,
        whole_ledger=whole,
        columns=columns,
        model=keeps.model if keeps else run.model,
        added=count(receipts),
        unreadable=unreadable(receipts),
        checks=run.checks,
        histogram=keeps.histogram if keeps else _histogram(live.manifest, run, receipts),
        stale_after=_stale_after(live.manifest, run),
    )


def count(receipts: Sequence[Receipt]) -> Counts:
    """What the receipts took in."""
    taken = [
        result for receipt in receipts for result in receipt.results if result.outcome == "taken"
    ]
    return Counts(
        inputs=len(taken),
        records=sum(result.records for result in taken),
        predicted=sum(result.predicted for result in taken),
        rejected=sum(result.rejected for result in taken),
        bytes=sum(receipt.part.bytes for receipt in receipts if receipt.part),
    )


def unreadable(receipts: Sequence[Receipt]) -> tuple[Unreadable, ...]:
    """The inputs that could not be read, and why."""
    return tuple(
        Unreadable(path=result.path, reason=result.reason)
        for receipt in receipts
        for result in receipt.results
        if result.outcome == "unreadable"
    )


def _still_fits(live: Live, receipt: Receipt) -> bool:
    stale = [
        planned.path
        for planned in receipt.slice.inputs
        if seen_mark(live.ledger.get(planned.path)) != planned.seen
    ]
    if stale:
        log.warning(
            "slice %d is left to the next run: taken in by another run meanwhile: %s",
            receipt.slice.number,
            ", ".join(stale[:5]),
        )
    return not stale


def _entries(
    live: Live, run: Finished, receipts: Sequence[Receipt], *, moved: Sequence[LedgerEntry]
) -> tuple[LedgerEntry, ...]:
    """One new entry for every input that was taken in, sent again, or moved to another part."""
    entries = {entry.path: entry for entry in moved}
    for receipt in receipts:
        for planned, result in zip(receipt.slice.inputs, receipt.results, strict=True):
            if result.outcome == "taken":
                entries[planned.path] = _taken(planned, result, receipt, run)
            elif result.outcome == "resent":
                # The same content under a new token: what was predicted from it stays.
                entry = entries.get(planned.path) or live.ledger.get(planned.path)
                assert entry is not None, "it was compared with the digest of its entry"
                entries[planned.path] = dataclasses.replace(entry, token=planned.token)
    return tuple(entries.values())


def _taken(
    planned: PlannedInput, result: InputResult, receipt: Receipt, run: Finished
) -> LedgerEntry:
    return LedgerEntry(
        path=planned.path,
        size=planned.size,
        token=planned.token,
        digest=result.digest,
        as_of=planned.as_of,
        records=result.records,
        predicted=result.predicted,
        rejected=result.rejected,
        parts=_paths(receipt.part if result.predicted else None),
        rejects=_paths(receipt.rejects if result.rejected else None),
        run_id=run.run_id,
        recipe=run.recipe,
    )


def _kept(store: Store, live: Live, run_id: str, new: Sequence[InputResult]) -> Rewritten:
    """The live files less the earlier rows of the inputs that were predicted again."""
    if live.manifest is None:
        return Rewritten((), (), ())
    leaving = {result.path for result in new if result.path in live.ledger}
    return without_inputs(store, live.manifest, live.ledger, leaving=leaving, run_id=run_id)


def _paths(file: PartFile | None) -> tuple[str, ...]:
    return (file.path,) if file else ()


def _histogram(
    live: Manifest | None, run: Finished, receipts: Sequence[Receipt]
) -> Histogram | None:
    """What the next run is compared with: the last run of its recipe, not a few inputs again."""
    before = live.histogram if live and live.model.recipe == run.model.recipe else None
    found = merged(receipt.histogram for receipt in receipts)
    return (before or found) if run.kind == "backfill" and not run.replaces else (found or before)


def _stale_after(live: Manifest | None, run: Finished) -> datetime | None:
    """A backfill of the past makes nothing fresher; None: what the job file says counts from now."""
    is_past = run.kind == "backfill" and not run.replaces
    return live.stale_after if live and is_past else None
