"""What a slice predicted, counted while its part is written: by input, in bins, nulls."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from batch.model.recipe import Recipe
from batch.records.columns import INPUT, OUR_COLUMNS
from batch.records.histogram import Histogram, empty_histogram, fill


class PredictedRows:
    """The rows of a part so far.

    `by_input` counts them by the path of their input, `nulls` those with a null among the
    predictions; `histogram` is None for predictions that have none.
    """

    def __init__(self, recipe: Recipe, reference: Histogram | None) -> None:
        self.by_input: Counter[str] = Counter()
        self.nulls = 0
        self.histogram: Histogram | None = None
        self._reference = reference
        self._carried = {*recipe.key, *recipe.passthrough, *OUR_COLUMNS}

    def add(self, rows: pa.Table) -> None:
        """Count rows of the part in."""
        for pair in rows[INPUT].value_counts().to_pylist():
            self.by_input[pair["values"]] += pair["counts"]
        names = [name for name in rows.column_names if name not in self._carried]
        for batch in rows.select(names).to_batches():
            self.nulls += _rows_with_nulls(batch)
            histogram = self.histogram or empty_histogram(self._reference, batch)
            self.histogram = histogram and fill(histogram, batch)


def _rows_with_nulls(batch: pa.RecordBatch) -> int:
    found = None
    for column in batch.columns:
        if column.null_count:
            nulls = pc.is_null(column)
            found = nulls if found is None else pc.or_(found, nulls)
    return found.true_count if found is not None else 0
