"""What a run would do, from the same planner; reads everything that decides it, writes nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from batch.errors import BatchError, StoreDown
from batch.inputs.survey import Survey, survey_inputs
from batch.job.job_file import Job
from batch.logs import utc_now
from batch.output.plan import Plan, pack
from batch.output.publish import require_same_output
from batch.output.read import open_output, read_live
from batch.output.version import Live
from batch.run.chosen_model import Incoming, job_model
from batch.run.lock import last_seen, require_not_older
from batch.run.replacement import replacement
from batch.run.resume import adopt, read_pending, wanted_plan
from batch.store import open_store
from batch.store.base import Store
from batch.wording import counted


@dataclass(frozen=True)
class Preview:
    """The plan of a run that was not started.

    `slices` includes the `done` ones, which an interrupted run finished. `outdated` inputs were
    predicted by another recipe than the present one. `notes` say what else a run would meet.
    """

    version: int
    found: Survey
    slices: int
    done: int
    outdated: int
    notes: tuple[str, ...]


def preview(job: Job) -> Preview:
    """Plan as a run does. Raises what would stop the run while it plans."""
    store = open_output(job)
    seen = last_seen(store.url)
    live = read_live(store)
    require_same_output(live, job)
    found = survey_inputs(job, live.ledger)
    notes = _notes(store, live, seen)
    try:
        incoming = Incoming(found.todo, open_store(job.pattern.base))
        with job_model(job, store, live, incoming) as model:
            wanted = wanted_plan(job, "run", model, now=utc_now())
    except BatchError as error:
        notes.append(f"a run would stop: {error.message}")
        return _without_recipe(job, live, found, notes)
    if job.settings.output.mode == "replace":
        found = replacement(job, live, found, model.recipe)
    slices, done = _slices(job, store, live, found, wanted, notes)
    outdated = _outdated(job, live, found, wanted.recipe)
    return Preview(live.version, found, slices, done, outdated, tuple(notes))


def _notes(store: Store, live: Live, seen: int) -> list[str]:
    notes = []
    if live.manifest and live.manifest.paused:
        paused = live.manifest.paused
        notes.append(f"paused by {paused.by}: {paused.reason}; runs do nothing until unpause")
    try:
        require_not_older(store.url, live.manifest, seen=seen, accept_older=False)
    except StoreDown as error:
        notes.append(f"a run would stop: {error.message}")
    return notes


def _without_recipe(job: Job, live: Live, found: Survey, notes: list[str]) -> Preview:
    """The plan as far as it goes without a model that fits."""
    if job.settings.output.mode == "replace":
        found = survey_inputs(job, live.ledger, again=True)
        found = dataclasses.replace(found, todo=()) if found.waiting else found
    return Preview(live.version, found, len(pack(found.todo)), 0, 0, tuple(notes))


def _slices(
    job: Job, store: Store, live: Live, found: Survey, wanted: Plan, notes: list[str]
) -> tuple[int, int]:
    """How many slices a run would have, and how many of them are done already."""
    pending = read_pending(store, live.ledger, wanted)
    appends = job.settings.output.mode == "append"
    work = adopt(pending, found.todo, wanted, waits_for_held=appends)
    slices = work.plan.slices
    if slices and not work.unfinished:
        notes.append("everything is predicted and held by a check; a run judges it again")
    if later := len(found.todo) - sum(len(piece.inputs) for piece in slices):
        notes.append(
            f"{counted(later, 'later input')} waiting until the held run is published or discarded"
        )
    return len(slices), len(work.receipts)


def _outdated(job: Job, live: Live, found: Survey, recipe: str) -> int:
    if job.settings.output.mode == "replace":
        return 0
    again = {planned.path for planned in found.todo}
    return len(live.ledger.outdated(recipe, ignoring=again))
