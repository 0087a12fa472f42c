"""One run: the only place that knows the order of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batch.inputs.pack import in_reading_order
from batch.inputs.survey import Survey, survey_inputs
from batch.job.job import Job
from batch.output.version import Live
from batch.run.attempt import Attempt, Options, anew, attempt, carry_out, open_live, tidy
from batch.run.host_state import read_suspects
from batch.run.outcome import Outcome
from batch.store import open_store

if TYPE_CHECKING:
    from batch.inputs.prefetch import Ahead

__all__ = ["Options", "run"]


def run(job: Job, options: Options) -> Outcome:
    """Predict every input that is not predicted yet, and publish a new version.

    Every `BatchError` becomes an outcome; a bug is recorded and raised. Safe to call at any time
    and from several hosts: work may be done twice, it is never published twice.
    """
    return attempt(job, options, kind="run", work=_run_and_tidy)


def _run_and_tidy(begun: Attempt) -> Outcome:
    outcome = anew(lambda: _run(begun))
    return tidy(begun.job, begun.store, outcome, clock=begun.options.clock)


def _run(begun: Attempt) -> Outcome:
    job = begun.job
    live = open_live(begun)
    found = survey_inputs(job, live.ledger)
    begun.trace.waiting = len(found.waiting)
    if job.settings.output.mode == "append" and not found.todo:
        return _nothing(live, found)
    # From here on there may be something to predict: what that takes is loaded only now.
    from batch.inputs.prefetch import Ahead
    from batch.model.model_file import model_file

    with Ahead(open_store(job.pattern.base)) as ahead:
        if job.settings.output.mode == "append":
            ahead.begin(in_reading_order(found.todo))  # They come while everything is made ready.
        with model_file(job.model_url) as model:
            return _predict(begun, live, found, model, ahead)


def _predict(begun: Attempt, live: Live, found: Survey, model: Path, ahead: Ahead) -> Outcome:
    from batch.run.execute import Task
    from batch.run.recipes import Incoming, recipe_of
    from batch.run.replacement import replacement

    job, store = begun.job, begun.store
    incoming = Incoming(found.todo, ahead.source)
    recipe, sidecar = recipe_of(job, store, live, incoming, model=model)
    if job.settings.output.mode == "replace":
        found = replacement(job, live, found, recipe)
        if not found.todo:
            return _nothing(live, found)
    task = Task(
        job=job,
        model=model,
        recipe=recipe,
        sidecar=sidecar,
        todo=found.todo,
        ledger=live.ledger,
        open_output=begun.options.open_output,
        code_folder=job.folder,
        ahead=ahead,
        suspects=read_suspects(store.url),
        left_behind=begun.lock.left_behind,
        note=begun.lock.note,
    )
    return carry_out(begun, live, task)


def _nothing(live: Live, found: Survey) -> Outcome:
    waiting = f"; {len(found.waiting):,} inputs wait" if found.waiting else ""
    return Outcome(
        "nothing to do",
        0,
        f"nothing to do{waiting}; version {live.version} stays",
        version=live.version,
        waiting=len(found.waiting),
    )
