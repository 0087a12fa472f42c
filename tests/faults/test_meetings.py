"""Two at work on one output: one does all of its work between any two operations of the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from batch.job.job_file import load_job
from batch.output.read import Retention
from batch.run.runner import run as run_job
from tests.faults.bench import (
    RUN,
    Bench,
    Command,
    Folder,
    OpenOutput,
    Round,
    Scenario,
    crashes,
)
from tests.faults.bench import run as a_run
from tests.faults.commands import (
    DISCARD,
    PRUNE,
    PUBLISH,
    RELAXED_RUN,
    REPAIR,
    UNPAUSE,
    an_hour_ahead,
    filling_back,
    rolling_back,
    without,
)
from tests.faults.faulty import FAULTS, Injector, Turn
from tests.faults.scenarios import (
    FORGETFUL,
    IN_WINDOW,
    NOTHING_RETAINED,
    PACKED,
    WINDOW,
    adding,
    aged,
    changing,
    configured,
    flip_a_part,
    held,
    interrupted,
    just_before_the_plan,
    long_ago,
    published,
    then,
)
from tests.faults.watching import Judged, Taken

#: Those after which somebody may have to do the work of two that died.
CRASH = FAULTS[0]


@dataclass(frozen=True)
class Meeting:
    """A scenario, and what another host does meanwhile; the exit codes that both may give.

    With `ends_paused`, the last version must be paused then, whoever was quicker.
    """

    scenario: Scenario
    other: Sequence[Command]
    codes: Collection[int] = (0,)
    other_codes: Collection[int] = (0,)
    ends_paused: bool = False
    points: int = 30


#: A run that somebody may undo before it returns: its exit code says only that it was published.
UNCLAIMED_RUN = Command(a_run)


def _more_arrives(job: Folder, _: OpenOutput) -> int:
    job.add_inputs("d")
    job.change("a")
    return 0


def _two_runs_without_c(job: Folder, open_output: OpenOutput) -> int:
    codes = []
    for name in "de":
        job.add_inputs(name)
        loaded = without(load_job(str(job.folder)), "c.csv")
        codes.append(run_job(loaded, job.options(open_output=open_output)).exit_code)
    return max(codes)


def _run_with_a_clock_ahead(job: Folder, open_output: OpenOutput) -> int:
    return job.run(open_output=open_output, clock=an_hour_ahead).exit_code


def _holds_c(judged: Judged | None, present: Taken) -> None:
    assert judged
    assert judged.taken["c.csv"] == present["c.csv"]


#: Its plan looks younger than the runs of others, which therefore do not clear it.
RUN_AHEAD = Command(_run_with_a_clock_ahead, _holds_c)
RUN_OF_C = Command(a_run, _holds_c)
ARRIVAL = Command(_more_arrives)
TWO_RUNS_WITHOUT_C = Command(_two_runs_without_c)

CHANGING_B = then(published("abc"), changing("b"), adding("d"))
RESUMED = then(published("ab"), adding("cdef"), interrupted, aged)
RESUMED_WITH_MORE = then(
    published("ab"), adding("cdef"), interrupted, changing("e"), adding("g"), aged
)
TWO_PARTS = then(published("ab", "c"), adding("d"))
BEHIND = then(published("a", "b"), adding("c"))
GOES_ON = then(published("ab"), adding("cdef"), interrupted)
AGELESS = Retention(safe_age=timedelta())
LET_GO_AND_TIDY = (UNPAUSE, RUN, PRUNE)
OUTDATED = then(adding("a"), long_ago, published("", "b"), configured(output=WINDOW), adding("c"))
MODEL_ONLY = then(adding("ab"), just_before_the_plan, aged)
FORGETTING = then(configured(output=NOTHING_RETAINED), published("a", "b", "c", "d"), aged)


def meets(
    name: str, prepare: Callable[[Folder], None], commands: Sequence[Command],
    again: Sequence[Command], other: Sequence[Command], *, codes: Collection[int] = (0,),
    other_codes: Collection[int] = (0,), ends_paused: bool = False, points: int = 30, **more: Any,
) -> Meeting:  # fmt: skip
    """A scenario in which nobody's work need be kept: the other one may have done it already."""
    scenario = Scenario(name, prepare, commands, again, keeps_work=False, **more)
    return Meeting(scenario, other, codes, other_codes, ends_paused, points)


PACKING: dict[str, Any] = {"packing": PACKED}
FORGETTING_TOO: dict[str, Any] = {"retention": FORGETFUL}
MORE = RESUMED_WITH_MORE
PAUSES: dict[str, Any] = {"ends_paused": True, "points": 10}
TAKEN: dict[str, Any] = {"codes": (0, 66, 75), "points": 20}

MEETINGS = (
    meets("two-first-runs", adding("abc"), [RUN], [RUN], [RUN], **PACKING),
    meets("two-resuming", RESUMED, [RUN], [RUN], [RUN], **PACKING),
    meets("two-resuming-with-more", MORE, [RUN], [RUN], [RUN], **PACKING),
    meets(
        "run-and-later-run", then(published("ab"), adding("c")), [RUN_OF_C], [RUN], [ARRIVAL, RUN]
    ),
    meets(
        "run-and-rollback", BEHIND, [UNCLAIMED_RUN], [UNPAUSE, RUN], [rolling_back(1)],
        codes=(0, 3), ends_paused=True,
    ),
    meets(
        "rollback-and-run", BEHIND, [rolling_back(1)], [UNPAUSE, RUN], [RUN],
        other_codes=(0, 3), **PAUSES,
    ),
    meets(
        "rollback-and-prune", FORGETTING, [rolling_back(3)], LET_GO_AND_TIDY, [PRUNE],
        **FORGETTING_TOO, **PAUSES,
    ),
    meets(
        "prune-and-rollback", FORGETTING, [PRUNE], LET_GO_AND_TIDY, [rolling_back(3)],
        **FORGETTING_TOO, **PAUSES,
    ),
    meets(
        "rollback-and-what-forgets-its-version", then(FORGETTING, adding("c")), [rolling_back(3)],
        LET_GO_AND_TIDY, [TWO_RUNS_WITHOUT_C, PRUNE],
        codes=(0, 66), other_codes=(0, 3), points=10, **FORGETTING_TOO,
    ),
    meets(
        "run-and-what-forgets-its-version", then(FORGETTING, adding("c")), [RUN_AHEAD], [RUN],
        [TWO_RUNS_WITHOUT_C, PRUNE], **FORGETTING_TOO,
    ),
    meets(
        "run-and-prune", then(FORGETTING, adding("e")), [RUN], [RUN], [PRUNE], **FORGETTING_TOO
    ),
    meets("resuming-and-prune", RESUMED, [RUN], [RUN], [PRUNE], **PACKING),
    meets("resuming-with-more-and-prune", MORE, [RUN], [RUN], [PRUNE], **PACKING),
    meets("prune-and-resuming", RESUMED, [PRUNE], [RUN], [RUN], points=20, **PACKING),
    meets("prune-and-resuming-with-more", MORE, [PRUNE], [RUN], [RUN], points=20, **PACKING),
    # Its order alone makes it safe; the age is for who has no plan yet.
    meets("prune-and-run", BEHIND, [PRUNE], [RUN], [RUN], points=12, retention=AGELESS),
    meets("prune-and-run-goes-on", GOES_ON, [PRUNE], [RUN], [RUN], points=12, retention=AGELESS),
    meets("held-run-and-discard", held, [RELAXED_RUN], [RELAXED_RUN], [DISCARD]),
    meets("discard-and-held-run", held, [DISCARD], [RELAXED_RUN], [RELAXED_RUN], points=3),
    meets("run-and-window", OUTDATED, [UNCLAIMED_RUN], [IN_WINDOW], [UNCLAIMED_RUN]),
    meets(
        "repair-and-run", TWO_PARTS, [REPAIR], [REPAIR, RUN], [UNCLAIMED_RUN], damage=flip_a_part
    ),
    meets(
        "run-and-repair", TWO_PARTS, [UNCLAIMED_RUN], [REPAIR, RUN], [REPAIR], damage=flip_a_part
    ),
    meets("backfill-and-run", CHANGING_B, [filling_back("a.csv", "c.csv")], [RUN], [RUN]),
    meets(
        "run-and-backfill", CHANGING_B, [UNCLAIMED_RUN], [RUN], [filling_back("*")],
        codes=(0, 75), other_codes=(0, 75),
    ),
    meets(
        "backfill-and-prune", CHANGING_B, [filling_back("*")], [RUN], [PRUNE], **FORGETTING_TOO
    ),
    meets("publish-and-run", held, [PUBLISH], [RELAXED_RUN], [RELAXED_RUN], **TAKEN),
    meets("publish-and-discard", held, [PUBLISH], [RELAXED_RUN], [DISCARD], **TAKEN),
    meets("model-and-prune", MODEL_ONLY, [RUN], [RUN], [PRUNE]),
)  # fmt: skip


@pytest.mark.parametrize("met", MEETINGS, ids=lambda met: met.scenario.name)
def test_the_promise_holds_whenever_another_one_comes(
    met: Meeting,
    bench: Bench,
    record_property: Callable[[str, object], None],
) -> None:
    """Before each operation in turn, the other one does all of its work."""
    times = next(at for at in count(1) if not meet(bench.start(met.scenario), met, at)) - 1
    record_property("points", times)
    assert times >= met.points


def meet(round_: Round, met: Meeting, at: int) -> bool:
    """Let the other one act before the N-th operation; whether there was such an operation."""

    def act() -> None:
        assert round_.perform(met.other, host="two") in met.other_codes

    turn = Turn(act, at)
    assert round_.perform(met.scenario.commands, turn.around) in met.codes
    if turn.has_come and met.ends_paused:
        assert round_.judged
        assert round_.judged.manifest["paused"]
    round_.end()
    return turn.has_come


@pytest.mark.parametrize("both", [False, True], ids=["the-other", "both"])
@pytest.mark.parametrize("met", MEETINGS[:3], ids=lambda met: met.scenario.name)
def test_the_promise_holds_when_one_who_comes_dies_too(
    met: Meeting,
    both: bool,
    bench: Bench,
    record_property: Callable[[str, object], None],
) -> None:
    """At some operation; then the first one goes on, or dies a little later."""
    times = next(
        at for at in count(1) if not meet_and_die(bench.start(met.scenario), met, at, both=both)
    )
    record_property("points", times - 1)
    assert times > met.points


def meet_and_die(round_: Round, met: Meeting, at: int, *, both: bool) -> bool:
    """Let the other one act before the N-th operation and die; whether there was one."""
    dying = Injector(CRASH, 1 + 7 * at % 30)
    own_death = Injector(CRASH, at + 1 + 3 * at % 20 if both else 0)

    def act() -> None:
        crashes(lambda: round_.perform(met.other, dying.around, host="two"))
        round_.watcher.look()

    turn, codes = Turn(act, at), list[int]()
    crashes(
        lambda: codes.append(round_.perform(met.scenario.commands, turn.around, own_death.around))
    )
    assert set(codes) <= {*met.codes}
    round_.watcher.look()
    round_.end()
    return turn.has_come
