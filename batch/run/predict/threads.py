"""Threads of this process: slices side by side, and chunks of every slice side by side.

Trees, NumPy and Arrow let other threads run while they compute, and threads share the model and
cost no imports, where worker processes take a second each and memory of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import islice
from typing import Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Abandoned(BaseException):
    """The run is over for another reason. No `Exception`: nothing is to be made of it."""


class Lanes:
    """So many threads that compute; with one, everything happens in the thread that calls.

    Chunks in memory are bounded for all slices together: one for each thread that computes, one
    more for each that reads, and one that waits.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._room = threading.Semaphore(threads + 1)
        self._is_over = threading.Event()
        self._open = ExitStack()
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._open.close()

    def side_by_side(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """What becomes of each item, as they are done. The first exception ends all of them."""
        return map(work, items) if self._started() is None else self._threaded(work, items)

    def _threaded(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        left = iter(items)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="slice") as executor:
            try:
                running = {executor.submit(work, item) for item in islice(left, self._threads)}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        running |= {executor.submit(work, item) for item in islice(left, 1)}
                        yield future.result()
            except BaseException:
                self._is_over.set()  # The others end with their next chunk.
                raise

    def in_order(self, tasks: Iterable[Callable[[], Result]]) -> Iterator[Result]:
        """The result of every task, in order, while later ones are at work already.

        The tasks are made in the thread that asks. Raises the first exception, when all that was
        begun is over.
        """
        lanes = self._started()
        if lanes is None:
            yield from (task() for task in tasks)
            return
        begun = deque[Future[Result]]()
        try:
            for task in tasks:
                # Without room, take what is ours first: others may wait for it.
                while not self._room.acquire(blocking=not begun):
                    yield self._take(begun)
                if self._is_over.is_set():
                    self._room.release()
                    raise Abandoned
                begun.append(lanes.submit(task))
            while begun:
                yield self._take(begun)
        finally:
            for future in begun:
                future.cancel()
            wait(begun)
            for _ in begun:
                self._room.release()

    def _started(self) -> ThreadPoolExecutor | None:
        """The lanes, from the first work on: by then the model has brought its libraries."""
        if self._threads > 1 and self._executor is None:
            from threadpoolctl import ThreadpoolController

            # As many lanes as cores leave no cores for threads within the libraries. BLAS counts
            # for the process, OpenMP for each thread that calls.
            libraries = ThreadpoolController()
            self._open.enter_context(libraries.limit(limits=1, user_api="blas"))
            self._executor = self._open.enter_context(
                ThreadPoolExecutor(
                    self._threads,
                    thread_name_prefix="lane",
                    initializer=lambda: libraries.limit(limits=1, user_api="openmp"),
                )
            )
        return self._executor

    def _take(self, begun: deque[Future[Result]]) -> Result:
        future = begun.popleft()
        try:
            return future.result()
        finally:
            self._room.release()
