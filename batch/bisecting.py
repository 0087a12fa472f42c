"""Find the records that a model raises on, without knowing anything about the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from batch.chunk import Unreadable
from batch.errors import BatchError

Score = Callable[[pa.RecordBatch], pa.RecordBatch]

#: A failing batch of more rows than this is probed before it is searched.
_PROBED_ROWS = 64
_PROBES = 8


@dataclass(frozen=True)
class Scored:
    """Predictions for the records at `positions`; `failures` are (position, reason)."""

    predictions: pa.Table | None
    positions: pa.Array
    failures: list[tuple[int, str]]


def score_all(batch: pa.RecordBatch, score: Score) -> Scored:
    """Predict every record that the model does not raise on.

    One bad record among n costs O(log n) further predictions. Raises `Unreadable` when the model
    raises on each of a few records spread over a large batch: then the model does not fit.
    """
    parts: list[tuple[int, pa.RecordBatch]] = []
    failures: list[tuple[int, str]] = []
    _search(batch, 0, score, parts, failures)
    positions = [pa.array(range(first, first + part.num_rows), pa.int64()) for first, part in parts]
    return Scored(
        predictions=_joined([part for _, part in parts]),
        positions=pa.concat_arrays(positions) if positions else pa.array([], pa.int64()),
        failures=failures,
    )


def _search(
    batch: pa.RecordBatch,
    first: int,
    score: Score,
    parts: list[tuple[int, pa.RecordBatch]],
    failures: list[tuple[int, str]],
) -> None:
    try:
        parts.append((first, score(batch)))
        return
    except (BatchError, MemoryError):
        raise
    except Exception as error:
        # A model may raise anything; what it raises on becomes rejects with this reason.
        reason = f"{type(error).__name__}: {str(error).strip()[:500]}"
    rows = batch.num_rows
    if rows == 1:
        failures.append((first, f"the model raised {reason}"))
        return
    if first == 0 and rows > _PROBED_ROWS and not parts:
        _require_any(batch, score, reason)
    middle = rows // 2
    _search(batch.slice(0, middle), first, score, parts, failures)
    _search(batch.slice(middle), first + middle, score, parts, failures)


def _require_any(batch: pa.RecordBatch, score: Score, reason: str) -> None:
    """Whether the model predicts any of a few single records, so that a search is worth it."""
    step = (batch.num_rows - 1) / (_PROBES - 1)
    for probe in range(_PROBES):
        try:
            score(batch.slice(round(probe * step), 1))
            return
        except (BatchError, MemoryError):
            raise
        except Exception:  # noqa: S112  # The reason is that of the whole batch.
            continue
    raise Unreadable(f"the model raised on every record tried: {reason}")


def _joined(parts: list[pa.RecordBatch]) -> pa.Table | None:
    return (
        pa.concat_tables(
            [pa.Table.from_batches([part]) for part in parts], promote_options="default"
        )
        if parts
        else None
    )
