"""One slice becomes one part, its rejects, and a receipt."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from batch import layout
from batch.bisecting import Score, score_all
from batch.chunk import RAW_CHARACTERS, Chunk, Decoder, Reject, Unreadable
from batch.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.digest import digest_file
from batch.errors import BatchError, DoesNotFit
from batch.histogram import empty_histogram, fill
from batch.job import InputSection
from batch.manifest import Column, Histogram, PartFile, encode
from batch.parts import REJECT_SCHEMA, PartWriter, columns_of
from batch.recipe import Recipe
from batch.slices import InputResult, PlannedInput, Receipt, Slice
from batch.store.base import Changed, Exists, Missing, Store


@dataclass(frozen=True)
class Tools:
    """What a process needs to predict slices; made once per process.

    `score` maps a batch of the columns `model_columns` to as many rows of predictions. `tell` is
    called with the number of records of each chunk that was predicted.
    """

    inputs: Store
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
    counts, and our files are removed.
    """
    receipt = _SliceRun(piece, tools).predict()
    try:
        tools.output.create(piece.receipt, encode(receipt))
    except Exists:
        for file in (receipt.part, receipt.rejects):
            if file:
                tools.output.delete(file.path)
        raise
    return receipt


class _Resent(BatchError):
    """The content is the one that was taken in before."""


class _Moved(BatchError):
    """The input is gone, or another one than was planned."""


#: What can become of an input besides being taken in.
_LEFT_OUT = (_Resent, _Moved, Unreadable)


@dataclass
class _Tally:
    """One input while it is read: what was found so far."""

    planned: PlannedInput
    digest: str = ""
    records: int = 0
    rejected: int = 0
    first: Reject | None = None
    rejects: list[Reject] = field(default_factory=list)
    unreadable: str = ""

    def reject(self, *rejects: Reject) -> None:
        """Keep rejects until they are written; they are counted for good."""
        self.rejects.extend(rejects)
        self.rejected += len(rejects)
        earliest = [reject for reject in (self.first, *rejects) if reject]
        self.first = min(earliest, key=lambda reject: reject.row, default=None)

    def verdict(self, settings: InputSection) -> str:
        """Why the input counts as unreadable, "" if it does not."""
        allowed = settings.rejects_allowed(self.records)
        if self.first is None or (self.rejected <= allowed and self.rejected < self.records):
            return ""
        first = self.first
        where = f"record {first.row}" + (f", column {first.column!r}" if first.column else "")
        return (
            f"{self.rejected} of {self.records} records are rejects, allowed are {allowed}; "
            f"the first: {where}: {first.reason}"
        )


@dataclass(frozen=True)
class _Piece:
    """Records of one input that wait for the model."""

    tally: _Tally
    chunk: Chunk

    @property
    def rows(self) -> int:
        return int(self.chunk.records.num_rows)

    @property
    def schema(self) -> pa.Schema:
        return self.chunk.records.schema


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
        self._histogram: Histogram | None = None
        self._predicted: Counter[str] = Counter()
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
                taken = [item for item in found if isinstance(item, _Tally) and not item.unreadable]
                for tally in taken:
                    _write_rejects(tally, rejects)
                files = (
                    self._finish(part, [t for t in taken if self._predicted[t.planned.path]]),
                    self._finish(rejects, [t for t in taken if t.rejected]),
                )
        except _LEFT_OUT as error:
            if not self._alone:
                raise
            return self._receipt([_left_out(self._slice.inputs[0], error)], (None, None), [])
        return self._receipt(results, files, columns_of(part.schema))

    def _read_alone(self, part: PartWriter, rejects: PartWriter) -> list[_Tally | InputResult]:
        tally, waiting = _Tally(self._slice.inputs[0]), list[_Piece]()
        for piece in self._read(tally):
            if piece.rows:
                waiting.append(piece)
            waiting = self._write_if_full(waiting, part)
            if not waiting:  # Any number of rejects takes no more memory than a chunk.
                _write_rejects(tally, rejects)
        self._write(waiting, part)
        self._require_few_rejects(tally)
        return [tally]

    def _read_together(self, part: PartWriter) -> list[_Tally | InputResult]:
        found, waiting = list[_Tally | InputResult](), list[_Piece]()
        for planned in self._slice.inputs:
            tally = _Tally(planned)
            try:
                waiting += [piece for piece in self._read(tally) if piece.rows]
                found.append(tally)
            except _LEFT_OUT as error:
                found.append(_left_out(planned, error))
            waiting = self._write_if_full(waiting, part)
        self._write(waiting, part)
        return found

    def _read(self, tally: _Tally) -> Iterator[_Piece]:
        """The records of one input; an exception at the end still leaves all of it out."""
        planned = tally.planned
        failure: Unreadable | None = None
        try:
            # Leaving this `with` checks that the input is still the one that was planned.
            with self._tools.inputs.fetch(planned.path, token=planned.token) as local:
                tally.digest = self._digest(local)
                if tally.digest == planned.seen_digest:
                    raise _Resent(tally.digest)
                try:
                    yield from self._decode(str(local), tally)
                except Unreadable as error:  # Unless it changed meanwhile: then that is the reason.
                    failure = error
        except (Missing, Changed) as error:
            raise _Moved(error.message) from None
        if failure:
            raise failure
        self._require_few_rejects(tally)

    def _digest(self, local: Path) -> str:
        try:
            with self._timed("read"):
                return digest_file(local)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror or error}") from None

    def _decode(self, local: str, tally: _Tally) -> Iterator[_Piece]:
        chunks = self._tools.decode(local)
        while True:
            with self._timed("read"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            tally.records += chunk.records.num_rows + len(chunk.rejects)
            tally.reject(*chunk.rejects)
            yield _Piece(tally, chunk)

    def _require_few_rejects(self, tally: _Tally) -> None:
        if verdict := self._verdict(tally):
            raise Unreadable(verdict)

    def _verdict(self, tally: _Tally) -> str:
        return tally.verdict(self._tools.settings)

    def _write_if_full(self, waiting: list[_Piece], part: PartWriter) -> list[_Piece]:
        """Predict and write once a chunk has come together. Returns what still waits."""
        if sum(piece.rows for piece in waiting) < self._tools.chunk_rows:
            return waiting
        self._write(waiting, part)
        return []

    def _write(self, waiting: list[_Piece], part: PartWriter) -> None:
        """Predict what waits, and write the rows of inputs that are not left out for it."""
        with self._timed("predict"):
            tables = [rows for pieces in self._batches(waiting) for rows in self._predict(pieces)]
        if not self._alone:
            for piece in waiting:
                piece.tally.unreadable = piece.tally.unreadable or self._verdict(piece.tally)
        left_out = [piece.tally.planned.path for piece in waiting if piece.tally.unreadable]
        with self._timed("write"):
            for rows in tables:
                kept = rows.filter(pc.invert(pc.is_in(rows[INPUT], pa.array(left_out, "string"))))
                part.write(kept)
                self._count(kept)

    def _batches(self, waiting: list[_Piece]) -> Iterator[list[_Piece]]:
        """What the model sees at once: records of one schema, at most `chunk_rows` of them."""
        batch = list[_Piece]()
        for piece in waiting:
            full = sum(other.rows for other in batch) + piece.rows > self._tools.chunk_rows
            # Where only the files tell the types, each file is predicted with its own.
            if batch and (full or piece.schema != batch[0].schema):
                yield batch
                batch = []
            batch.append(piece)
        if batch:
            yield batch

    def _predict(self, pieces: list[_Piece]) -> list[pa.Table]:
        """The rows of a part; what failed is noted with the input it belongs to."""
        records = pa.concat_tables([_placed(piece) for piece in pieces]).combine_chunks()
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
            _note_failure(pieces, position, reason)
        if scored.predictions is None:
            return []
        carried = [*self._tools.recipe.key, *self._tools.recipe.passthrough]
        return [side_by_side(records.take(scored.positions), carried, scored.predictions)]

    def _count(self, rows: pa.Table) -> None:
        self._tools.tell(rows.num_rows)
        for pair in rows[INPUT].value_counts().to_pylist():
            self._predicted[pair["values"]] += pair["counts"]
        carried = {*self._tools.recipe.key, *self._tools.recipe.passthrough, *OUR_COLUMNS}
        predictions = [name for name in rows.column_names if name not in carried]
        for batch in rows.select(predictions).to_batches():
            histogram = self._histogram or empty_histogram(self._tools.reference, batch)
            self._histogram = histogram and fill(histogram, batch)

    def _result(self, tally: _Tally) -> InputResult:
        path = tally.planned.path
        if tally.unreadable:
            return InputResult(path=path, outcome="unreadable", reason=tally.unreadable)
        return InputResult(
            path=path,
            outcome="taken",
            digest=tally.digest,
            records=tally.records,
            predicted=self._predicted[path],
            rejected=tally.rejected,
        )

    def _finish(self, writer: PartWriter, tallies: list[_Tally]) -> PartFile | None:
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
            histogram=self._histogram if files[0] else None,
            seconds={stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - start


def side_by_side(records: pa.Table, carried: Sequence[str], predictions: pa.Table) -> pa.Table:
    """The columns of a part, in their order: carried ones, predictions, where each came from.

    Raises `DoesNotFit` for a prediction named like one of the others.
    """
    doubled = {*carried, *OUR_COLUMNS} & {*predictions.column_names}
    if doubled:
        raise DoesNotFit(
            f"{', '.join(sorted(doubled))}: a prediction and a carried column have one name",
            "rename the input column, or the prediction in a postprocess hook",
        )
    columns = {name: records[name] for name in carried}
    columns |= {name: predictions[name] for name in predictions.column_names}
    columns |= {name: records[name] for name in OUR_COLUMNS}
    return pa.table(columns)


def _left_out(planned: PlannedInput, error: BatchError) -> InputResult:
    if isinstance(error, _Resent):
        return InputResult(path=planned.path, outcome="resent", digest=error.message)
    if isinstance(error, Unreadable):
        return InputResult(path=planned.path, outcome="unreadable", reason=error.message)
    return InputResult(path=planned.path, outcome="changed", reason=error.message)


def _placed(piece: _Piece) -> pa.Table:
    """The records with where each came from."""
    rows = piece.chunk.records.num_rows
    table = pa.Table.from_batches([piece.chunk.records])
    planned = piece.tally.planned
    table = table.append_column(INPUT, pa.repeat(pa.scalar(planned.path, pa.string()), rows))
    table = table.append_column(ROW, piece.chunk.rows)
    as_of = pa.scalar(planned.as_of, pa.timestamp("us", "UTC"))
    return table.append_column(AS_OF, pa.repeat(as_of, rows))


def _note_failure(pieces: list[_Piece], position: int, reason: str) -> None:
    for piece in pieces:
        rows = piece.chunk.records.num_rows
        if position < rows:
            raw = piece.chunk.raw(position)
            row = piece.chunk.rows[position].as_py()
            piece.tally.reject(Reject(row, "", reason, raw))
            return
        position -= rows


def _write_rejects(tally: _Tally, writer: PartWriter) -> None:
    rejects = sorted(tally.rejects, key=lambda reject: reject.row)
    tally.rejects.clear()
    table = pa.Table.from_pylist(
        [{INPUT: tally.planned.path, ROW: reject.row, AS_OF: tally.planned.as_of,
          "column": reject.column, "reason": reject.reason, "raw": reject.raw[:RAW_CHARACTERS]}
         for reject in rejects],
        schema=REJECT_SCHEMA,
    )  # fmt: skip
    writer.write(table)
