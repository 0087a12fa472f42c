"""Judge a run whose slices are done, and publish it."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from batch.errors import Held
from batch.job.job_file import Job
from batch.logs import log
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.manifest import CheckResult, Manifest
from batch.output.plan import HeldNote, PlanAgain, PlannedInput
from batch.output.publish import publish, require_not_paused
from batch.output.read import read_live
from batch.output.version import Draft, Live
from batch.records.documents import encode
from batch.run.attempt import Attempt
from batch.run.checks import as_text, gather, judge
from batch.run.draft import count, draft
from batch.run.lock import remember
from batch.run.outcome import Outcome, RunResult
from batch.run.resume import Work, clear, require_plan
from batch.store.base import Exists
from batch.wording import command, counted

_UNREADABLE_HINT = "correct or exclude them (input.exclude); every run tries them again"


def judge_work(
    this: Attempt, live: Live, work: Work, *, is_forced: bool = False
) -> tuple[CheckResult, ...]:
    """The checks of a run whose slices are done; `is_forced` lets those that fail pass.

    Raises `Held`, after it was noted in the pending plan.
    """
    if not count(work.receipts).inputs or not _is_usable(this, work):
        return ()
    checks = judge(this.job.settings.checks, gather(this.store, this.job, live, work))
    for check in checks:
        if check.outcome == "warn":
            log.warning("check %s", as_text(check))
    held = [check for check in checks if check.outcome == "hold"]
    if is_forced:
        return tuple(
            msgspec.structs.replace(check, outcome="forced") if check in held else check
            for check in checks
        )
    if not held:
        return checks
    plan, job = work.plan, this.job
    with suppress(Exists):
        this.store.create(layout.held_path(plan.run_id), encode(HeldNote(checks=checks)))
    which = ("--run", plan.run_id) if plan.kind == "backfill" else ()
    raise Held(
        f"held: {'; '.join(map(as_text, held))}",
        f"publish anyway: `{command('publish', job.reference, '--force', *which)}` · drop it: "
        f"`{command('discard', job.reference, *which)}` · or raise the limit under [checks] and "
        "rerun",
    )


def publish_work(
    this: Attempt, live: Live, work: Work, checks: tuple[CheckResult, ...]
) -> RunResult:
    """Publish what a run predicted, and clear its plan.

    Nothing is published when no input could be used, or in `replace` mode when one could not.
    """
    if not _is_usable(this, work):
        # Without their receipts, the next run tries these inputs again.
        clear(this.store, work.plan, before=this.trace.started_at)
        return _unpublished(live, work)

    def build(base: Live) -> Draft | None:
        require_not_paused(base, this.job)
        require_plan(this.store, work.plan.run_id)
        return draft(this.store, this.job, base, work, checks)

    with this.trace.timed("publish"):
        options = this.options
        manifest = publish(
            this.store, this.job, live, build, clock=options.clock, retention=options.retention
        )
    clear(this.store, work.plan, before=this.trace.started_at)
    if manifest is None:
        raise PlanAgain(f"run {work.plan.run_id}: another run has published its inputs")
    remember(this.store.url, manifest)
    return _published(this, live, work, manifest)


def _is_usable(this: Attempt, work: Work) -> bool:
    usable = [result.outcome in {"taken", "resent"} for result in work.results]
    return all(usable) if this.job.settings.output.mode == "replace" else any(usable)


def _published(this: Attempt, live: Live, work: Work, manifest: Manifest) -> RunResult:
    added, bad = manifest.added, work.unreadable
    message = (
        f"published version {manifest.version}: {counted(added.inputs, 'input')}, "
        f"{counted(added.predicted, 'record')} predicted, {added.rejected:,} rejected"
        if added.inputs
        else f"published version {manifest.version}: inputs were resent with the same content"
    )
    if warned := [check for check in manifest.checks if check.outcome == "warn"]:
        message += f"; check {'; '.join(map(as_text, warned))}"
    if outdated := _outdated(live, work, manifest):
        message += f"; {counted(outdated, 'earlier input')} predicted by an older recipe"
    if open_inputs := _left_open(this, work, manifest):
        message += f"; {counted(open_inputs, 'input')} left to the next {work.plan.kind}"
    outcome = Outcome.PUBLISHED_NOT_ALL if open_inputs else Outcome.PUBLISHED
    return RunResult(
        Outcome.PUBLISHED_IN_PART if bad else outcome,
        message,
        hint=_UNREADABLE_HINT if bad else _backfill_hint(this.job) if outdated else "",
        run_id=work.plan.run_id,
        version=manifest.version,
        added=added,
        unreadable=bad,
        waiting=this.trace.waiting,
    )


def _outdated(live: Live, work: Work, manifest: Manifest) -> int:
    """How many earlier inputs were predicted by another recipe."""
    if manifest.mode == "replace" or work.plan.keeps_model:
        return 0
    taken = {result.path for result in work.results if result.outcome == "taken"}
    return len(live.ledger.outdated(work.plan.recipe, ignoring=taken))


def _left_open(this: Attempt, work: Work, manifest: Manifest) -> int:
    """A slice is dropped whole if another run took any of it in: the rest of it is still open."""
    if work.plan.kind == "run" and manifest.added.inputs == count(work.receipts).inputs:
        return 0  # What changed while it was read, the next run takes by itself.
    ledger, bad = read_live(this.store).ledger, {unread.path for unread in work.unreadable}
    return sum(
        _is_open(planned, ledger, work.plan.recipe) and planned.path not in bad
        for receipt in work.receipts
        for planned in receipt.slice.inputs
    )


def _is_open(planned: PlannedInput, ledger: Ledger, recipe: str) -> bool:
    """Whether what was asked for an input did not come about, by this run or another one."""
    entry = ledger.get(planned.path)
    if entry is None or entry.token != planned.token:
        return True
    return planned.reason == "again" and entry.recipe != recipe


def _backfill_hint(job: Job) -> str:
    again = command("backfill", job.reference, "--only", "outdated")
    return f"to predict them with the current recipe: `{again}`"


def _unpublished(live: Live, work: Work) -> RunResult:
    bad, run_id = work.unreadable, work.plan.run_id
    if bad:
        return RunResult(
            Outcome.UNREADABLE,
            f"nothing published: {len(bad):,} of {counted(len(work.results), 'input')} could not be read",
            _UNREADABLE_HINT,
            run_id=run_id,
            version=live.version,
            unreadable=bad,
        )
    return RunResult(
        Outcome.CHANGED,
        "nothing published: the inputs changed while they were read",
        "the next run will pick them up",
        run_id=run_id,
        version=live.version,
    )
