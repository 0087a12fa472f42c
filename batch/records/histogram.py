"""Histograms of predictions: fixed bins, so that those of any chunks can be merged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from batch.records.documents import Document

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BINS = 20


def main_column(predictions: pa.RecordBatch | pa.Table) -> str | None:
    """The column that represents the prediction: the last probability, else the first number."""
    numbers = _numbers(predictions)
    probabilities = [name for name in numbers if name.startswith("probability")]
    return probabilities[-1] if probabilities else next(iter(numbers), None)


def reference_histogram(predictions: pa.RecordBatch) -> Histogram | None:
    """The histogram of a model's main prediction, None for text.

    Probabilities get 20 bins on [0, 1], other numbers 20 bins of equal population.
    """
    import numpy as np

    column = main_column(predictions)
    if column is None:
        return None
    values = _finite(predictions.column(column))
    if column.startswith("probability"):
        return fill(Histogram(column=column, edges=_unit_edges(), counts=(0,) * BINS), predictions)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1))) if len(values) else values
    if len(edges) < 2:
        return None
    empty = Histogram(column=column, edges=tuple(map(float, edges)), counts=(0,) * (len(edges) - 1))
    return fill(empty, predictions)


def empty_histogram(reference: Histogram | None, predictions: pa.RecordBatch) -> Histogram | None:
    """A histogram with zero counts and the reference's bins, or bins on [0, 1] for probabilities."""
    if reference and reference.column in _numbers(predictions):
        return Histogram(
            column=reference.column, edges=reference.edges, counts=(0,) * len(reference.counts)
        )
    column = main_column(predictions)
    if column is None or not column.startswith("probability"):
        return None
    return Histogram(column=column, edges=_unit_edges(), counts=(0,) * BINS)


def fill(histogram: Histogram, predictions: pa.RecordBatch) -> Histogram:
    """The histogram with the counts of a batch of predictions added."""
    import numpy as np

    values = np.clip(
        _finite(predictions.column(histogram.column)), histogram.edges[0], histogram.edges[-1]
    )
    added, _ = np.histogram(values, bins=np.asarray(histogram.edges))
    return merge(
        [
            histogram,
            Histogram(
                column=histogram.column,
                edges=histogram.edges,
                counts=tuple(int(count) for count in added),
            ),
        ]
    )


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """The sum of histograms with the same bins."""
    first, *others = histograms
    counts = list(first.counts)
    for other in others:
        counts = [total + count for total, count in zip(counts, other.counts, strict=True)]
    return Histogram(column=first.column, edges=first.edges, counts=tuple(counts))


def merged(histograms: Iterable[Histogram | None]) -> Histogram | None:
    """The sum of the histograms that are not None; None without any, or if their bins differ."""
    given = [histogram for histogram in histograms if histogram]
    is_mergeable = given and all(has_same_bins(given[0], other) for other in given)
    return merge(given) if is_mergeable else None


def has_same_bins(first: Histogram | None, second: Histogram | None) -> bool:
    """Whether neither is None and their counts can be compared bin by bin."""
    return bool(first and second and (first.column, first.edges) == (second.column, second.edges))


def stability_index(current: Histogram, baseline: Histogram) -> float:
    """How far a distribution has shifted from another one in the same bins.

    The population stability index, the sum of (p - q) ln(p / q) over the bins (Siddiqi, Credit
    Risk Scorecards, 2006): below 0.1 little, above 0.25 much. Half a record added to every bin
    keeps it finite if a bin is empty.
    """
    shares = [_shares(current), _shares(baseline)]
    return math.fsum((p - q) * math.log(p / q) for p, q in zip(*shares, strict=True))


def explained_by_chance(current: Histogram, baseline: Histogram) -> float:
    """The stability index that one in a thousand pairs of samples of these sizes exceeds.

    For samples of one distribution, the index times nm / (n + m) is approximately chi-squared, with
    one degree of freedom fewer than bins (Yurdakul, Statistical Properties of Population Stability Index, 2018).
    """
    from scipy.special import chdtri

    sizes = sum(current.counts), sum(baseline.counts)
    if not all(sizes):
        return math.inf
    return float(chdtri(len(current.counts) - 1, 0.001)) * sum(1 / size for size in sizes)


def _shares(histogram: Histogram) -> list[float]:
    total = sum(histogram.counts) + len(histogram.counts) / 2
    return [(count + 0.5) / total for count in histogram.counts]


def _numbers(predictions: pa.RecordBatch | pa.Table) -> list[str]:
    import pyarrow as pa

    return [
        field.name
        for field in predictions.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]


def _finite(values: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    import numpy as np

    numbers = np.asarray(values.to_numpy(zero_copy_only=False), dtype=float)
    finite: np.ndarray[Any, np.dtype[np.float64]] = numbers[np.isfinite(numbers)]
    return finite


def _unit_edges() -> tuple[float, ...]:
    return tuple(step / BINS for step in range(BINS + 1))


class Histogram(Document, frozen=True):
    """Counts of predictions in bins; `edges` has one more element than `counts`.

    Values below the first edge count in the first bin, values above the last edge in the last.
    """

    column: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
