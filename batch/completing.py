"""Judge a run whose slices are done, and publish it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from batch import layout
from batch.checks import duplicate_keys, judge
from batch.drafting import Finished, count, draft, unreadable
from batch.errors import Held, TryAgain
from batch.job import Job
from batch.ledger import Ledger
from batch.lock import remember
from batch.manifest import CheckResult, Manifest, Unreadable, encode
from batch.model.published import model_info
from batch.newest import read_live
from batch.pending import clear, require_plan
from batch.publishing import publish, require_not_paused
from batch.reporting import Outcome, Trace
from batch.slices import HeldNote, InputResult, PlanAgain, Receipt
from batch.store.base import Exists, Store
from batch.version import Draft, Live
from batch.working import Task

_UNREADABLE_HINT = "correct them or exclude them (input.exclude): each run tries them again"
_OUTDATED_HINT = (
    "they stay as they were published; to predict them by the present recipe, set output.path to "
    "a new folder and run again"
)


def judge_and_publish(
    store: Store, live: Live, task: Task, receipts: Sequence[Receipt], trace: Trace,
    *, clock: Callable[[], datetime],
) -> Outcome:  # fmt: skip
    """Publish what the receipts hold, unless a check holds the run.

    Nothing is published when no input could be used, or in `replace` mode when one could not.
    Raises `Held`.
    """
    replaces = task.job.settings.output.mode == "replace"
    results = [result for receipt in receipts for result in receipt.results]
    usable = sum(result.outcome in {"taken", "resent"} for result in results)
    if not usable or (replaces and usable < len(results)):
        # Without their receipts, the next run tries these inputs again.
        _clear(store, trace)
        return _unpublished(live, unreadable(receipts), results, trace)
    finished = _finished(store, task, receipts, trace)

    def build(base: Live) -> Draft | None:
        require_not_paused(base, task.job)
        require_plan(store, finished.run_id)
        return draft(store, base, finished)

    with trace.timed("publish"):
        manifest = publish(store, task.job, live, build, clock=clock)
    _clear(store, trace)
    if manifest is None:
        raise PlanAgain(f"run {trace.run_id}: another run took its inputs in meanwhile")
    remember(store.url, manifest)
    outcome = _published(live, manifest, receipts, trace)
    if manifest.added.inputs == count(receipts).inputs:
        return outcome
    return _with_what_is_left(outcome, read_live(store).ledger, task)


def _finished(store: Store, task: Task, receipts: Sequence[Receipt], trace: Trace) -> Finished:
    """What may be published. Raises `Held`."""
    assert trace.run_id is not None, "the slices were predicted under it"
    return Finished(
        kind=trace.kind,
        run_id=trace.run_id,
        recipe=task.recipe.digest(),
        model=model_info(task.recipe, task.sidecar),
        receipts=tuple(receipts),
        checks=_judge(store, task.job, receipts, trace.run_id),
        replaces=task.job.settings.output.mode == "replace",
    )


def _with_what_is_left(outcome: Outcome, ledger: Ledger, task: Task) -> Outcome:
    """A slice is dropped whole if another run took any of it in: the rest of it is still open."""
    bad = {unread.path for unread in outcome.unreadable}
    left = sum(
        ledger.token(planned.path) != planned.token and planned.path not in bad
        for planned in task.todo
    )
    if not left:
        return outcome
    return dataclasses.replace(
        outcome,
        exit_code=outcome.exit_code or TryAgain.exit_code,
        message=f"{outcome.message}; inputs left to the next run: {left:,}",
    )


def _clear(store: Store, trace: Trace) -> None:
    assert trace.run_id is not None, "the slices were predicted under it"
    clear(store, kind=trace.kind, run_id=trace.run_id, before=trace.started_at)


def _judge(
    store: Store, job: Job, receipts: Sequence[Receipt], run_id: str
) -> tuple[CheckResult, ...]:
    """Judge the whole run. Raises `Held`, after it was noted in the pending plan."""
    added = count(receipts)
    if not added.inputs:
        return ()
    doubled = None
    if job.settings.output.mode == "replace":
        parts = [receipt.part for receipt in receipts if receipt.part]
        doubled = duplicate_keys(store, parts, job.settings.input.key)
    checks = judge(job.settings.checks, predicted=added.predicted, duplicate_keys=doubled)
    held = [check for check in checks if check.outcome == "hold"]
    if not held:
        return checks
    with suppress(Exists):
        store.create(layout.held_path(run_id), encode(HeldNote(checks=checks)))
    reasons = "; ".join(f"{check.name}: {check.detail}, limit {check.limit:g}" for check in held)
    raise Held(
        f"{job.name}: held: {reasons}",
        "correct the input or the model; or change the limit under [checks] and run again: "
        "what was predicted is kept and judged by the new limit",
    )


def _published(
    live: Live, manifest: Manifest, receipts: Sequence[Receipt], trace: Trace
) -> Outcome:
    added, bad = manifest.added, unreadable(receipts)
    taken = {
        result.path
        for receipt in receipts
        for result in receipt.results
        if result.outcome == "taken"
    }
    appends = manifest.mode == "append"
    outdated = live.ledger.outdated(trace.recipe, besides=taken) if appends else 0
    message = (
        f"published version {manifest.version}: {added.inputs:,} inputs, {added.predicted:,} "
        f"records predicted, {added.rejected:,} rejected"
        if added.inputs
        else f"published version {manifest.version}: inputs were sent again with the same content"
    )
    if outdated:
        message += f"; {outdated:,} earlier inputs were predicted by an older recipe"
    return Outcome(
        "published",
        65 if bad else 0,
        message,
        hint=_UNREADABLE_HINT if bad else _OUTDATED_HINT if outdated else "",
        run_id=trace.run_id,
        version=manifest.version,
        added=added,
        unreadable=bad,
        waiting=trace.waiting,
        outdated=outdated,
    )


def _unpublished(
    live: Live, bad: tuple[Unreadable, ...], results: Sequence[InputResult], trace: Trace
) -> Outcome:
    if bad:
        return Outcome(
            "unreadable",
            65,
            f"nothing published: {len(bad)} of {len(results)} inputs could not be read",
            _UNREADABLE_HINT,
            run_id=trace.run_id,
            version=live.version,
            unreadable=bad,
        )
    return Outcome(
        "changed",
        75,
        "nothing published: the inputs changed while they were read",
        "the next run takes them",
        run_id=trace.run_id,
        version=live.version,
    )
