"""What a run may use of this machine: processes, threads and memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch.job.settings import RunSection
from batch.output.plan import Slice

#: Worker processes take a second to import everything: less input than this is not worth it.
_WORTH_WORKERS_BYTES = 64 << 20
#: Less is done before a second thread has anything to do.
_WORTH_THREADS_BYTES = 4 << 20
#: mallopt(3): how many heaps.
_M_ARENA_MAX = -8
#: What a reader of Parquet holds beside its chunk: dictionaries and pages of every column.
_READER_BYTES = 88 << 20
#: Of a chunk at work: as it was read, typed, as a DataFrame, twice within the model, its answer.
_COPIES = 6
#: Every chunk costs some ten milliseconds, however few records it has.
_LEAST_BYTES = 1 << 20


@dataclass(frozen=True)
class Parallelism:
    """How many processes predict, and how many threads compute in this one if it is the only one."""

    workers: int
    threads: int


def choose_parallelism(
    run: RunSection, slices: Sequence[Slice], *, is_thread_safe: bool
) -> Parallelism:
    """Threads where the model allows it, else processes; what the job file says goes first.

    One of either for little input, and never more processes than slices.
    """
    cores, size = len(os.sched_getaffinity(0)), sum(piece.bytes for piece in slices)
    workers, threads = run.workers, run.threads
    if threads == "auto":
        by_threads = is_thread_safe and workers in {"auto", 1} and size >= _WORTH_THREADS_BYTES
        threads = cores if by_threads else 1
    if workers == "auto":
        by_workers = not is_thread_safe and threads == 1 and size >= _WORTH_WORKERS_BYTES
        workers = cores if by_workers else 1
    return Parallelism(max(1, min(workers, len(slices))), threads)


def use_one_heap(input_format: str) -> None:
    """Let what one thread gives back serve the others; to be called before Arrow is imported.

    By default every thread has a heap of its own, and Arrow one more, each of which keeps the most
    it ever held. Most of Arrow's buffers are few and large, and may come from the one heap.
    Those of CSV are many and of every size, and would leave ever more holes in it: they keep
    their own. An operator's own ARROW_DEFAULT_MEMORY_POOL is respected.
    """
    import ctypes

    if input_format != "csv":
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # Only the GNU library has it.
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)


def bytes_for_chunk(limit: int, *, threads: int) -> int:
    """How large a chunk may be as it is read, so that this process stays below a limit.

    What the process holds already, with the model in it, is not counted twice; so it is asked
    when the model is loaded.
    """
    left = limit - _held() - threads * _READER_BYTES
    # Every slice reads one, one waits for each lane, and as many are at work.
    return max(_LEAST_BYTES, left // (2 * threads + 1 + threads * _COPIES))


def _held() -> int:
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
