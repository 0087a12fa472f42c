"""Every system call at which a real command can die or be refused: the scenarios, and all of it.

A scenario brings a job to where one command starts. Each needs a folder of its own, and
BATCH_PREDICT_STATE set to a folder that nobody else uses.
"""

from __future__ import annotations

from typing import TypeVar

from tests.faults.kill_bench import Bench, ErrorPoint, Scenario
from tests.faults.system_calls import Call

Point = TypeVar("Point", Call, ErrorPoint)
#: Blank lines are no records; a file of so many shares its slice with no other.
_ALONE = b"\n" * (4 << 20)


def spread(points: list[Point], count: int) -> list[Point]:
    """So many of these points, equally far apart, each from the middle of its stretch."""
    return [points[(2 * index + 1) * len(points) // (2 * count)] for index in range(count)]


def _first_run(bench: Bench) -> None:
    """Two inputs and a reject; there is no output yet."""
    bench.job.add("1.csv", [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)])
    bench.job.add("2.csv", [("d", 2, 2), ("e", "oops", 1)])


def _changed_input(bench: Bench) -> None:
    """An input in a part that it shares has another content, and one is new."""
    _first_run(bench)
    bench.job.run()
    bench.job.add("1.csv", [("a", 9, 9)])
    bench.job.add("3.csv", [("f", 1, 0), ("g", 0, 1)])


def _interrupted_run(bench: Bench) -> None:
    """Of two slices one was done when the run was killed; then an input came."""
    bench.job.configure(run={"threads": 1})  # One call after the other, the same every time.
    bench.job.add("0.csv", [("z", 1, 1)])
    bench.job.run()
    for name in ("1.csv", "2.csv"):
        rows = bench.job.add(name, [(f"{name}-a", 1, 2), (f"{name}-b", 3, 4)]).read_bytes()
        bench.job.write(name, rows + _ALONE)
    bench.keep()
    calls = bench.trace().calls
    receipt = next(call for call in calls if call.paths and call.paths[-1].endswith("/00000.json"))
    # It was about to note what it predicts next: nothing was in flight.
    noting = next(
        call
        for call in calls[calls.index(receipt) :]
        if call.name == "write" and call.paths[0].endswith(".lock")
    )
    assert bench.trace(noting.fault("signal=KILL")).exit_code == -9
    bench.job.add("3.csv", [("f", 1, 0)])


def _version_to_leave(bench: Bench) -> None:
    """Two versions; the second one is to be undone."""
    _changed_input(bench)
    bench.job.run()


def _paused(bench: Bench) -> None:
    """Rolled back to the first of two versions."""
    _version_to_leave(bench)
    assert bench.job.command("rollback", str(bench.job.folder)).returncode == 0


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first run", _first_run, records=5),
        Scenario("changed input", _changed_input, records=5),
        Scenario("interrupted run", _interrupted_run, records=6),
        Scenario("rollback", _version_to_leave, records=5, command="rollback", then=("unpause",)),
        Scenario("unpause", _paused, records=5, command="unpause", then=("unpause",)),
    )
}
