"""Get slices predicted, whatever dies on the way."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.inputs.prefetch import Ahead
from batch.logs import log
from batch.output.plan import InputResult, PlanAgain, PlannedInput, Receipt, Slice, list_plans
from batch.records.documents import encode
from batch.run.lock import keep_suspects, read_suspects
from batch.run.predict.predictor import Predictor
from batch.run.predict.slice import predict_slice
from batch.run.predict.threads import Lanes
from batch.run.predict.workers import Load, WorkerDied, run_apart, run_slices
from batch.run.resume import read_receipt
from batch.store.base import Exists


@dataclass(frozen=True)
class Crew:
    """Who predicts: `predictor` in this process, or `workers` processes that `load` one each.

    `note` hears of the inputs that this very process is about to predict, for the run after it if
    it dies.
    """

    predictor: Predictor
    load: Load
    workers: int
    note: Callable[[Iterable[str]], None]

    def in_threads(self, lanes: Lanes, tell: Callable[[int], None]) -> Crew:
        """The same, in the threads of this process, which `tell` of every chunk."""
        predictor = dataclasses.replace(self.predictor, lanes=lanes, tell=tell)
        return dataclasses.replace(self, predictor=predictor)

    def predict(self, slices: Sequence[Slice], prefetched: Path | None) -> Iterator[Receipt]:
        """The receipt of every slice, as they are done. Raises `WorkerDied`."""
        if self.workers > 1 and slices:
            return run_slices(self.load, slices, prefetched, workers=self.workers)
        noted = _Noted(self, prefetched)
        return self.predictor.lanes.side_by_side(noted.predict, slices)


def predict_slices(
    crew: Crew, slices: Sequence[Slice], *, ahead: Ahead, apart: Collection[str]
) -> Iterator[Receipt]:
    """The receipt of every slice, as they are done.

    Slices with an input of `apart` are predicted in a process of their own, where their end harms
    no other. When a worker dies, what it was at work on is tried once more, alone. `ahead` brings
    the inputs of the others.
    """
    left = {piece.receipt: piece for piece in slices}
    suspects = [piece for piece in slices if not without([piece], apart)]
    while left:
        for piece in suspects:
            del left[piece.receipt]
        if suspects:
            yield from _predict_apart(crew, suspects)
        together = tuple(left.values())
        try:
            for receipt in crew.predict(together, ahead.begin(inputs_of(together))):
                del left[receipt.slice.receipt]
                yield receipt
        except WorkerDied as death:
            ahead.end()  # It took inputs along that are needed again.
            log.warning("%s", death.message)
            begun = [piece for piece in death.begun if piece.receipt in left]
            if not begun:
                raise
            done = list_plans(crew.predictor.output).entries
            suspects = [piece for piece in begun if piece.receipt not in done]
            for piece in begun:
                if piece.receipt in done:
                    del left[piece.receipt]
                    yield _receipt_of(crew, piece)
    crew.note(())


def without(slices: Iterable[Slice], apart: Collection[str]) -> list[Slice]:
    """The slices that hold none of these inputs: they are predicted together."""
    return [piece for piece in slices if not any(one.path in apart for one in piece.inputs)]


def inputs_of(slices: Iterable[Slice]) -> list[PlannedInput]:
    """Their inputs, in the order in which they are read."""
    return [one for piece in slices for one in piece.inputs]


class _Noted:
    """Predicts in this process, and notes what is at work: several slices in as many threads."""

    def __init__(self, crew: Crew, prefetched: Path | None) -> None:
        self._crew, self._prefetched = crew, prefetched
        self._at_work = dict[str, Slice]()
        self._lock = threading.Lock()

    def predict(self, piece: Slice) -> Receipt:
        with self._lock:
            self._at_work[piece.receipt] = piece
            self._crew.note(planned.path for planned in inputs_of(self._at_work.values()))
        try:
            return predict_slice(piece, self._crew.predictor, self._prefetched)
        finally:
            with self._lock:
                del self._at_work[piece.receipt]


def _predict_apart(crew: Crew, slices: Sequence[Slice]) -> Iterator[Receipt]:
    """Inputs that end the process here too count as unreadable: the others are published.

    Raises `PlanAgain` when they shared their slice: planned one by one, the guilty one is found.
    """
    output = crew.predictor.output
    for piece, outcome in run_apart(crew.load, slices):
        if isinstance(outcome, Receipt):
            yield outcome
            continue
        log.warning("slice %d: %s", piece.number, outcome.message)
        if len(piece.inputs) > 1:
            together = {planned.path for planned in piece.inputs}
            keep_suspects(output.url, read_suspects(output.url) | together)
            raise PlanAgain(f"slice {piece.number}: its inputs are predicted one by one")
        receipt = _fatal(crew.predictor, piece, outcome.message)
        try:
            output.create(piece.receipt, encode(receipt))
        except Exists:  # Another host fared better.
            receipt = _receipt_of(crew, piece)
        yield receipt


def _receipt_of(crew: Crew, piece: Slice) -> Receipt:
    return read_receipt(crew.predictor.output, piece, crew.predictor.recipe.digest())


def _fatal(predictor: Predictor, piece: Slice, reason: str) -> Receipt:
    results = [
        InputResult(path=planned.path, outcome="unreadable", reason=reason, is_fatal=True)
        for planned in piece.inputs
    ]
    return Receipt(
        run_id=predictor.run_id,
        recipe=predictor.recipe.digest(),
        slice=piece,
        results=tuple(results),
        part=None,
        rejects=None,
        columns=(),
        histogram=None,
        seconds={},
    )
