"""The rows of a part and of its rejects, as Arrow tables, and what is counted of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batch.errors import DoesNotFit
from batch.model.recipe import Recipe
from batch.output.part_writer import REJECT_SCHEMA
from batch.output.plan import PlannedInput
from batch.records.chunk import RAW_CHARACTERS, Chunk, Reject
from batch.records.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.records.histogram import Histogram, empty_histogram, fill


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


def reject_table(rejects: Sequence[Reject], planned: PlannedInput) -> pa.Table:
    """The rejects of an input, by record number; long raw records are cut."""
    return pa.Table.from_pylist(
        [
            {
                INPUT: planned.path,
                ROW: reject.row,
                AS_OF: planned.as_of,
                "column": reject.column,
                "reason": reject.reason,
                "raw": reject.raw[:RAW_CHARACTERS],
            }
            for reject in sorted(rejects, key=lambda reject: reject.row)
        ],
        schema=REJECT_SCHEMA,
    )


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
