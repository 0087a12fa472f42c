"""One run: the only place that knows the order of its steps."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from batch import layout
from batch.errors import BatchError, Held, NoInput
from batch.inputs import only_touched, pinned_columns, survey_inputs
from batch.job import Job
from batch.lock import Locked, output_lock, remember, require_not_older
from batch.logs import utc_now
from batch.manifest import CheckResult, Manifest, Unreadable, encode
from batch.pending import clear
from batch.planning import Survey
from batch.publishing import move_pointer, publish, read_live, require_same_output
from batch.recipe import Recipe, compose
from batch.reporting import Outcome, Trace, leave_record
from batch.sidecar import Sidecar, read_model_file
from batch.signals import Stopped, stoppable
from batch.slices import HeldNote, InputResult, Receipt
from batch.store import open_store
from batch.store.base import Exists, Store
from batch.version import Live
from batch.working import Progress, Task, predict_all

_STOPPED = {3: "held", 65: "bad data", 66: "no input", 69: "store down", 75: "try again",
            77: "not permitted", 78: "does not fit"}  # fmt: skip

_OUTDATED_HINT = (
    "they stay as they were published; to predict them by the present recipe, set output.path to "
    "a new folder and run again"
)


@dataclass(frozen=True)
class Options:
    """What the caller of a run decides; `clock` gives the time in UTC."""

    accept_older: bool = False
    progress: Progress = lambda *_: None
    clock: Callable[[], datetime] = utc_now


def run(job: Job, options: Options) -> Outcome:
    """Predict every input that is not predicted yet, and publish a new version.

    Every `BatchError` becomes an outcome; a bug is recorded and raised. Safe to call at any time
    and from several hosts: work may be done twice, it is never published twice.
    """
    trace = Trace(job=job.name, kind="run", started_at=options.clock())
    try:
        with output_lock(job.output_url, now=trace.started_at):
            store = open_store(job.output_url)
            try:
                with stoppable(job.settings.run.timeout):
                    outcome = _run(job, store, options, trace)
            except BatchError as error:
                outcome = _stopped(error, trace)
            except Stopped as stop:
                outcome = Outcome(
                    "interrupted",
                    75,
                    str(stop),
                    "run again: it goes on where it was",
                    run_id=trace.run_id,
                )
            except BaseException as bug:
                message = "".join(traceback.format_exception_only(bug)).strip()
                outcome = Outcome("bug", 1, message, run_id=trace.run_id)
                leave_record(store, trace, outcome, now=options.clock())
                raise
            leave_record(store, trace, outcome, now=options.clock())
            return outcome
    except Locked as error:
        return Outcome("locked", error.exit_code, error.message, error.hint)
    except BatchError as error:
        return _stopped(error, trace)


def _run(job: Job, store: Store, options: Options, trace: Trace) -> Outcome:
    with trace.timed("plan"):
        live = _open_output(job, store, options)
        found = survey_inputs(job, live.ledger)
        trace.waiting = len(found.waiting)
        if job.settings.output.mode == "append" and not found.todo:
            return _nothing(live, found)
        recipe, sidecar = _recipe(job, store, live, found)
        if job.settings.output.mode == "replace":
            found = _replacement(job, live, found, recipe)
        if not found.todo:
            return _nothing(live, found)
    trace.recipe = recipe.digest()
    task = Task(job, recipe, sidecar, found.todo, live.ledger)
    receipts = predict_all(store, task, trace, clock=options.clock, progress=options.progress)
    return _judge_and_publish(store, live, task, receipts, options, trace)


def _open_output(job: Job, store: Store, options: Options) -> Live:
    """The live version, if this job may extend it; a pointer that is behind is moved."""
    live = read_live(store)
    require_not_older(store.url, live.manifest, accept_older=options.accept_older)
    require_same_output(live, job)
    if live.manifest:
        move_pointer(store, live.manifest)
        remember(store.url, live.manifest)
        if live.manifest.paused:
            by, reason = live.manifest.paused.by, live.manifest.paused.reason
            raise Held(
                f"{job.name} is paused by {by}: {reason}", f"batch-predict unpause {job.name}"
            )
    return live


def _replacement(job: Job, live: Live, found: Survey, recipe: Recipe) -> Survey:
    """What a run in `replace` mode predicts: nothing, or all of the present input."""
    if not found.present:
        raise NoInput(
            f"{job.pattern.path}: nothing matches any more",
            f"version {live.version} stays; put the present input there",
        )
    same_recipe = set(live.ledger.recipes().values()) == {recipe.digest()}
    if found.waiting or (same_recipe and not found.gone and not found.todo):
        return dataclasses.replace(found, todo=())
    if same_recipe and only_touched(job, found, live.ledger):
        return found
    whole = survey_inputs(job, live.ledger, again=True)
    return dataclasses.replace(whole, todo=()) if whole.waiting else whole


def _recipe(job: Job, store: Store, live: Live, found: Survey) -> tuple[Recipe, Sidecar | None]:
    sha256, sidecar = read_model_file(job.model_path, pin=job.settings.model.sha256)
    return compose(job, sha256, sidecar, pinned_columns(job, store, live, found)), sidecar


def _judge_and_publish(
    store: Store, live: Live, task: Task, receipts: Sequence[Receipt], options: Options,
    trace: Trace,
) -> Outcome:  # fmt: skip
    from batch.drafting import Finished, draft, unreadable
    from batch.model.published import model_info

    assert trace.run_id is not None, "the slices were predicted under it"
    assert trace.recipe is not None, "the same"
    replaces = task.job.settings.output.mode == "replace"
    results = [result for receipt in receipts for result in receipt.results]
    usable = [result for result in results if result.outcome in {"taken", "resent"}]
    if not usable or (replaces and len(usable) < len(results)):
        # Without their receipts, the next run tries these inputs again.
        clear(store, _run_ids(receipts))
        return _unpublished(live, unreadable(receipts), results, trace)
    finished = Finished(
        kind="run",
        run_id=trace.run_id,
        recipe=trace.recipe,
        model=model_info(task.recipe, task.sidecar),
        receipts=tuple(receipts),
        checks=_judge(store, task.job, receipts, trace.run_id),
        replaces=replaces,
    )
    with trace.timed("publish"):
        manifest = publish(
            store, task.job, live, lambda base: draft(store, base, finished), clock=options.clock
        )
    clear(store, _run_ids(receipts))
    if manifest is None:
        return Outcome(
            "superseded",
            0,
            "another run took these inputs in meanwhile",
            run_id=trace.run_id,
            version=live.version,
        )
    remember(store.url, manifest)
    return _published(live, manifest, receipts, trace)


def _judge(
    store: Store, job: Job, receipts: Sequence[Receipt], run_id: str
) -> tuple[CheckResult, ...]:
    """Judge the whole run. Raises `Held`, after it was noted in the pending plan."""
    from batch.checks import duplicate_keys, judge
    from batch.drafting import count

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
    from batch.drafting import unreadable

    added, bad = manifest.added, unreadable(receipts)
    taken = {
        result.path
        for receipt in receipts
        for result in receipt.results
        if result.outcome == "taken"
    }
    outdated = (
        0
        if manifest.mode == "replace"
        else sum(
            recipe != trace.recipe
            for path, recipe in live.ledger.recipes().items()
            if path not in taken
        )
    )
    message = (
        f"published version {manifest.version}: {added.predicted:,} records of {added.inputs:,} "
        f"inputs predicted, {added.rejected:,} rejected"
        if added.inputs
        else f"published version {manifest.version}: inputs were sent again with the same content"
    )
    if outdated:
        message += f"; {outdated:,} earlier inputs were predicted by an older recipe"
    return Outcome(
        "published",
        65 if bad else 0,
        message,
        hint=_OUTDATED_HINT if outdated and not bad else "",
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
            "correct them or exclude them (input.exclude)",
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


def _nothing(live: Live, found: Survey) -> Outcome:
    waiting = f"; {len(found.waiting):,} inputs wait" if found.waiting else ""
    return Outcome(
        "nothing to do",
        0,
        f"nothing to do{waiting}; version {live.version} stays",
        version=live.version,
        waiting=len(found.waiting),
    )


def _stopped(error: BatchError, trace: Trace) -> Outcome:
    return Outcome(
        _STOPPED.get(error.exit_code, "stopped"),
        error.exit_code,
        error.message,
        error.hint,
        run_id=trace.run_id,
    )


def _run_ids(receipts: Sequence[Receipt]) -> set[str]:
    """The runs whose pending plans these receipts come from."""
    return {receipt.slice.receipt.split("/")[1] for receipt in receipts}
