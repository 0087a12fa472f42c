"""Histograms of predictions: whatever the chunks were, the sum is the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.records.histogram import (
    BINS,
    Histogram,
    empty_histogram,
    fill,
    merge,
    reference_histogram,
)

anything = st.floats(allow_nan=True, allow_infinity=True) | st.none()


def batch(**columns: Any) -> pa.RecordBatch:
    """Predictions."""
    return pa.record_batch(columns)


def reference(**columns: Any) -> Histogram:
    """The histogram of predictions that have one."""
    found = reference_histogram(batch(**columns))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prediction": ["a"], "probability_a": [0.1], "probability_b": [0.9]}, "probability_b"),
        ({"prediction": [1], "probability_0": [0.1], "probability_1": [0.9]}, "probability_1"),
        ({"prediction": [1, 2], "score": [0.5, 0.7]}, "prediction"),
        ({"prediction": ["a", "b"], "score": [0.5, 0.7]}, "score"),
        ({"prediction": pa.array([0.5, 1.0], pa.float32())}, "prediction"),
    ],
)
def test_the_main_prediction_is_counted(columns: dict[str, Any], expected: str) -> None:
    """The last probability, else the first number."""
    assert reference(**columns).column == expected


@pytest.mark.parametrize(
    "columns",
    [{"prediction": ["a", "b"]}, {"prediction": [True, False]}, {"prediction": [1.5, 1.5]},
     {"prediction": [math.nan, None]}, {"prediction": pa.array([], pa.float64())}],
)  # fmt: skip
def test_predictions_without_a_spread_have_no_histogram(columns: dict[str, Any]) -> None:
    """Text, booleans, one number for all, or none at all."""
    assert reference_histogram(batch(**columns)) is None


def test_probabilities_have_bins_of_equal_width() -> None:
    """Twenty on [0, 1], the ends included."""
    found = reference(probability_1=[0.0, 0.04, 0.05, 0.5, 1.0])
    assert found.edges == tuple(step / BINS for step in range(BINS + 1))
    assert [index for index, count in enumerate(found.counts) if count] == [0, 1, 10, 19]
    assert found.counts[0] == 2


def test_other_numbers_have_bins_of_equal_population() -> None:
    """Fewer where many numbers are the same."""
    found = reference(prediction=[float(number) ** 3 for number in range(1000)])
    assert len(found.counts) == BINS
    assert {*found.counts} == {50}
    assert list(found.edges) == sorted({*found.edges})
    few = reference(prediction=[1, 1, 1, 1, 2, 3])
    assert sum(few.counts) == 6
    assert few.edges[0] == 1
    assert few.edges[-1] == 3


def test_values_beyond_the_edges_count_at_the_ends() -> None:
    """What is no number is not counted."""
    bins = Histogram(column="prediction", edges=(0.0, 1.0, 2.0), counts=(0, 0))
    values = [-5.0, 0.5, 1.0, 2.0, 99.0, math.nan, math.inf, -math.inf, None]
    assert fill(bins, batch(prediction=values)).counts == (2, 3)


def test_a_run_counts_into_the_bins_of_training() -> None:
    """Else into those of probabilities, where there are any."""
    trained = reference(prediction=[1.0, 2.0, 3.0])
    empty = empty_histogram(trained, batch(prediction=[2.0]))
    assert empty == Histogram(
        column="prediction", edges=trained.edges, counts=(0,) * len(trained.counts)
    )
    for known in (None, trained):
        found = empty_histogram(known, batch(score=[2.0], probability_1=[0.5]))
        assert found is not None
        assert (found.column, sum(found.counts)) == ("probability_1", 0)
        assert empty_histogram(known, batch(score=[2.0])) is None
        assert empty_histogram(known, batch(prediction=["text"])) is None


@given(
    st.lists(anything, max_size=40), st.integers(0, 40), st.lists(anything, min_size=2, max_size=40)
)
@settings(max_examples=100, deadline=None)
def test_chunks_add_up(values: list[float | None], cut: int, training: list[float | None]) -> None:
    """Filled at once, one after the other, or apart and merged: every finite value once."""
    found = reference_histogram(batch(prediction=pa.array(training, pa.float64())))
    bins = empty_histogram(found, batch(prediction=pa.array([], pa.float64())))
    if bins is None:
        return
    whole, left, right = (batch(prediction=pa.array(part, pa.float64()))
                          for part in (values, values[:cut], values[cut:]))  # fmt: skip
    together = fill(bins, whole)
    assert together == fill(fill(bins, left), right) == merge([fill(bins, left), fill(bins, right)])
    finite = [value for value in values if value is not None and np.isfinite(value)]
    assert sum(together.counts) == len(finite)


def test_histograms_of_other_bins_do_not_merge() -> None:
    """Their counts mean different things."""
    one = Histogram(column="p", edges=(0.0, 1.0), counts=(1,))
    two = Histogram(column="p", edges=(0.0, 1.0, 2.0), counts=(1, 2))
    with pytest.raises(ValueError, match="longer"):
        merge([one, two])
    assert merge([two]) == two
