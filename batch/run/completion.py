"""Judge a run whose slices are done, and publish it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from batch.errors import Held, TryAgain
from batch.job.job import Job
from batch.logs import log
from batch.model.published import model_info
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.manifest import CheckResult, Manifest, Unreadable
from batch.output.plan import HeldNote, InputResult, PlanAgain, PlannedInput, Receipt
from batch.output.publish import publish, require_not_paused
from batch.output.read import read_live
from batch.output.version import Draft, Live
from batch.records.documents import encode
from batch.run.checks import as_text, judge
from batch.run.draft import Finished, count, draft, unreadable
from batch.run.evidence import gather
from batch.run.execute import Task
from batch.run.host_state import remember
from batch.run.outcome import Outcome, Trace
from batch.run.resume import clear, require_plan
from batch.store.base import Exists, Store
from batch.wording import command

_UNREADABLE_HINT = "correct them or exclude them (input.exclude): each run tries them again"


def finished(task: Task, receipts: Sequence[Receipt], trace: Trace) -> Finished:
    """What a task became, all slices done."""
    assert trace.run_id is not None, "the slices were predicted under it"
    return Finished(
        kind=trace.kind,
        run_id=trace.run_id,
        recipe=task.recipe.digest(),
        model=model_info(task.recipe, task.sidecar),
        receipts=tuple(receipts),
        replaces=task.job.settings.output.mode == "replace",
        request=task.request,
        keeps_model=task.keeps_model,
    )


def judge_and_publish(
    store: Store, job: Job, live: Live, run: Finished, trace: Trace,
    *, clock: Callable[[], datetime],
) -> Outcome:  # fmt: skip
    """Publish what a run predicted, unless a check holds it.

    Nothing is published when no input could be used, or in `replace` mode when one could not.
    Raises `Held`.
    """
    results = [result for receipt in run.receipts for result in receipt.results]
    usable = sum(result.outcome in {"taken", "resent"} for result in results)
    if not usable or (run.replaces and usable < len(results)):
        # Without their receipts, the next run tries these inputs again.
        _clear(store, run, trace)
        return _unpublished(live, unreadable(run.receipts), results, trace)
    checks = _judge(store, job, live, run)
    run = dataclasses.replace(run, checks=checks)

    def build(base: Live) -> Draft | None:
        require_not_paused(base, job)
        require_plan(store, run.run_id)
        return draft(store, base, run)

    with trace.timed("publish"):
        manifest = publish(store, job, live, build, clock=clock)
    _clear(store, run, trace)
    if manifest is None:
        raise PlanAgain(f"run {run.run_id}: another run took its inputs in meanwhile")
    remember(store.url, manifest)
    outcome = _published(job, live, manifest, run, trace)
    if run.kind == "run" and manifest.added.inputs == count(run.receipts).inputs:
        return outcome  # What changed while it was read, the next run takes by itself.
    return _with_what_is_left(outcome, read_live(store).ledger, run)


def _clear(store: Store, run: Finished, trace: Trace) -> None:
    clear(store, kind=run.kind, request=run.request, run_id=run.run_id, before=trace.started_at)


def _with_what_is_left(outcome: Outcome, ledger: Ledger, run: Finished) -> Outcome:
    """A slice is dropped whole if another run took any of it in: the rest of it is still open."""
    bad = {unread.path for unread in outcome.unreadable}
    left = sum(
        _is_open(planned, ledger, run) and planned.path not in bad
        for receipt in run.receipts
        for planned in receipt.slice.inputs
    )
    if not left:
        return outcome
    return dataclasses.replace(
        outcome,
        exit_code=outcome.exit_code or TryAgain.exit_code,
        message=f"{outcome.message}; inputs left to the next {run.kind}: {left:,}",
    )


def _is_open(planned: PlannedInput, ledger: Ledger, run: Finished) -> bool:
    """Whether what was asked for an input did not come about, by this run or another one."""
    entry = ledger.get(planned.path)
    if entry is None or entry.token != planned.token:
        return True
    return planned.reason == "again" and entry.recipe != run.recipe


def _judge(store: Store, job: Job, live: Live, run: Finished) -> tuple[CheckResult, ...]:
    """Judge the whole run. Raises `Held`, after it was noted in the pending plan."""
    if not count(run.receipts).inputs:
        return ()
    checks = judge(job.settings.checks, gather(store, job, live, run))
    for check in checks:
        if check.outcome == "warn":
            log.warning("check %s", as_text(check))
    held = [check for check in checks if check.outcome == "hold"]
    if run.is_forced:
        return tuple(
            msgspec.structs.replace(check, outcome="forced") if check in held else check
            for check in checks
        )
    if not held:
        return checks
    with suppress(Exists):
        store.create(layout.held_path(run.run_id), encode(HeldNote(checks=checks)))
    which = ["--run", run.run_id] if run.kind == "backfill" else []
    raise Held(
        f"held: {'; '.join(map(as_text, held))}",
        f"publish anyway: `{command('publish', job.reference, '--force', *which)}` · drop it: "
        f"`{command('discard', job.reference, *which)}` · or raise the limit under [checks] and "
        "rerun",
    )


def _published(job: Job, live: Live, manifest: Manifest, run: Finished, trace: Trace) -> Outcome:
    added, bad = manifest.added, unreadable(run.receipts)
    taken = {
        result.path
        for receipt in run.receipts
        for result in receipt.results
        if result.outcome == "taken"
    }
    is_whole = manifest.mode == "replace" or run.keeps_model
    outdated = 0 if is_whole else len(live.ledger.outdated(run.recipe, besides=taken))
    message = (
        f"published version {manifest.version}: {added.inputs:,} inputs, {added.predicted:,} "
        f"records predicted, {added.rejected:,} rejected"
        if added.inputs
        else f"published version {manifest.version}: inputs were sent again with the same content"
    )
    if warned := [check for check in manifest.checks if check.outcome == "warn"]:
        message += f"; check {'; '.join(map(as_text, warned))}"
    if outdated:
        message += f"; {outdated:,} earlier inputs were predicted by an older recipe"
    return Outcome(
        "published",
        65 if bad else 0,
        message,
        hint=_UNREADABLE_HINT if bad else _backfill_hint(job) if outdated else "",
        run_id=trace.run_id,
        version=manifest.version,
        added=added,
        unreadable=bad,
        waiting=trace.waiting,
        outdated=outdated,
    )


def _backfill_hint(job: Job) -> str:
    again = command("backfill", job.reference, "--only", "outdated")
    return f"to predict them with the current recipe: `{again}`"


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
        "the next run will pick them up",
        run_id=trace.run_id,
        version=live.version,
    )
