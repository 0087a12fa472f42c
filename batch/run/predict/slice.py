"""One slice becomes one part, its rejects, and a receipt."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from batch.inputs.prefetch import Prefetched
from batch.output import layout
from batch.output.manifest import Column, PartFile
from batch.output.part_writer import PartWriter, columns_of
from batch.output.plan import InputResult, Receipt, Slice
from batch.records.chunk import UnreadableInput, Untyped
from batch.records.columns import INPUT
from batch.records.documents import encode
from batch.run.predict.batches import Batch
from batch.run.predict.predictor import Predictor
from batch.run.predict.tally import (
    LEFT_OUT,
    Piece,
    PredictedRows,
    Tally,
    left_out,
    note_failure,
    opened,
)
from batch.run.resume import read_receipt
from batch.store.base import Exists


def predict_slice(piece: Slice, predictor: Predictor, prefetched: Path | None = None) -> Receipt:
    """Predict one slice: part and rejects first, then the receipt that names them.

    Every input of the slice gets a result; an input that is unreadable, re-sent or changed leaves
    nothing in the part. The receipt of another process counts if that one was faster. `prefetched`
    is the folder that inputs are downloaded to ahead of time.
    """
    receipt = _SliceRun(piece, predictor, prefetched).predict()
    # If the name is taken, our files stay for `prune`: the receipt there may be our own, written
    # by a request whose answer was lost, and another host may have published it by now.
    try:
        predictor.output.create(piece.receipt, encode(receipt))
    except Exists:
        return read_receipt(predictor.output, piece, predictor.recipe.digest())
    return receipt


@dataclass(frozen=True)
class _Done:
    """Typed records that were predicted, and the seconds that each stage took."""

    pieces: Sequence[Piece]
    batches: Sequence[Batch]
    seconds: dict[str, float]


class _SliceRun:
    """The state of predicting one slice.

    A slice of one input is predicted while it is read, in bounded memory; that it must be left
    out shows as an exception, and the part is never named. Inputs that share a slice are small:
    each is read whole before the model sees it, so that each can be left out. What is done in
    order, is done by the thread that runs this; typing and predicting may be done by others.
    """

    def __init__(self, piece: Slice, predictor: Predictor, prefetched: Path | None) -> None:
        self._slice = piece
        self._predictor = predictor
        inputs = predictor.reader.inputs
        self._inputs = Prefetched(inputs, prefetched) if prefetched else inputs
        self._alone = len(piece.inputs) == 1
        self._predicted = PredictedRows(predictor.recipe, predictor.batching.reference)
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def predict(self) -> Receipt:
        run_id, number = self._predictor.run_id, self._slice.number
        try:
            with ExitStack() as stack:
                part = PartWriter(
                    stack, self._predictor.output, layout.part_path(run_id, number),
                    unique=self._predictor.recipe.key,
                )  # fmt: skip
                rejects = PartWriter(
                    stack, self._predictor.output, layout.rejects_path(run_id, number)
                )
                found = (
                    self._read_alone(part, rejects) if self._alone else self._read_together(part)
                )
                results = [
                    item if isinstance(item, InputResult) else self._result(item) for item in found
                ]
                taken = [item for item in found if isinstance(item, Tally) and not item.unreadable]
                for tally in taken:
                    rejects.write(tally.take_rejects())
                by_input = self._predicted.by_input
                files = (
                    self._finish(part, [t for t in taken if by_input[t.planned.path]]),
                    self._finish(rejects, [t for t in taken if t.rejected]),
                )
        except LEFT_OUT as error:
            if not self._alone:
                raise
            return self._receipt([left_out(self._slice.inputs[0], error)], (None, None), [])
        return self._receipt(results, files, columns_of(part.schema))

    def _read_alone(self, part: PartWriter, rejects: PartWriter) -> list[Tally]:
        tally = Tally(self._slice.inputs[0])
        with opened(tally, self._inputs) as local:
            tasks = (partial(self._type, tally, group) for group in self._groups(local))
            for done in self._predictor.lanes.in_order(tasks):
                for piece in done.pieces:
                    tally.take(piece.chunk)
                self._write(done, part)
                # Any number of rejects takes no more memory than a chunk.
                rejects.write(tally.take_rejects())
        self._require_few_rejects(tally)
        return [tally]

    def _read_together(self, part: PartWriter) -> list[Tally | InputResult]:
        found = list[Tally | InputResult]()
        tasks = (partial(self._predict, pieces, {}) for pieces in self._read_whole(found))
        for done in self._predictor.lanes.in_order(tasks):
            self._write(done, part)
        return found

    def _read_whole(self, found: list[Tally | InputResult]) -> Iterator[list[Piece]]:
        """Each input to its end, until enough for the model came together."""
        waiting, rows = list[Piece](), 0
        for planned in self._slice.inputs:
            tally = Tally(planned)
            try:
                pieces = self._pieces(tally)
            except LEFT_OUT as error:
                found.append(left_out(planned, error))
                continue
            found.append(tally)
            waiting += pieces
            rows += sum(piece.rows for piece in pieces)
            if rows >= self._predictor.batching.chunk_rows:
                yield waiting
                waiting, rows = [], 0
        yield waiting

    def _pieces(self, tally: Tally) -> list[Piece]:
        with self._timed("read"), opened(tally, self._inputs) as local:
            pieces = [
                Piece(tally, untyped()) for untyped in self._predictor.reader.decode(str(local))
            ]
            for piece in pieces:
                tally.take(piece.chunk)
        self._require_few_rejects(tally)
        return [piece for piece in pieces if piece.rows]

    def _groups(self, local: Path) -> Iterator[list[Untyped]]:
        """So many records that the model is worth asking."""
        waiting, rows, size = list[Untyped](), 0, 0
        chunks = self._predictor.reader.decode(str(local))
        while True:
            with self._timed("read"):
                untyped = next(chunks, None)
            if untyped is None:
                break
            waiting.append(untyped)
            rows, size = rows + untyped.rows, size + untyped.bytes
            # The next piece will be as large as this one.
            is_full = rows + untyped.rows > self._predictor.batching.chunk_rows
            if is_full or size + untyped.bytes > self._predictor.batching.chunk_bytes:
                yield waiting
                waiting, rows, size = [], 0, 0
        if waiting:
            yield waiting

    def _type(self, tally: Tally, group: Sequence[Untyped]) -> _Done:
        """Type the records of one input, and predict them."""
        start = time.perf_counter()
        pieces = [Piece(tally, untyped()) for untyped in group]
        return self._predict(pieces, {"read": time.perf_counter() - start})

    def _predict(self, pieces: Sequence[Piece], seconds: dict[str, float]) -> _Done:
        start = time.perf_counter()
        batches = self._predictor.batching.predict([piece for piece in pieces if piece.rows])
        return _Done(pieces, batches, seconds | {"predict": time.perf_counter() - start})

    def _require_few_rejects(self, tally: Tally) -> None:
        if verdict := self._verdict(tally):
            raise UnreadableInput(verdict)

    def _verdict(self, tally: Tally) -> str:
        return tally.verdict(self._predictor.reader.settings)

    def _write(self, done: _Done, part: PartWriter) -> None:
        """Write the rows of inputs that are not left out for what the model made of them."""
        for stage, seconds in done.seconds.items():
            self._seconds[stage] += seconds
        for batch in done.batches:
            self._judge(batch)
        tallies = [] if self._alone else [piece.tally for piece in done.pieces]
        for tally in tallies:
            tally.unreadable = tally.unreadable or self._verdict(tally)
        gone = [tally.planned.path for tally in tallies if tally.unreadable]
        with self._timed("write"):
            for rows in (batch.rows for batch in done.batches if batch.rows is not None):
                kept = _without(rows, gone) if gone else rows
                part.write(kept)
                self._predictor.tell(kept.num_rows)
                self._predicted.add(kept)

    def _judge(self, batch: Batch) -> None:
        """Note what failed with the input that it belongs to."""
        if batch.unreadable and self._alone:
            raise UnreadableInput(batch.unreadable)
        if batch.unreadable:
            batch.pieces[0].tally.unreadable = batch.unreadable
        for position, reason in batch.failures:
            note_failure(batch.pieces, position, reason)

    def _result(self, tally: Tally) -> InputResult:
        path = tally.planned.path
        if tally.unreadable:
            return InputResult(path=path, outcome="unreadable", reason=tally.unreadable)
        return InputResult(
            path=path,
            outcome="taken",
            digest=tally.digest,
            records=tally.records,
            predicted=self._predicted.by_input[path],
            rejected=tally.rejected,
        )

    def _finish(self, writer: PartWriter, tallies: list[Tally]) -> PartFile | None:
        moments = [tally.planned.as_of for tally in tallies]
        if not moments:
            return None
        recipe = self._predictor.recipe
        return writer.finish(
            as_of=(min(moments), max(moments)),
            run_id=self._predictor.run_id,
            recipe=recipe.digest(),
            model_sha256=recipe.model_sha256,
            inputs=len(moments),
        )

    def _receipt(
        self,
        results: list[InputResult],
        files: tuple[PartFile | None, PartFile | None],
        columns: Sequence[Column],
    ) -> Receipt:
        return Receipt(
            run_id=self._predictor.run_id,
            recipe=self._predictor.recipe.digest(),
            slice=self._slice,
            results=tuple(results),
            part=files[0],
            rejects=files[1],
            columns=tuple(columns),
            histogram=self._predicted.histogram if files[0] else None,
            seconds={stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
            null_predictions=self._predicted.nulls,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - start


def _without(rows: pa.Table, gone: Sequence[str]) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows[INPUT], pa.array(gone, "string"))))
