"""Where slices run: in the threads of this process, or in local worker processes."""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import TryAgain
from batch.output.plan import Receipt, Slice

if TYPE_CHECKING:
    from batch.run.predict.predictor import Predictor

#: Makes what a process predicts with, in that process; picklable.
Load = Callable[[], "Predictor"]

_POLL_SECONDS = 0.2


class WorkerDied(TryAgain):
    """The system ended a worker process: a fault in the model, or no memory left.

    `begun` are the slices that were handed out: one of those without a receipt is the reason.
    """

    def __init__(self, message: str, begun: Sequence[Slice]) -> None:
        super().__init__(message, "run again")
        self.begun = begun


def run_slices(
    load: Load, slices: Sequence[Slice], prefetched: Path | None, *, workers: int
) -> Iterator[Receipt]:
    """The receipt of every slice, in the order in which they are done, in so many processes.

    An exception in one of them ends the run of all slices. Raises `WorkerDied`.
    """
    import joblib

    begun = list[Slice]()

    def hand_out() -> Iterator[object]:
        for piece in slices:
            begun.append(piece)
            yield joblib.delayed(_predict)(piece, prefetched)

    parallel = joblib.Parallel(
        n_jobs=workers,
        batch_size=1,
        return_as="generator_unordered",
        initializer=_begin_to_work,
        initargs=(os.getpid(), load),
    )
    try:
        yield from parallel(hand_out())
    except BrokenProcessPool as error:
        raise WorkerDied(_how_it_died(error), begun) from None


def run_apart(load: Load, slices: Sequence[Slice]) -> Iterator[tuple[Slice, Receipt | WorkerDied]]:
    """One slice after the other in a process of its own; a new process when one has died."""
    left = list(slices)
    while left:
        from joblib.externals.loky import ProcessPoolExecutor

        executor = ProcessPoolExecutor(1, initializer=_begin_to_work, initargs=(os.getpid(), load))
        try:
            while left:
                piece = left.pop(0)
                yield piece, executor.submit(_predict, piece, None).result()
        except BrokenProcessPool as error:
            yield piece, WorkerDied(_how_it_died(error), [piece])
        finally:
            executor.shutdown(kill_workers=True)


def sweep_shared_memory(process: int) -> None:
    """Remove what joblib keeps in shared memory for a process of ours that is no more."""
    for pattern in (f"sem.loky-{process}-*", f"joblib_memmapping_folder_{process}_*"):
        for path in Path("/dev/shm").glob(pattern):  # noqa: S108  # joblib's own choice
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()


_of_this_process: Load


def _begin_to_work(coordinator: int, load: Load) -> None:
    """The first thing that a worker process does, before there is anything to work on."""
    # Ctrl-C reaches the whole group: the coordinator decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=[coordinator], daemon=True).start()
    global _of_this_process  # noqa: PLW0603  # A process has one run to work for.
    # Loaded with the first slice, where an error has a way back.
    _of_this_process = functools.cache(load)


def _predict(piece: Slice, prefetched: Path | None) -> Receipt:
    from batch.run.predict.slice import predict_slice

    return predict_slice(piece, _of_this_process(), prefetched)


def _end_with(coordinator: int) -> None:
    """A worker whose coordinator was killed has nobody to work for, and holds memory."""
    while os.getppid() == coordinator:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def _how_it_died(error: BrokenProcessPool) -> str:
    codes = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    how = codes[1] if codes else str(error)
    return f"worker process was killed ({how}): usually out of memory or a native crash"
