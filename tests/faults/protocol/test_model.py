"""The commit protocol, explored exhaustively within small bounds; see `tests/faults/protocol/model.py`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.protocol.explorer import FIRST, Scenario, explore
from tests.faults.protocol.upkeep import RULES
from tests.faults.protocol.world import Entry, Name, Part, Planned, Slice

RUN = ("run", (0,))
#: Back to version 1, and after a while unpause.
ROLLBACK = ("rollback", (1,))
PRUNE = ("prune", ())
#: Gives up every plan: a person does, and so does the end of any run.
GIVE_UP = ("clear", ())
READER = ("read", (1,))


def sends(*changes: tuple[int, int]) -> tuple[str, tuple[Any, ...]]:
    """A producer that sends inputs, each with this content."""
    return "change", (changes,)


def left_behind(*slices: tuple[int, ...]) -> tuple[tuple[Name, Any], ...]:
    """What a run leaves that crashed long ago: a plan, and all of its slices done."""
    items: list[tuple[Name, Any]] = []
    plan = []
    for number, inputs in enumerate(slices):
        part = Part(f"X1.0/{number}", "X1", frozenset((one, 0) for one in inputs))
        planned = tuple(Planned(one, 0, None) for one in inputs)
        plan.append(Slice(("receipt", ("X1.0", number)), planned))
        items += [(plan[-1].receipt, part), (("part", part.path), part)]
    return (*items, (("plan", "X1.0"), tuple(plan)))


PACKED = Part("P0.0/0", "P0", frozenset({(1, 0), (2, 0)}))
TOGETHER = FIRST._replace(
    files=frozenset({PACKED}),
    ledger=frozenset(Entry(*row, PACKED.path, "P0.0") for row in PACKED.rows),
)

#: Each with a number of states that it must at least have: fewer, and little was explored.
SCENARIOS = {
    "crash, late request": (Scenario((RUN, RUN), crashes=1, late=1), 70_000),
    "lost answer, late request": (Scenario((RUN, RUN), lost=1, late=1), 18_000),
    "crash, lost answer": (Scenario((RUN, RUN), crashes=1, lost=1), 50_000),
    "crash, reader": (Scenario((RUN, RUN, READER), crashes=1), 45_000),
    "an input arrives": (Scenario((RUN, RUN, sends((2, 0))), lost=1), 25_000),
    "one of two packed inputs changes": (
        Scenario((RUN, RUN, sends((2, 1))), first=TOGETHER, inputs=((1, 1), (2, 0))),
        9_000,
    ),
    "a changed input changes again": (
        Scenario((RUN, RUN, sends((1, 2))), first=TOGETHER, inputs=((1, 1), (2, 1))),
        7_500,
    ),
    "rollback": (Scenario((RUN, RUN, ROLLBACK)), 140_000),
    "rollback, crash, reader": (
        Scenario((RUN, ROLLBACK, READER), crashes=1, late=1),
        25_000,
    ),
    "overtaken by versions that are pruned": (
        Scenario((RUN, ("renew", (2,)), PRUNE), kept=1),
        55_000,
    ),
    "replaced and pruned": (
        Scenario(
            (RUN, PRUNE, ROLLBACK, ("read", (0,))),
            first=TOGETHER,
            inputs=((1, 1), (2, 0)),
            kept=1,
            walks=True,
        ),
        8_000,
    ),
    "old plan, runs that see different inputs": (
        Scenario(
            (RUN, RUN, sends((1, 0)), PRUNE), inputs=((2, 0),), pending=left_behind((1,), (2,))
        ),
        150_000,
    ),
    "old plan, crash": (
        Scenario((RUN, RUN, PRUNE), pending=left_behind((1,)), crashes=1, late=1),
        38_000,
    ),
    "old plan, given up": (
        Scenario((RUN, GIVE_UP, PRUNE), pending=left_behind((1,)), crashes=1, late=1),
        50_000,
    ),
    "old plan, rollback": (
        Scenario((RUN, ROLLBACK, PRUNE, READER), pending=left_behind((1,)), walks=True),
        55_000,
    ),
}

#: What breaks, by the rule that is broken, and where it shows.
BUGS = {
    "a manifest is overwritten": ("old plan, crash", "gone or another one"),
    "a part is deleted when its receipt is not there": (
        "lost answer, late request",
        "no such part",
    ),
    "a plan given up is forgotten at once": ("old plan, given up", "no such part"),
    "inputs of another's plan are left to it": ("crash, lost answer", "does not take in every"),
    "pointer before manifest": ("crash, late request", "never committed"),
    "prune ignores age": ("old plan, given up", "no such part"),
    "prune leaves the pointer behind": ("overtaken by versions that are pruned", "inputs are lost"),
    "prune lists candidates last": ("replaced and pruned", "no such part"),
    "prune lists manifests before plans": ("old plan, given up", "no such part"),
    "pruned numbers count": ("overtaken by versions that are pruned", "inputs are lost"),
    "receipt before part": ("crash, late request", "no such part"),
    "rollback to what is not kept": ("replaced and pruned", "no such part"),
    "runs go on while paused": ("rollback, crash, reader", "although it is paused"),
    "slices are kept in part": ("an input arrives", "predicted twice"),
    "slices are not compared with the ledger": ("a changed input changes again", "comes back"),
    "the draft is not made anew": ("an input arrives", "predicted twice"),
    "the next number after a lost answer": ("lost answer, late request", "not drafted from"),
    "the pointer is moved without comparing": ("rollback, crash, reader", "the pointer goes back"),
}

#: Rules that save work or tell the truth; nothing is lost or published twice without them.
SECOND_LINES = {
    # Two runs that do one slice: each looks only at its own part, and one of them commits.
    "a receipt is overwritten": "crash, late request",
    # It makes `discard` hold for a run that is at work already.
    "commit without a look at the plan": "old plan, given up",
    # No slice of the run fits any more, so it finds nothing to publish.
    "one's own run is not recognised": "lost answer, late request",
    # The run is found in the ledger.
    "one's own write is taken for another's": "lost answer, late request",
    # Whoever looks for the newest version begins at the pointer, which is past the gap.
    "prune deletes the newest manifests first": "overtaken by versions that are pruned",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_promise_holds_in_every_state(name: str) -> None:
    """Whatever crashes, is lost, is late, or happens at the same time."""
    scenario, at_least = SCENARIOS[name]
    result = explore(scenario)
    assert not result.violation, "\n".join(["", *result.trace, result.violation])
    assert result.states >= at_least


@pytest.mark.parametrize("rule", BUGS)
def test_a_broken_rule_is_found(rule: str) -> None:
    """So the model is strong enough to need it."""
    name, message = BUGS[rule]
    result = explore(SCENARIOS[name][0], {rule})
    assert message in result.violation


@pytest.mark.parametrize("rule", SECOND_LINES)
def test_without_a_second_line_of_defence_the_promise_still_holds(rule: str) -> None:
    """The protocol rests on as few rules as that."""
    result = explore(SCENARIOS[SECOND_LINES[rule]][0], {rule})
    assert not result.violation, "\n".join(["", *result.trace, result.violation])
    assert result.states > 10_000


def test_every_rule_is_accounted_for() -> None:
    """Each is needed, or said not to be."""
    assert {*BUGS, *SECOND_LINES} == RULES
    assert not BUGS.keys() & SECOND_LINES.keys()


def test_every_fault_leads_to_more_states() -> None:
    """A run that is alone: it crashes, an answer is lost, a request is carried out late."""
    alone = explore(Scenario((RUN,))).states
    assert alone < explore(Scenario((RUN,), lost=1)).states
    crashing = explore(Scenario((RUN,), crashes=1)).states
    assert alone < crashing < explore(Scenario((RUN,), crashes=1, late=1)).states


def test_a_violation_comes_with_the_shortest_way_to_it() -> None:
    """One step a line, in words."""
    result = explore(SCENARIOS["crash, reader"][0], {"pointer before manifest"})
    assert result.trace == (
        "A1 reads the newest version",
        "A1 lists every input",
        "A1 lists every plan and receipt and note",
        "A1 creates plan A1.0: slices of [[1]]",
        "A1 creates part A1.0/0-A1.0: A1.0/0-A1.0",
        "A1 creates receipt A1.0/0: A1.0/0-A1.0",
        "A1 lists every plan and note",
        "A1 reads pointer",
    )
    assert result.violation == (
        "A1 moves the pointer to version 2, a run, oldest kept 1: A1.0/0-A1.0: "
        "the pointer names version 2, which was never committed"
    )
