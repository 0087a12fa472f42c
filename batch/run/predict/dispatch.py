"""Get slices predicted, whatever dies on the way."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from batch.inputs.prefetch import Ahead
from batch.logs import log
from batch.output.pending import list_plans
from batch.output.plan import InputResult, PlanAgain, PlannedInput, Receipt, Slice
from batch.records.documents import encode
from batch.run.host_state import keep_suspects, read_suspects
from batch.run.predict.assignment import Assignment
from batch.run.predict.workers import WorkerDied, run_apart, run_slices
from batch.run.resume import read_receipt
from batch.store.base import Exists, Store


def predict_slices(
    store: Store, assignment: Assignment, slices: Sequence[Slice], *, ahead: Ahead,
    apart: Collection[str], note: Callable[[Iterable[str]], None],
) -> Iterator[Receipt]:  # fmt: skip
    """The receipt of every slice, as they are done.

    Slices with an input of `apart` are predicted in a process of their own, where their end harms
    nobody. When a worker dies, what it was at work on is tried once more, alone. `ahead` brings the
    inputs of the others. `note` hears of what this very process is about to predict, for whoever
    finds it dead.
    """
    left = {piece.receipt: piece for piece in slices}
    suspects = [piece for piece in slices if not without([piece], apart)]
    while left:
        for piece in suspects:
            del left[piece.receipt]
        yield from _predict_apart(store, assignment, suspects)
        try:
            folder = ahead.begin(inputs_of(left.values()))
            beside = dataclasses.replace(assignment, ahead=folder)
            for receipt in _predict_together(beside, tuple(left.values()), note):
                del left[receipt.slice.receipt]
                yield receipt
        except WorkerDied as death:
            ahead.end()  # It took inputs along that are needed again.
            log.warning("%s", death.message)
            begun = [piece for piece in death.begun if piece.receipt in left]
            if not begun:
                raise
            done = list_plans(store).entries
            suspects = [piece for piece in begun if piece.receipt not in done]
            for piece in begun:
                if piece.receipt in done:
                    del left[piece.receipt]
                    yield read_receipt(store, piece, assignment.recipe.digest())


def without(slices: Iterable[Slice], apart: Collection[str]) -> list[Slice]:
    """The slices that hold none of these inputs: they are predicted together."""
    return [piece for piece in slices if not any(one.path in apart for one in piece.inputs)]


def inputs_of(slices: Iterable[Slice]) -> list[PlannedInput]:
    """Their inputs, in the order in which they are read."""
    return [one for piece in slices for one in piece.inputs]


def _predict_together(
    assignment: Assignment, slices: Sequence[Slice], note: Callable[[Iterable[str]], None]
) -> Iterator[Receipt]:
    predict = _Noted(assignment, note).predict if assignment.lanes else assignment.predict
    workers = assignment.parallelism.workers
    yield from run_slices(predict, slices, workers=workers, lanes=assignment.lanes)
    note(())


class _Noted:
    """Predicts in this process, and notes what is at work: several slices in as many threads."""

    def __init__(self, assignment: Assignment, note: Callable[[Iterable[str]], None]) -> None:
        self._assignment, self._note = assignment, note
        self._at_work = dict[str, Slice]()
        self._lock = threading.Lock()

    def predict(self, piece: Slice) -> Receipt:
        with self._lock:
            self._at_work[piece.receipt] = piece
            self._note(planned.path for planned in inputs_of(self._at_work.values()))
        try:
            return self._assignment.predict(piece)
        finally:
            with self._lock:
                del self._at_work[piece.receipt]


def _predict_apart(
    store: Store, assignment: Assignment, slices: Sequence[Slice]
) -> Iterator[Receipt]:
    """Inputs that end the process here too count as unreadable: the others are published.

    Raises `PlanAgain` when they shared their slice: planned one by one, the guilty one is found.
    """
    # The coordinator counts these by slice: a process of its own cannot tell it of chunks.
    alone = dataclasses.replace(assignment, tell=None, lanes=None)
    for piece, outcome in run_apart(alone.predict, slices):
        if isinstance(outcome, Receipt):
            yield outcome
            continue
        log.warning("slice %d: %s", piece.number, outcome.message)
        if len(piece.inputs) > 1:
            together = {planned.path for planned in piece.inputs}
            keep_suspects(store.url, read_suspects(store.url) | together)
            raise PlanAgain(f"slice {piece.number}: its inputs are predicted one by one")
        receipt = _fatal(assignment, piece, outcome.message)
        try:
            store.create(piece.receipt, encode(receipt))
        except Exists:  # Another host fared better.
            receipt = read_receipt(store, piece, assignment.recipe.digest())
        yield receipt


def _fatal(assignment: Assignment, piece: Slice, reason: str) -> Receipt:
    results = [
        InputResult(path=planned.path, outcome="unreadable", reason=reason, is_fatal=True)
        for planned in piece.inputs
    ]
    return Receipt(
        run_id=assignment.run_id,
        recipe=assignment.recipe.digest(),
        slice=piece,
        results=tuple(results),
        part=None,
        rejects=None,
        columns=(),
        histogram=None,
        seconds={},
    )
