"""Whatever goes wrong between us and S3, the promise holds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import count

import pytest

from batch.logs import utc_now
from batch.store import s3client
from tests.faults.bench import RUN, Command, Round, Scenario
from tests.faults.commands import beaten
from tests.faults.s3_strikes import OBJECTS, TORTURE, Mixture, S3Bench, Strike, Trouble
from tests.faults.scenarios import PACKED, adding, changing, interrupted, published, then
from tests.support.proxy import Fault

#: How many requests each trouble strikes where there is not time for all.
SAMPLE = 1
GONE = frozenset({0, 69, 75})
#: Where a server may say that a name is taken, and lie. Names of models are hashes: there, to be
#: taken is as good as to be written.
TAKEN = r"^PUT (?!.*/models/)"

TROUBLES = (
    # What a repetition mends is not even seen.
    Trouble("500 once", Fault("answer", 500)),
    Trouble("503 once", Fault("answer", 503)),
    Trouble("409 once", Fault("answer", 409), only="^PUT"),
    Trouble("closed once", Fault("close")),
    Trouble("answer lost once", Fault("lose")),
    Trouble("half an answer once", Fault("truncate")),
    Trouble("cut head once", Fault("behead")),
    Trouble("flipped bit once", Fault("flip"), only=OBJECTS),
    Trouble("late once", Fault("delay", seconds=0.02)),
    Trouble("500 to one request", Fault("answer", 500), "request", GONE),
    Trouble("409 to one request", Fault("answer", 409), "request", GONE, "^PUT"),
    Trouble("one request closed", Fault("close"), "request", GONE),
    Trouble("answers to one request lost", Fault("lose"), "request", GONE),
    Trouble("half answers to one request", Fault("truncate"), "request", GONE),
    Trouble("cut heads to one request", Fault("behead"), "request", GONE),
    Trouble("cut heads from now on", Fault("behead"), "store", GONE),
    Trouble("flipped bits in one object", Fault("flip"), "request", GONE, OBJECTS),
    Trouble("412 to one request", Fault("answer", 412), "request", GONE, TAKEN),
    Trouble("403 to one request", Fault("answer", 403), "request", frozenset({0, 77})),
    Trouble("503 from now on", Fault("answer", 503), "store", GONE),
    Trouble("closed from now on", Fault("close"), "store", GONE),
    Trouble("answers lost from now on", Fault("lose"), "store", GONE),
    Trouble("403 from now on", Fault("answer", 403), "store", frozenset({0, 77})),
    Trouble("412 from now on", Fault("answer", 412), "store", GONE, TAKEN),
)
WEATHER = [
    trouble.fault
    for trouble in TROUBLES
    if trouble.lasts == "once" and trouble.fault.kind != "delay"
]
SILENT = Trouble("silent once", Fault("stall", seconds=60))


@pytest.fixture
def impatient(s3: S3Bench) -> Iterator[None]:  # noqa: ARG001  # It talks to that server.
    """Answers must come within a second."""
    s3client.connect(read_timeout_seconds=1)
    yield
    s3client.disconnect()


FIRST = Scenario("first-run", adding("abc"), packing=PACKED)
INCREMENTAL = Scenario("incremental", then(published("ab"), adding("cd")))
LOST_RACE = Scenario("lost-race", then(published("abc"), changing("a")), keeps_work=False)
RESUME = Scenario("resume", then(published("ab"), adding("cdef"), interrupted), packing=PACKED)
SCENARIOS = (FIRST, INCREMENTAL, LOST_RACE, RESUME)

#: Every scenario with every trouble; without time for all, most troubles with one of them.
PAIRS = [
    pytest.param(scenario, trouble, id=f"{scenario.name}-{trouble.name.replace(' ', '-')}")
    for row, scenario in enumerate(SCENARIOS)
    for column, trouble in enumerate(TROUBLES)
    if TORTURE or (column % len(SCENARIOS) == row and column % 3)
]


def begin(s3: S3Bench, scenario: Scenario) -> tuple[Round, tuple[Command, ...]]:
    """A fresh start, and what is done then."""
    begun = s3.start(scenario)
    return begun, (beaten(utc_now, meanwhile=s3.proxy.quiet) if scenario is LOST_RACE else RUN,)


def requests_of(s3: S3Bench, scenario: Scenario, trouble: Trouble) -> int:
    """How many requests of a scenario a trouble can strike."""
    if scenario.name not in _requests:
        begun, commands = begin(s3, scenario)
        assert begun.perform(commands) == 0
        _requests[scenario.name] = [request.name for request in s3.proxy.requests]
    return sum(bool(re.search(trouble.only, name)) for name in _requests[scenario.name])


_requests: dict[str, list[str]] = {}


def strike(s3: S3Bench, scenario: Scenario, trouble: Trouble, at: int) -> bool:
    """Let the N-th request go wrong; whether there was such a request."""
    begun, commands = begin(s3, scenario)
    s3.proxy.decide = strike = Strike(trouble, at)
    code = begun.perform(commands)
    s3.proxy.reset()
    assert not strike.is_endless, (at, strike.first)
    assert code in (trouble.codes if strike.first else {0}), (code, at, strike.first)
    begun.end()
    return bool(strike.first)


@pytest.mark.parametrize(("scenario", "trouble"), PAIRS)
def test_the_promise_holds_whichever_request_goes_wrong(
    scenario: Scenario, trouble: Trouble, s3: S3Bench
) -> None:
    """Each request in turn: nothing is lost, nothing is twice, and running again mends it."""
    if TORTURE:
        assert next(at for at in count(1) if not strike(s3, scenario, trouble, at)) > 5
        return
    chosen = random.Random(f"{scenario.name} {trouble.name}")
    for at in chosen.sample(range(1, requests_of(s3, scenario, trouble) + 1), SAMPLE):
        assert strike(s3, scenario, trouble, at)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "scenario", SCENARIOS if TORTURE else (RESUME,), ids=lambda scenario: scenario.name
)
def test_an_answer_that_does_not_come_is_not_waited_for(scenario: Scenario, s3: S3Bench) -> None:
    """It is asked for again, and the run ends well."""
    chosen = range(1, requests_of(s3, scenario, SILENT) + 1)
    for at in chosen if TORTURE else random.Random(scenario.name).sample(chosen, 1):
        assert strike(s3, scenario, SILENT, at)


@pytest.mark.parametrize("seed", range(20 if TORTURE else 1))
@pytest.mark.parametrize("share", [0.05, 0.15, 0.35])
@pytest.mark.parametrize(
    "scenario", SCENARIOS if TORTURE else (RESUME,), ids=lambda scenario: scenario.name
)
def test_the_promise_holds_when_anything_goes_wrong_at_any_time(
    scenario: Scenario, share: float, seed: int, s3: S3Bench
) -> None:
    """Several runs in bad weather, and one when it has cleared up."""
    begun, commands = begin(s3, scenario)
    s3.proxy.decide = Mixture(WEATHER, share, seed)
    for _ in range(3):
        assert begun.perform(commands) in GONE
        commands = (RUN,)
    s3.proxy.reset()
    begun.end()
