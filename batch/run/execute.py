"""Get a plan done: adopt what was done before, predict the rest, collect every receipt."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from batch.inputs.prefetch import Ahead
from batch.job.job import Job
from batch.model.recipe import Recipe, is_thread_safe
from batch.model.sidecar import Sidecar
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.plan import PLAN_FORMAT, Plan, PlanAgain, PlannedInput, Receipt
from batch.records.documents import encode
from batch.run.outcome import Progress, Trace
from batch.run.predict.assignment import Assignment, tools_of
from batch.run.predict.dispatch import inputs_of, predict_slices, without
from batch.run.predict.threads import Lanes
from batch.run.predict.workers import Parallelism, choose_parallelism
from batch.run.resume import Adoption, adopt, read_pending, require_plan, require_reconciled
from batch.store.base import Missing, Store


@dataclass(frozen=True)
class Task:
    """What one run has to predict, and by what; `model` is the model file.

    `ahead` brings the inputs, if they are not at hand. `code_folder` holds its hooks. `request`
    tells one backfill from another; with `keeps_model` applications are not told of the model.
    `left_behind` is what the run before was predicting when it died; `suspects` are inputs that
    ended a process before. `note` tells the next run what this process is predicting.
    """

    job: Job
    model: Path
    recipe: Recipe
    sidecar: Sidecar | None
    todo: tuple[PlannedInput, ...]
    ledger: Ledger
    open_output: Callable[[Job], Store]
    code_folder: Path
    ahead: Ahead
    request: str = ""
    keeps_model: bool = False
    suspects: frozenset[str] = frozenset()
    left_behind: frozenset[str] = frozenset()
    note: Callable[[Iterable[str]], None] = lambda _: None


def predict_all(
    store: Store, task: Task, trace: Trace, *, clock: Callable[[], datetime], progress: Progress
) -> list[Receipt]:
    """The receipt of every slice of the task, each reconciled; `trace` gets the run's id.

    Slices that an interrupted run finished are taken over, not predicted again. The plan is
    written after the model was checked and before the first record is predicted.
    """
    trace.recipe = task.recipe.digest()
    work = _adopted(store, task, trace, trace.recipe, now=clock())
    trace.run_id = work.run_id
    receipts = list(work.receipts)
    if work.left:
        receipts += _predict_left(store, task, trace, work, now=clock(), progress=progress)
    elif work.plan is None:
        _write_plan(store, task, trace, work, now=clock())
    return sorted(receipts, key=lambda receipt: receipt.slice.number)


def _predict_left(
    store: Store, task: Task, trace: Trace, work: Adoption, *, now: datetime, progress: Progress
) -> list[Receipt]:
    apart, left, receipts = task.suspects | task.left_behind, work.left, list[Receipt]()
    shown = _Shown(progress, slices=len(work.slices), done=len(work.receipts))
    parallelism = choose_parallelism(
        task.job.settings.run, left, is_thread_safe=is_thread_safe(task.recipe, task.sidecar)
    )
    ahead = task.ahead
    with Lanes(parallelism.threads if parallelism.workers == 1 else 1) as lanes:
        # The first inputs come while the model is loaded.
        ahead.begin(inputs_of(without(left, apart)))
        assignment = _ready(store, task, trace, parallelism)
        if parallelism.workers == 1:
            assignment = dataclasses.replace(assignment, tell=shown.add_records, lanes=lanes)
        if work.plan is None:
            _write_plan(store, task, trace, work, now=now)
            _require_model(store, task)
        with trace.timed("predict"):
            for receipt in predict_slices(
                store, assignment, left, ahead=ahead, apart=apart, note=task.note
            ):
                require_reconciled(receipt, task.recipe.digest())
                receipts.append(receipt)
                shown.add_slice(receipt)
    return receipts


def _adopted(store: Store, task: Task, trace: Trace, recipe: str, *, now: datetime) -> Adoption:
    pending = read_pending(
        store,
        task.ledger,
        kind=trace.kind,
        job=task.job.name,
        recipe=recipe,
        request=task.request,
    )
    return adopt(
        pending,
        task.todo,
        new_run_id=layout.new_run_id(now),
        apart=task.suspects,
        # A version that replaces holds all of the present input, or it is not published.
        waits_for_held=task.job.settings.output.mode == "append",
    )


def _write_plan(store: Store, task: Task, trace: Trace, work: Adoption, *, now: datetime) -> None:
    from batch.model.published import model_info

    assert trace.run_id is not None, "the caller has set it"
    plan = Plan(
        format=PLAN_FORMAT,
        run_id=trace.run_id,
        kind=trace.kind,
        job=task.job.name,
        recipe=task.recipe.digest(),
        created_at=now,
        slices=work.slices,
        model=model_info(task.recipe, task.sidecar),
        keeps_model=task.keeps_model,
        request=task.request,
    )
    store.create(layout.plan_path(trace.run_id), encode(plan))
    # From here on our plan keeps them; until now the plan did that they were taken from.
    require_plan(store, work.run_id, work.receipts)


class _Shown:
    """Counts for a person who watches: by chunk in this process, else by slice."""

    def __init__(self, progress: Progress, *, slices: int, done: int) -> None:
        self._progress, self._slices = progress, slices
        self._done, self._records, self._by_chunk = done, 0, False
        self._lock = threading.Lock()
        progress(done, slices, 0)

    def add_records(self, records: int) -> None:
        with self._lock:
            self._by_chunk = True
            self._records += records
            self._progress(self._done, self._slices, self._records)

    def add_slice(self, receipt: Receipt) -> None:
        self._done += 1
        if not self._by_chunk:
            self._records += sum(result.predicted for result in receipt.results)
        self._progress(self._done, self._slices, self._records)


def _ready(store: Store, task: Task, trace: Trace, parallelism: Parallelism) -> Assignment:
    """Publish the model, and load it here: what does not fit stops before the first record."""
    from batch.model.published import publish_model

    assert trace.run_id is not None, "the caller has set it"
    with trace.timed("load model"):
        publish_model(store, task.model, task.recipe, task.sidecar, code_folder=task.code_folder)
        assignment = Assignment(
            task.job,
            task.recipe,
            task.sidecar,
            trace.run_id,
            parallelism,
            task.code_folder,
            task.open_output,
        )
        try:
            tools_of(assignment)
        except Missing as error:
            raise PlanAgain(f"{error.message}: pruned just now") from None
    return assignment


def _require_model(store: Store, task: Task) -> None:
    """Our plan keeps the model too, if nobody pruned an old copy before; else begin again."""
    from batch.model.published import model_info

    info = model_info(task.recipe, task.sidecar)
    found = {entry.path for entry in store.list(f"models/{info.sha256}").entries}
    gone = {info.path, info.recipe, info.sidecar or info.path} - found
    if gone:
        raise PlanAgain(f"{store.url}/{min(gone)}: pruned just now")
