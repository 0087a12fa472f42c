"""What a run in `replace` mode predicts: nothing, or all of the present input."""

from __future__ import annotations

import dataclasses

from batch.errors import NoInput
from batch.inputs.survey import Survey, survey_inputs
from batch.job.job_file import Job
from batch.model.recipe import Recipe
from batch.output.ledger import Ledger
from batch.output.version import Live
from batch.store import open_store
from batch.store.base import Changed, Missing
from batch.store.files import digest_file


def replacement(job: Job, live: Live, found: Survey, recipe: Recipe) -> Survey:
    """What a run in `replace` mode predicts: nothing, or all of the present input."""
    if not found.present:
        raise NoInput(
            f"{job.pattern.path}: no input matches any more",
            f"version {live.version} is still live; put the current input there",
        )
    same_recipe = set(live.ledger.recipes().values()) == {recipe.digest()}
    if found.waiting or (same_recipe and not found.gone and not found.todo):
        return dataclasses.replace(found, todo=())
    if same_recipe and _only_touched(job, found, live.ledger):
        return found
    whole = survey_inputs(job, live.ledger, again=True, listing=found.listing)
    return dataclasses.replace(whole, todo=()) if whole.waiting else whole


def _only_touched(job: Job, found: Survey, ledger: Ledger) -> bool:
    """Whether every changed input has the content that was taken in before."""
    store = open_store(job.pattern.base)
    for planned in found.todo:
        entry = ledger.get(planned.path)
        if entry is None or entry.size != planned.size:
            return False
        try:
            with store.fetch(planned.path, token=planned.token) as local:
                if digest_file(local) != entry.digest:
                    return False
        except (Missing, Changed):
            return False
    return not found.gone
