"""Get a plan done: adopt what was done before, predict the rest, collect every receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from batch import layout
from batch.engine import count_workers, run_slices
from batch.job import Job
from batch.ledger import Ledger
from batch.manifest import encode
from batch.pending import adopt, read_pending, read_receipt, require_reconciled
from batch.recipe import Recipe
from batch.reporting import Trace
from batch.sidecar import Sidecar
from batch.slices import PLAN_FORMAT, Plan, PlannedInput, Receipt
from batch.store.base import Store

#: Called with slices done, slices in all, and records predicted so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Task:
    """What one run has to predict, and by what."""

    job: Job
    recipe: Recipe
    sidecar: Sidecar | None
    todo: tuple[PlannedInput, ...]
    ledger: Ledger


def predict_all(
    store: Store, task: Task, trace: Trace, *, clock: Callable[[], datetime], progress: Progress
) -> list[Receipt]:
    """The receipt of every slice of the task, each reconciled; `trace` gets the run's id.

    Slices that an interrupted run finished are taken over, not predicted again. The plan is
    written after the model was checked and before the first record is predicted.
    """
    recipe = trace.recipe = task.recipe.digest()
    pending = read_pending(store, task.ledger, kind=trace.kind, job=task.job.name)
    work = adopt(pending, task.todo, recipe=recipe, new_run_id=layout.new_run_id(clock()))
    trace.run_id = work.run_id
    receipts = [
        read_receipt(store, piece, recipe) for piece in work.slices if piece.receipt in work.done
    ]
    left = [piece for piece in work.slices if piece.receipt not in work.done]
    workers = count_workers(task.job.settings.run.workers, left) if left else 0
    progress(len(receipts), len(work.slices), _predicted(receipts))
    if left:
        predict = _ready(store, task, work.run_id, workers, trace)
    if work.plan is None:
        plan = Plan(
            format=PLAN_FORMAT,
            run_id=work.run_id,
            kind=trace.kind,
            job=task.job.name,
            recipe=recipe,
            created_at=clock(),
            slices=work.slices,
        )
        store.create(layout.plan_path(work.run_id), encode(plan))
    if left:
        with trace.timed("predict"):
            for receipt in run_slices(predict, left, workers=workers):
                require_reconciled(receipt, recipe)
                receipts.append(receipt)
                progress(len(receipts), len(work.slices), _predicted(receipts))
    return sorted(receipts, key=lambda receipt: receipt.slice.number)


def _ready(
    store: Store, task: Task, run_id: str, workers: int, trace: Trace
) -> Callable[..., Receipt]:
    """Publish the model, and load it here: what does not fit stops before the first record."""
    from batch.model.published import publish_model
    from batch.worker import Assignment, tools_of

    with trace.timed("load model"):
        publish_model(
            store, task.job.model_path, task.recipe, task.sidecar, code_folder=task.job.folder
        )
        assignment = Assignment(task.job, task.recipe, run_id, workers)
        tools_of(assignment)
    return assignment.predict


def _predicted(receipts: list[Receipt]) -> int:
    return sum(result.predicted for receipt in receipts for result in receipt.results)
