"""From receipts to the draft of the next version."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from batch.job.job_file import Job
from batch.logs import log
from batch.output.ledger import LedgerEntry, seen_mark
from batch.output.manifest import (
    CheckResult,
    Counts,
    Kind,
    Manifest,
    PartFile,
)
from batch.output.plan import InputResult, Plan, PlannedInput, Receipt
from batch.output.rewrite import Rewritten, without_inputs
from batch.output.version import Draft, Live, blank, union_columns
from batch.records.histogram import Histogram, merged
from batch.run.resume import Work
from batch.store.base import Store


def draft(
    store: Store, job: Job, live: Live, work: Work, checks: tuple[CheckResult, ...]
) -> Draft | None:
    """What the run makes of the version that it extends; None if nothing of it can be used.

    A slice counts only if each of its inputs still has the ledger entry that the plan saw: then
    nobody else took it in meanwhile. In `replace` mode one slice that does not count spoils all.
    """
    plan, replaces = work.plan, job.settings.output.mode == "replace"
    receipts = [receipt for receipt in work.receipts if _still_fits(live, receipt)]
    if replaces and len(receipts) != len(work.receipts):
        return None
    parts = tuple(receipt.part for receipt in receipts if receipt.part)
    rejects = tuple(receipt.rejects for receipt in receipts if receipt.rejects)
    new = [
        result for receipt in receipts for result in receipt.results if result.outcome == "taken"
    ]
    whole = replaces and bool(new)
    kept = Rewritten((), (), ()) if whole else _kept(store, live, plan.run_id, new)
    entries = _entries(live, plan, receipts, moved=kept.entries)
    if not entries:
        return None
    columns = live.manifest.columns if live.manifest else ()
    keeps = live.manifest if plan.keeps_model else None
    for receipt in receipts:
        columns = union_columns(columns, receipt.columns)
    #: It makes nothing fresher, and the next run is compared with the last run of its recipe.
    is_past = plan.kind == "backfill" and not replaces
    kind: Kind = "backfill" if plan.kind == "backfill" else "run"
    manifest = msgspec.structs.replace(
        blank(kind, plan.run_id, keeps.model if keeps else plan.model),
        files=(*kept.files, *parts),
        rejects=(*kept.rejects, *rejects),
        columns=columns,
        added=count(receipts),
        unreadable=dataclasses.replace(work, receipts=tuple(receipts)).unreadable,
        checks=checks,
        histogram=keeps.histogram
        if keeps
        else _histogram(live.manifest, plan, receipts, is_past=is_past),
        stale_after=live.manifest.stale_after if live.manifest and is_past else None,
    )
    return Draft(manifest, entries, whole)


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


def _still_fits(live: Live, receipt: Receipt) -> bool:
    stale = [
        planned.path
        for planned in receipt.slice.inputs
        if seen_mark(live.ledger.get(planned.path)) != planned.seen
    ]
    if stale:
        log.warning(
            "slice %d is left to the next run: another run has published %s",
            receipt.slice.number,
            ", ".join(stale[:5]),
        )
    return not stale


def _entries(
    live: Live, plan: Plan, receipts: Sequence[Receipt], *, moved: Sequence[LedgerEntry]
) -> tuple[LedgerEntry, ...]:
    """One new entry for every input that was taken in, sent again, or moved to another part."""
    entries = {entry.path: entry for entry in moved}
    for receipt in receipts:
        for planned, result in zip(receipt.slice.inputs, receipt.results, strict=True):
            if result.outcome == "taken":
                entries[planned.path] = _taken(planned, result, receipt, plan)
            elif result.outcome == "resent":
                # The same content under a new token: what was predicted from it stays.
                entry = entries.get(planned.path) or live.ledger.get(planned.path)
                assert entry is not None, "it was compared with the digest of its entry"
                entries[planned.path] = dataclasses.replace(entry, token=planned.token)
    return tuple(entries.values())


def _taken(planned: PlannedInput, result: InputResult, receipt: Receipt, plan: Plan) -> LedgerEntry:
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
        run_id=plan.run_id,
        recipe=plan.recipe,
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
    live: Manifest | None, plan: Plan, receipts: Sequence[Receipt], *, is_past: bool
) -> Histogram | None:
    """What the next run is compared with: the last run of its recipe, not a few inputs again."""
    before = live.histogram if live and live.model.recipe == plan.model.recipe else None
    now = merged(receipt.histogram for receipt in receipts)
    return (before or now) if is_past else (now or before)
