"""Threads side by side: in order, bounded, and all of them over when one fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from batch.run.predict.threads import Abandoned, Lanes

every_number = pytest.mark.parametrize("threads", [1, 2, 5])


@every_number
def test_results_come_in_the_order_of_the_tasks(threads: int) -> None:
    """However long each takes."""

    def task(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    with Lanes(threads) as lanes:
        found = list(lanes.in_order(partial(task, number) for number in range(50)))
    assert found == list(range(50))


def test_tasks_run_at_the_same_time() -> None:
    """Two that wait for each other both end."""
    meeting = threading.Barrier(2, timeout=10)
    with Lanes(2) as lanes:
        assert sorted(lanes.in_order([meeting.wait, meeting.wait])) == [0, 1]


@pytest.mark.parametrize("threads", [2, 5])
def test_what_is_begun_is_bounded_for_all_slices_together(threads: int) -> None:
    """One for each lane, one more that waits, and one for each slice that takes it."""
    lock, held, most = threading.Lock(), 0, 0

    def begin() -> Iterator[Callable[[], None]]:
        nonlocal held, most
        for _ in range(30):
            yield lambda: time.sleep(0.001)
            with lock:
                held += 1
                most = max(most, held)

    def work(_: int) -> None:
        nonlocal held
        for _ in lanes.in_order(begin()):
            with lock:
                held -= 1

    with Lanes(threads) as lanes:
        list(lanes.side_by_side(work, range(2 * threads)))
    assert most <= threads + 1


@every_number
def test_what_fails_is_raised_when_its_turn_comes(threads: int) -> None:
    """After the results before it; and nothing is left at work."""
    at_work = set[int]()

    def task(number: int) -> int:
        at_work.add(number)
        try:
            time.sleep(0.002)
            return 1 // (5 - number)
        finally:
            at_work.remove(number)

    found = list[int]()
    with Lanes(threads) as lanes:
        with pytest.raises(ZeroDivisionError):
            found.extend(lanes.in_order(partial(task, number) for number in range(50)))
        assert not at_work
        assert list(lanes.in_order([lambda: 7])) == [7]
    assert len(found) == 5


def test_when_one_slice_fails_the_others_end_with_their_chunk() -> None:
    """Nobody predicts to the end of a file for a run that is over."""
    ended = list[type[BaseException]]()
    both = threading.Barrier(2, timeout=10)

    def work(name: str) -> None:
        both.wait()
        if name == "bad":
            raise ValueError(name)
        try:
            for _ in lanes.in_order((lambda: time.sleep(0.001)) for _ in range(100_000)):
                pass
        except BaseException as end:
            ended.append(type(end))
            raise

    with Lanes(2) as lanes, pytest.raises(ValueError, match="bad"):
        list(lanes.side_by_side(work, ["good", "bad"]))
    assert ended == [Abandoned]


@every_number
def test_slices_are_told_of_as_they_are_done(threads: int) -> None:
    """Each once, and no more at a time than lanes."""
    with Lanes(threads) as lanes:
        assert sorted(lanes.side_by_side(lambda item: item * 2, range(20))) == [*range(0, 40, 2)]


def test_libraries_that_come_with_the_model_have_one_thread_too() -> None:
    """A run opens its lanes before it loads the model."""
    script = (
        "from batch.run.predict.threads import Lanes\n"
        "from threadpoolctl import threadpool_info\n"
        "def counts():\n"
        "    return {(one['user_api'], one['num_threads']) for one in threadpool_info()}\n"
        "with Lanes(2) as lanes:\n"
        "    import sklearn.ensemble\n"
        "    found = set().union(*lanes.in_order([counts, counts]))\n"
        "assert {api for api, _ in found} == {'blas', 'openmp'}, found\n"
        "assert {count for _, count in found} == {1}, found\n"
    )
    environment = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)


def test_libraries_get_their_threads_back() -> None:
    """Within a lane they have one."""
    from threadpoolctl import threadpool_info

    def counts() -> set[int]:
        return {library["num_threads"] for library in threadpool_info()}

    import sklearn.ensemble  # noqa: F401  # Brings OpenMP.

    before = counts()
    with Lanes(2) as lanes:
        assert set().union(*lanes.in_order([counts, counts])) == {1}
    assert counts() == before
