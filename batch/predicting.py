"""One slice becomes one part, its rejects, and a receipt."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from batch import layout
from batch.bisecting import Score, score_all
from batch.chunk import Decoder, Unreadable
from batch.columns import INPUT
from batch.counting import PredictedRows
from batch.digest import digest_file
from batch.job import InputSection
from batch.manifest import Column, Histogram, PartFile, encode
from batch.parts import PartWriter, columns_of
from batch.recipe import Recipe
from batch.rows import placed, side_by_side
from batch.slices import InputResult, Receipt, Slice
from batch.store.base import Changed, Missing, Source, Store
from batch.tally import LEFT_OUT, Moved, Piece, Resent, Tally, left_out, note_failure


@dataclass(frozen=True)
class Tools:
    """What a process needs to predict slices; made once per process.

    `score` maps a batch of the columns `model_columns` to as many rows of predictions. `tell` is
    called with the number of records of each chunk that was predicted.
    """

    inputs: Source
    output: Store
    decode: Decoder
    score: Score
    model_columns: tuple[str, ...]
    settings: InputSection
    chunk_rows: int
    run_id: str
    recipe: Recipe
    reference: Histogram | None
    tell: Callable[[int], None]


def predict_slice(piece: Slice, tools: Tools) -> Receipt:
    """Predict one slice: part and rejects first, then the receipt that names them.

    Every input of the slice gets a result; an input that is unreadable, re-sent or changed leaves
    nothing in the part. Raises `Exists` when another process created the receipt first: that one
    counts.
    """
    receipt = _SliceRun(piece, tools).predict()
    # If the name is taken, our files stay for `prune`: the receipt there may be our own, written
    # by a request whose answer was lost, and another host may have published it by now.
    tools.output.create(piece.receipt, encode(receipt))
    return receipt


class _SliceRun:
    """The state of predicting one slice.

    A slice of one input is predicted while it is read, in bounded memory; that it must be left
    out shows as an exception, and the part is never named. Inputs that share a slice are small:
    each is read whole before the model sees it, so that each can be left out.
    """

    def __init__(self, piece: Slice, tools: Tools) -> None:
        self._slice = piece
        self._tools = tools
        self._alone = len(piece.inputs) == 1
        self._predicted = PredictedRows(tools.recipe, tools.reference)
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def predict(self) -> Receipt:
        run_id, number = self._tools.run_id, self._slice.number
        try:
            with ExitStack() as stack:
                part = PartWriter(stack, self._tools.output, layout.part_path(run_id, number))
                rejects = PartWriter(stack, self._tools.output, layout.rejects_path(run_id, number))
                if self._alone:
                    found = self._read_alone(part, rejects)
                else:
                    found = self._read_together(part)
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

    def _read_alone(self, part: PartWriter, rejects: PartWriter) -> list[Tally | InputResult]:
        tally, waiting = Tally(self._slice.inputs[0]), list[Piece]()
        for piece in self._read(tally):
            if piece.rows:
                waiting.append(piece)
            waiting = self._write_if_full(waiting, part)
            if not waiting:  # Any number of rejects takes no more memory than a chunk.
                rejects.write(tally.take_rejects())
        self._write(waiting, part)
        self._require_few_rejects(tally)
        return [tally]

    def _read_together(self, part: PartWriter) -> list[Tally | InputResult]:
        found, waiting = list[Tally | InputResult](), list[Piece]()
        for planned in self._slice.inputs:
            tally = Tally(planned)
            try:
                waiting += [piece for piece in self._read(tally) if piece.rows]
                found.append(tally)
            except LEFT_OUT as error:
                found.append(left_out(planned, error))
            waiting = self._write_if_full(waiting, part)
        self._write(waiting, part)
        return found

    def _read(self, tally: Tally) -> Iterator[Piece]:
        """The records of one input; an exception at the end still leaves all of it out."""
        planned = tally.planned
        failure: Unreadable | None = None
        try:
            # Leaving this `with` checks that the input is still the one that was planned.
            with self._tools.inputs.fetch(
                planned.path, token=planned.token, size=planned.size
            ) as local:
                tally.digest = self._digest(local)
                if tally.digest == planned.seen_digest:
                    raise Resent(tally.digest)
                try:
                    yield from self._decode(str(local), tally)
                except Unreadable as error:  # Unless it changed meanwhile: then that is the reason.
                    failure = error
        except (Missing, Changed) as error:
            raise Moved(error.message) from None
        if failure:
            raise failure
        self._require_few_rejects(tally)

    def _digest(self, local: Path) -> str:
        try:
            with self._timed("read"):
                return digest_file(local)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror or error}") from None

    def _decode(self, local: str, tally: Tally) -> Iterator[Piece]:
        chunks = self._tools.decode(local)
        while True:
            with self._timed("read"):
                untyped = next(chunks, None)
                chunk = untyped and untyped()
            if chunk is None:
                return
            tally.records += chunk.records.num_rows + len(chunk.rejects)
            tally.reject(*chunk.rejects)
            yield Piece(tally, chunk)

    def _require_few_rejects(self, tally: Tally) -> None:
        if verdict := self._verdict(tally):
            raise Unreadable(verdict)

    def _verdict(self, tally: Tally) -> str:
        return tally.verdict(self._tools.settings)

    def _write_if_full(self, waiting: list[Piece], part: PartWriter) -> list[Piece]:
        """Predict and write once a chunk has come together. Returns what still waits."""
        if sum(piece.rows for piece in waiting) < self._tools.chunk_rows:
            return waiting
        self._write(waiting, part)
        return []

    def _write(self, waiting: list[Piece], part: PartWriter) -> None:
        """Predict what waits, and write the rows of inputs that are not left out for it."""
        with self._timed("predict"):
            tables = [rows for pieces in self._batches(waiting) for rows in self._predict(pieces)]
        if not self._alone:
            for piece in waiting:
                piece.tally.unreadable = piece.tally.unreadable or self._verdict(piece.tally)
        gone = [piece.tally.planned.path for piece in waiting if piece.tally.unreadable]
        with self._timed("write"):
            for rows in tables:
                kept = rows.filter(pc.invert(pc.is_in(rows[INPUT], pa.array(gone, "string"))))
                part.write(kept)
                self._tools.tell(kept.num_rows)
                self._predicted.add(kept)

    def _batches(self, waiting: list[Piece]) -> Iterator[list[Piece]]:
        """What the model sees at once: records of one schema, at most `chunk_rows` of them."""
        batch = list[Piece]()
        for piece in waiting:
            full = sum(other.rows for other in batch) + piece.rows > self._tools.chunk_rows
            # Where only the files tell the types, each file is predicted with its own.
            if batch and (full or piece.schema != batch[0].schema):
                yield batch
                batch = []
            batch.append(piece)
        if batch:
            yield batch

    def _predict(self, pieces: list[Piece]) -> list[pa.Table]:
        """The rows of a part; what failed is noted with the input it belongs to."""
        records = pa.concat_tables(
            [placed(piece.chunk, piece.tally.planned) for piece in pieces]
        ).combine_chunks()
        batch = records.select(list(self._tools.model_columns)).to_batches()[0]
        try:
            scored = score_all(batch, self._tools.score)
        except Unreadable as error:
            if self._alone:
                raise
            inputs = [list(own) for _, own in groupby(pieces, key=lambda piece: id(piece.tally))]
            if len(inputs) > 1:  # One of them may have brought down the others.
                return [rows for own in inputs for rows in self._predict(own)]
            pieces[0].tally.unreadable = error.message
            return []
        for position, reason in scored.failures:
            note_failure(pieces, position, reason)
        if scored.predictions is None:
            return []
        carried = [*self._tools.recipe.key, *self._tools.recipe.passthrough]
        return [side_by_side(records.take(scored.positions), carried, scored.predictions)]

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
        recipe = self._tools.recipe
        return writer.finish(
            as_of=(min(moments), max(moments)),
            run_id=self._tools.run_id,
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
            run_id=self._tools.run_id,
            recipe=self._tools.recipe.digest(),
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
