"""What the model sees at once, and the search for the records that it raises on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa

from batch.errors import BatchError, DoesNotFit
from batch.output.plan import PlannedInput
from batch.records.arrays import neighbours
from batch.records.chunk import CHUNK_BYTES, Chunk, UnreadableInput
from batch.records.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.records.histogram import Histogram
from batch.run.predict.tally import Piece

Score = Callable[[pa.RecordBatch], pa.RecordBatch]
#: A failing batch of more rows than this is probed before it is searched.
_PROBED_ROWS = 64
_PROBES = 8


@dataclass(frozen=True)
class Batch:
    """Records that the model has seen together: their rows of a part, and what it raised on.

    `failures` are (position among the pieces, reason); `unreadable` says why the one input that
    all of them belong to cannot be used.
    """

    pieces: Sequence[Piece]
    rows: pa.Table | None = None
    failures: Sequence[tuple[int, str]] = ()
    unreadable: str = ""


@dataclass(frozen=True)
class Batching:
    """How records become rows of a part.

    `score` maps a batch of the columns `model_columns` to as many rows of predictions; `carried`
    are the columns that stay. A batch has at most `chunk_rows` rows and about `chunk_bytes`, unless
    one piece has more. Predictions are counted in the bins of the `reference`.
    """

    score: Score
    model_columns: tuple[str, ...]
    carried: tuple[str, ...]
    chunk_rows: int = field(kw_only=True)
    chunk_bytes: int = field(kw_only=True, default=CHUNK_BYTES)
    reference: Histogram | None = field(kw_only=True, default=None)

    def predict(self, pieces: Sequence[Piece]) -> list[Batch]:
        """Predict all pieces. Where one input brings down the others, they are parted.

        Raises `UnreadableInput` if all of them are of one input, which the model raises on.
        """
        return [batch for together in self._together(pieces) for batch in self._predict(together)]

    def _together(self, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
        # Where only the files tell the types, each file is predicted with its own.
        for _, alike in groupby(pieces, key=lambda piece: piece.schema):
            yield from neighbours(alike, size=lambda piece: piece.rows, most=self.chunk_rows)

    def _predict(self, pieces: list[Piece]) -> list[Batch]:
        records = pa.concat_tables(
            [placed(piece.chunk, piece.tally.planned) for piece in pieces]
        ).combine_chunks()
        batch = records.select(list(self.model_columns)).to_batches()[0]
        try:
            scored = score_all(batch, self.score)
        except UnreadableInput as error:
            inputs = [list(own) for _, own in groupby(pieces, key=lambda piece: id(piece.tally))]
            if len(inputs) > 1:  # One of them may have brought down the others.
                return [batch for own in inputs for batch in self._predict(own)]
            return [Batch(pieces, unreadable=error.message)]
        rows = None
        if scored.predictions is not None:
            kept = records if scored.positions is None else records.take(scored.positions)
            rows = side_by_side(kept, self.carried, scored.predictions)
        return [Batch(pieces, rows, scored.failures)]


@dataclass(frozen=True)
class Scored:
    """Predictions for the records at `positions`, None for all; `failures` are (position, reason)."""

    predictions: pa.Table | None
    positions: pa.Array | None
    failures: list[tuple[int, str]]


def score_all(batch: pa.RecordBatch, score: Score) -> Scored:
    """Predict every record that the model does not raise on.

    One bad record among n costs O(log n) further predictions. Raises `UnreadableInput` when the model
    raises on each of a few records spread over a large batch: then the model does not fit.
    """
    parts: list[tuple[int, pa.RecordBatch]] = []
    failures: list[tuple[int, str]] = []
    predictions, reason = _try(batch, score)
    if predictions is not None:
        return Scored(_joined([predictions]), None, [])
    if batch.num_rows == 1:
        failures.append((0, reason))
    else:
        if batch.num_rows > _PROBED_ROWS:
            _require_any(batch, score, reason)
        _search_halves(batch, 0, score, parts, failures)
    positions = [pa.array(range(first, first + part.num_rows), pa.int64()) for first, part in parts]
    return Scored(
        predictions=_joined([part for _, part in parts]) if parts else None,
        positions=pa.concat_arrays(positions) if positions else pa.array([], pa.int64()),
        failures=failures,
    )


def placed(chunk: Chunk, planned: PlannedInput) -> pa.Table:
    """The records of a chunk with where each came from."""
    rows = chunk.records.num_rows
    table = pa.Table.from_batches([chunk.records])
    table = table.append_column(INPUT, pa.repeat(pa.scalar(planned.path, pa.string()), rows))
    table = table.append_column(ROW, chunk.rows)
    as_of = pa.scalar(planned.as_of, pa.timestamp("us", "UTC"))
    return table.append_column(AS_OF, pa.repeat(as_of, rows))


def side_by_side(records: pa.Table, carried: Sequence[str], predictions: pa.Table) -> pa.Table:
    """The columns of a part, in their order: carried ones, predictions, where each came from.

    Raises `DoesNotFit` for a prediction named like one of the others.
    """
    doubled = {*carried, *OUR_COLUMNS} & {*predictions.column_names}
    if doubled:
        raise DoesNotFit(
            f"{', '.join(sorted(doubled))}: a prediction and an input column have the same name",
            "rename the input column, or the prediction in a postprocess hook",
        )
    columns = {name: records[name] for name in carried}
    columns |= {name: predictions[name] for name in predictions.column_names}
    columns |= {name: records[name] for name in OUR_COLUMNS}
    return pa.table(columns)


def _search_halves(
    batch: pa.RecordBatch,
    first: int,
    score: Score,
    parts: list[tuple[int, pa.RecordBatch]],
    failures: list[tuple[int, str]],
) -> None:
    middle = batch.num_rows // 2
    for start, half in ((first, batch.slice(0, middle)), (first + middle, batch.slice(middle))):
        predictions, reason = _try(half, score)
        if predictions is not None:
            parts.append((start, predictions))
        elif half.num_rows == 1:
            failures.append((start, reason))
        else:
            _search_halves(half, start, score, parts, failures)


def _require_any(batch: pa.RecordBatch, score: Score, reason: str) -> None:
    """Whether the model predicts any of a few single records, so that a search is worth it."""
    step = (batch.num_rows - 1) / (_PROBES - 1)
    probes = (batch.slice(round(probe * step), 1) for probe in range(_PROBES))
    if all(_try(record, score)[0] is None for record in probes):
        raise UnreadableInput(f"every record tried: {reason}")


def _try(batch: pa.RecordBatch, score: Score) -> tuple[pa.RecordBatch | None, str]:
    """The predictions, or None and why there are none."""
    try:
        return score(batch), ""
    except (BatchError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        # A model may raise anything; what it raises on becomes rejects with this reason.
        return None, f"the model raised {type(error).__name__}: {str(error).strip()[:500]}"


def _joined(parts: list[pa.RecordBatch]) -> pa.Table:
    schemas = {tuple(part.schema.names) for part in parts}
    try:
        if len(schemas) == 1:
            tables = [pa.Table.from_batches([part]) for part in parts]
            return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        pass
    found = {", ".join(f"{field.name} {field.type}" for field in part.schema) for part in parts}
    raise DoesNotFit(
        f"the model returned {', elsewhere '.join(sorted(found))}",
        "hooks and model must return the same columns and types for every record",
    )
