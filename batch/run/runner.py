"""One run, told from top to bottom: the README's list of what a run does."""

from __future__ import annotations

from batch.inputs.survey import Survey, survey_inputs
from batch.job.job import Job
from batch.output.version import Live
from batch.run.attempt import Attempt, Options, attempt, open_live, replanned
from batch.run.outcome import Outcome, RunResult
from batch.run.tidy import tidy
from batch.store import open_store

__all__ = ["Options", "run"]


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
    appends = job.settings.output.mode == "append"
    if appends and not survey.todo:
        return _nothing(live, survey)

    # From here on there may be something to predict: what that takes is loaded only now.
    from batch.inputs.pack import in_reading_order
    from batch.inputs.prefetch import Ahead
    from batch.run.chosen_model import job_model
    from batch.run.completion import judge_work, publish_work
    from batch.run.execute import execute, plan_work
    from batch.run.recipes import Incoming
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


def _nothing(live: Live, survey: Survey) -> RunResult:
    waiting = f"; {len(survey.waiting):,} inputs wait" if survey.waiting else ""
    return RunResult(
        Outcome.NOTHING_TO_DO,
        f"nothing to do{waiting}; version {live.version} stays",
        version=live.version,
        waiting=len(survey.waiting),
    )
