"""Where slices run: in this process, or in local worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from batch.slices import Receipt, Slice

#: Worker processes take a second to import everything: less input than this is not worth it.
_WORTH_WORKERS_BYTES = 64 << 20


def count_workers(wanted: Literal["auto"] | int, slices: Sequence[Slice]) -> int:
    """How many processes to use: never more than slices, one for little input."""
    if wanted != "auto":
        return max(1, min(wanted, len(slices)))
    if sum(piece.bytes for piece in slices) < _WORTH_WORKERS_BYTES:
        return 1
    return max(1, min(len(os.sched_getaffinity(0)), len(slices)))


def run_slices(
    predict: Callable[[Slice], Receipt], slices: Sequence[Slice], *, workers: int
) -> Iterator[Receipt]:
    """The receipt of every slice, in the order in which they are done.

    `predict` must be picklable when there is more than one worker. An exception of `predict` ends
    the run of all slices.
    """
    if workers == 1:
        yield from map(predict, slices)
        return
    import joblib

    parallel = joblib.Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")
    yield from parallel(joblib.delayed(predict)(piece) for piece in slices)
