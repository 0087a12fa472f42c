"""What the model sees at once: records of one schema, whichever inputs they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pyarrow as pa

from batch.records.chunk import CHUNK_BYTES, UnreadableInput
from batch.records.groups import neighbours
from batch.records.histogram import Histogram
from batch.run.predict.bisection import Score, score_all
from batch.run.predict.part_rows import placed, side_by_side
from batch.run.predict.tally import Piece


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
