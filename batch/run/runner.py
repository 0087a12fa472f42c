"""One run, told from top to bottom: the README's list of what a run does."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from batch.errors import BatchError
from batch.inputs.survey import Survey, survey_inputs
from batch.job.job_file import Job
from batch.logs import log
from batch.output.version import Live
from batch.run.attempt import Attempt, Options, Stopped, attempt, open_live, replanned
from batch.run.lock import is_due, remember
from batch.run.outcome import Outcome, RunResult
from batch.store import open_store
from batch.wording import counted

__all__ = ["Options", "run"]

_A_DAY = timedelta(days=1)


def run(job: Job, options: Options) -> RunResult:
    """Predict every input that is not predicted yet, and publish a new version.

    Every `BatchError` becomes a result; a bug is recorded and raised. Safe to call at any time
    and from several hosts: work may be done twice, it is never published twice.
    """
    with attempt(job, options, kind="run") as this:
        this.take_lock()
        this.result = _run(this)
        this.result = tidy(this)
    return this.result


@replanned
def _run(this: Attempt) -> RunResult:
    job = this.job
    live = open_live(this)
    survey = survey_inputs(job, live.ledger)
    this.trace.waiting = len(survey.waiting)
    log.info(
        "%s: version %d is live; %s to predict, %d not ready yet",
        job.name, live.version, counted(len(survey.todo), "input"), len(survey.waiting),
        extra={"job": job.name},
    )  # fmt: skip
    appends = job.settings.output.mode == "append"
    if appends and not survey.todo:
        return _nothing(live, survey)

    # From here on there may be something to predict: what that takes is loaded only now.
    from batch.inputs.prefetch import Ahead
    from batch.output.plan import in_reading_order
    from batch.run.chosen_model import Incoming, job_model
    from batch.run.completion import judge_work, publish_work
    from batch.run.execute import execute, plan_work
    from batch.run.replacement import replacement

    first = in_reading_order(survey.todo, this.options.packing) if appends else ()
    with (
        Ahead(open_store(job.pattern.base), first) as ahead,
        job_model(job, this.store, live, Incoming(survey.todo, ahead.source)) as model,
    ):
        if not appends:
            survey = replacement(job, live, survey, model.recipe)
            if not survey.todo:
                return _nothing(live, survey)
        work = plan_work(this, live, model, survey.todo)
        work = execute(this, work, model, ahead)
    checks = judge_work(this, live, work)
    return publish_work(this, live, work, checks)


def tidy(this: Attempt) -> RunResult:
    """Apply `output.window`, and prune after a publication, at most once a day.

    Neither is what the run was for: a failure is left to the next one.
    """
    result, store, clock = this.result, this.store, this.options.clock
    try:
        if result.name in {"published", "nothing to do"}:
            result = _apply_window(this)
        if result.name == "published" and is_due(store.url, "pruned", every=_A_DAY, now=clock()):
            from batch.upkeep.prune import prune

            prune(
                store,
                retain=this.job.settings.output.retain,
                delete=True,
                retention=this.options.retention,
            )
    except (BatchError, Stopped) as error:
        log.warning("left to the next run: %s", error)
    return result


def _apply_window(this: Attempt) -> RunResult:
    result = this.result
    if this.job.settings.output.window is None:
        return result
    from batch.upkeep.window import drop_old

    manifest = drop_old(
        this.store, this.job, clock=this.options.clock, retention=this.options.retention
    )
    if manifest is None:
        return result
    remember(this.store.url, manifest)
    is_idle = result.outcome == Outcome.NOTHING_TO_DO
    return dataclasses.replace(
        result,
        outcome=Outcome.PUBLISHED if is_idle else result.outcome,
        version=manifest.version,
        message=f"{result.message}; version {manifest.version} drops predictions older than "
        "output.window",
    )


def _nothing(live: Live, survey: Survey) -> RunResult:
    waiting = f" ({counted(len(survey.waiting), 'input')} not ready yet)" if survey.waiting else ""
    still = f"version {live.version} is still live" if live.version else "nothing is published yet"
    return RunResult(
        Outcome.NOTHING_TO_DO,
        f"nothing to do{waiting}; {still}",
        version=live.version,
        waiting=len(survey.waiting),
    )
