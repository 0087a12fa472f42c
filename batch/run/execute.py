"""Carry out a plan: adopt the slices that are done already, predict the others."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from functools import partial

from batch.inputs.prefetch import Ahead
from batch.logs import log
from batch.model.published import ChosenModel, publish_model
from batch.output import layout
from batch.output.plan import PlanAgain, PlannedInput, Receipt
from batch.output.version import Live
from batch.records.documents import encode
from batch.run.attempt import Attempt
from batch.run.lock import keep_suspects, read_suspects
from batch.run.machine import Parallelism, choose_parallelism
from batch.run.outcome import Progress
from batch.run.predict.dispatch import Crew, inputs_of, predict_slices, without
from batch.run.predict.predictor import load_predictor
from batch.run.predict.threads import Lanes
from batch.run.resume import (
    Work,
    adopt,
    read_pending,
    require_plan,
    require_reconciled,
    wanted_plan,
)
from batch.store.base import Missing, Store
from batch.wording import counted


def plan_work(
    this: Attempt, live: Live, model: ChosenModel, todo: Sequence[PlannedInput], request: str = ""
) -> Work:
    """The plan to predict `todo`, with the slices that an interrupted run finished.

    `request` tells one backfill from another.
    """
    trace, now = this.trace, this.options.clock()
    wanted = wanted_plan(this.job, trace.kind, model, now=now, request=request)
    work = adopt(
        read_pending(this.store, live.ledger, wanted),
        todo,
        wanted,
        apart=read_suspects(this.store.url),
        packing=this.options.packing,
        # A version that replaces holds all of the present input, or it is not published.
        waits_for_held=this.job.settings.output.mode == "append",
    )
    trace.run_id, trace.recipe = work.plan.run_id, work.plan.recipe
    planned = sum(len(piece.inputs) for piece in work.plan.slices)
    trace.waiting += len(todo) - planned  # They came after the run that a check holds.
    return work


def execute(this: Attempt, work: Work, model: ChosenModel, ahead: Ahead) -> Work:
    """The work with every slice done, each with a reconciled receipt.

    The plan is written after the model was checked and before the first record is predicted.
    `ahead` brings inputs that are not on this host.
    """
    job, store, trace, slices = this.job, this.store, this.trace, work.unfinished
    if not slices:
        if work.is_new:
            _write_plan(store, work)
        return work
    apart = read_suspects(store.url) | this.lock.left_behind
    ahead.begin(inputs_of(without(slices, apart)))  # The first inputs come while the model loads.
    parallelism = choose_parallelism(job.settings.run, slices, is_thread_safe=model.is_thread_safe)
    shown = _Shown(this.options.progress, work)
    is_alone = parallelism.workers == 1
    with Lanes(parallelism.threads if is_alone else 1) as lanes:
        crew = _crew(this, work, model, parallelism)
        if is_alone:
            crew = crew.in_threads(lanes, shown.add_records)
        if work.is_new:
            _write_plan(store, work)
            _require_model(store, model)
        receipts = [*work.receipts]
        with trace.timed("predict"):
            for receipt in predict_slices(crew, slices, ahead=ahead, apart=apart):
                require_reconciled(receipt, work.plan.recipe)
                receipts.append(receipt)
                shown.add_slice(receipt)
                _log(this, receipt)
    receipts.sort(key=lambda receipt: receipt.slice.number)
    done = dataclasses.replace(work, receipts=tuple(receipts))
    _keep_suspects(store, done)
    return done


def _crew(this: Attempt, work: Work, model: ChosenModel, parallelism: Parallelism) -> Crew:
    """Publish the model, and load it here: what does not fit stops before the first record."""
    load = partial(
        load_predictor, this.job, model, work.plan.run_id, parallelism, this.options.open_output
    )
    with this.trace.timed("load model"):
        publish_model(
            this.store, model.path, model.recipe, model.sidecar, code_folder=model.code_folder
        )
        try:
            return Crew(load(), load, parallelism.workers, this.lock.note)
        except Missing as error:
            raise PlanAgain(f"{error.message}: pruned just now") from None


def _log(this: Attempt, receipt: Receipt) -> None:
    """A line for each input of a slice that is done."""
    for result in receipt.results:
        log.info(
            "%s: %s: %s%s", this.job.name, result.path,
            f"{counted(result.predicted, 'record')} predicted, {result.rejected:,} rejected"
            if result.outcome == "taken" else result.outcome,
            f": {result.reason}" if result.reason else "",
            extra={"job": this.job.name, "input": result.path, "outcome": result.outcome},
        )  # fmt: skip


def _write_plan(store: Store, work: Work) -> None:
    store.create(layout.plan_path(work.plan.run_id), encode(work.plan))
    # From here on our plan keeps them; until now the plan did that they were taken from.
    require_plan(store, work.plan.run_id, work.receipts)


def _require_model(store: Store, model: ChosenModel) -> None:
    """Our plan keeps the model too, unless an old copy was pruned before; else begin again."""
    info = model.info
    present = {entry.path for entry in store.list(f"models/{info.sha256}").entries}
    gone = {info.path, info.recipe, info.sidecar or info.path} - present
    if gone:
        raise PlanAgain(f"{store.url}/{min(gone)}: pruned just now")


def _keep_suspects(store: Store, work: Work) -> None:
    """Inputs that ended a process are predicted apart the next time, too."""
    results = work.results
    fatal = {result.path for result in results if result.is_fatal}
    fine = {result.path for result in results} - fatal
    keep_suspects(store.url, (read_suspects(store.url) - fine) | fatal)


class _Shown:
    """Counts for a person who watches: by chunk in this process, else by slice."""

    def __init__(self, progress: Progress, work: Work) -> None:
        self._progress, self._slices = progress, len(work.plan.slices)
        self._done, self._records, self._by_chunk = len(work.receipts), 0, False
        self._lock = threading.Lock()
        progress(self._done, self._slices, 0)

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
