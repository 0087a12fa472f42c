"""How far the predictions of two rows of one key differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.records.arrays import in_one, to_arrow, to_numpy
from batch.records.histogram import main_column
from batch.reports.diff.pairs import Pairs

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Differences:
    """One value for each pair, also for those that lack a row.

    `number` is the column that represents a prediction, `change` its increase (NaN if not a
    number); `label` is the column of the label, and `is_relabeled` whether it differs.
    """

    number: str | None
    label: str | None
    differs: np.ndarray
    is_relabeled: np.ndarray
    change: np.ndarray


def find_differences(pairs: Pairs, columns: Sequence[str]) -> Differences:
    """Compare these columns; null equals null, and NaN equals NaN."""
    import numpy as np

    present = pairs.rows.select([name for name in columns if name in pairs.rows.column_names])
    number = main_column(present)
    label = _label(present, number)
    both = np.flatnonzero((pairs.before >= 0) & (pairs.after >= 0))
    before, after = to_arrow(pairs.before[both]), to_arrow(pairs.after[both])
    size = len(pairs.before)
    differs, relabeled = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    change = np.full(size, np.nan)
    for name in present.column_names:
        old, new = present[name].take(before), present[name].take(after)
        unequal = ~_equal(old, new)
        differs[both] |= unequal
        if name == label:
            relabeled[both] = unequal
        if name == number:
            change[both] = _numbers(new) - _numbers(old)
    return Differences(number, label, differs, relabeled, change)


def _label(predictions: pa.Table, number: str | None) -> str | None:
    """The first column of names, or of whole numbers beside a probability or a score."""
    import pyarrow as pa

    is_fraction = pa.types.is_floating
    names = [
        field.name
        for field in predictions.schema
        if field.name != number and not is_fraction(field.type)
    ]
    return next(iter(names), None)


def _equal(old: pa.ChunkedArray, new: pa.ChunkedArray) -> np.ndarray:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        equal = pc.fill_null(pc.equal(old, new), False)  # the value to fill in
    except pa.ArrowNotImplementedError:  # Lists and the like, which a hook may return.
        pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
        return np.array([left == right for left, right in pairs], np.bool_)
    if pa.types.is_floating(old.type):
        both_nan = pc.and_(pc.is_nan(old), pc.is_nan(new))
        equal = pc.or_(equal, pc.fill_null(both_nan, False))  # as above
    both_null = pc.and_(old.is_null(), new.is_null())
    is_equal: np.ndarray = to_numpy(in_one(pc.or_(equal, both_null)))
    return is_equal


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """As floats, NaN for null."""
    import numpy as np

    array = in_one(column.cast("float64"))
    values = to_numpy(array)
    return np.where(to_numpy(array.is_valid()), values, np.nan) if array.null_count else values
