"""Whatever goes wrong at whichever operation of the store, the promise holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from tests.faults.bench import Bench, Round, Scenario, crashes
from tests.faults.faulty import EFFECTS, EVERYTHING, FAULTS, Fault, Injector, Operation
from tests.faults.scenarios import SCENARIOS


def points(scenario: Scenario, fault: Fault) -> int:
    """How many operations of a scenario a fault can strike, at least."""
    everything, effects, writes = scenario.points
    return {EVERYTHING: everything, EFFECTS: effects}.get(fault.verbs, writes)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_promise_holds_whichever_operation_goes_wrong(
    scenario: Scenario,
    fault: Fault,
    bench: Bench,
    record_property: Callable[[str, object], None],
) -> None:
    """Each operation in turn: nothing is lost, nothing is twice, and running again mends it."""
    struck = next(at for at in count(1) if not strike(bench.start(scenario), fault, at)) - 1
    record_property("points", struck)
    assert struck >= points(scenario, fault)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_readers_see_whole_versions_at_every_moment(scenario: Scenario, bench: Bench) -> None:
    """Before each operation of the store, and never an older one than before."""
    watched = bench.start(scenario)

    @contextmanager
    def look(_operation: Operation) -> Iterator[None]:
        watched.watcher.look()
        yield

    assert watched.perform(scenario.commands, look) == 0
    watched.end()


def test_there_are_more_than_a_thousand_points() -> None:
    """What each test finds at least, in all."""
    assert sum(points(scenario, fault) for scenario in SCENARIOS for fault in FAULTS) > 2_000


def strike(struck: Round, fault: Fault, at: int) -> bool:
    """Let the N-th operation go wrong; whether there was such an operation."""
    injector, codes = Injector(fault, at), list[int]()
    crashed = crashes(
        lambda: codes.append(struck.perform(struck.scenario.commands, injector.around))
    )
    assert crashed == (injector.has_struck and fault.how == "crash")
    # 69: no answer. 75: try again.
    assert set(codes) <= ({0, 69, 75} if injector.has_struck else {0})
    if crashed:
        struck.watcher.look()
    struck.end()
    return injector.has_struck
