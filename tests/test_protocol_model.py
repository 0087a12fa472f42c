"""The commit protocol, explored exhaustively within small bounds; see `tests/protocol_model.py`."""

from __future__ import annotations

from typing import Any

from tests.protocol_explorer import FIRST, Scenario
from tests.protocol_world import Entry, Name, Part, Planned, Slice

RUN = ("run", (0,))
#: Back to version 1, and after a while unpause.
ROLLBACK = ("rollback", (1,))
PRUNE = ("prune", ())
#: Gives up every plan: a person does, and so does the end of any run.
DISCARD = ("clear", ())
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
PACKED_TOGETHER = FIRST._replace(
    files=frozenset({PACKED}),
    ledger=frozenset(Entry(*row, PACKED.path, "P0.0") for row in PACKED.rows),
)

#: Each with a number of states that it must at least reach: fewer mean that little was explored.
SCENARIOS = {
    "two runs, a crash, a late request": (Scenario((RUN, RUN), crashes=1, late=1), 70_000),
    "two runs, a lost answer, a late request": (Scenario((RUN, RUN), lost=1, late=1), 18_000),
    "two runs, a crash, a lost answer": (Scenario((RUN, RUN), crashes=1, lost=1), 50_000),
    "two runs, a crash, a reader": (Scenario((RUN, RUN, READER), crashes=1), 45_000),
    "an input arrives": (Scenario((RUN, RUN, sends((2, 0))), lost=1), 25_000),
    "packed inputs are sent again": (
        Scenario((RUN, RUN, sends((2, 1))), first=PACKED_TOGETHER, inputs=((1, 1), (2, 0))),
        9_000,
    ),
    "packed inputs are sent again, twice": (
        Scenario((RUN, RUN, sends((1, 2))), first=PACKED_TOGETHER, inputs=((1, 1), (2, 1))),
        7_500,
    ),
    "two runs, a rollback": (Scenario((RUN, RUN, ROLLBACK)), 140_000),
    "a rollback, a crash, a late request, a reader": (
        Scenario((RUN, ROLLBACK, READER), crashes=1, late=1),
        25_000,
    ),
    "a run that is overtaken by versions that are pruned": (
        Scenario((RUN, ("renew", (2,)), PRUNE), kept=1),
        55_000,
    ),
    "a part is replaced and pruned, a reader and a rollback come late": (
        Scenario(
            (RUN, PRUNE, ROLLBACK, ("read", (0,))),
            first=PACKED_TOGETHER,
            inputs=((1, 1), (2, 0)),
            kept=1,
            walks=True,
        ),
        700,
    ),
    "an old plan, two runs that see different inputs, prune": (
        Scenario(
            (RUN, RUN, sends((1, 0)), PRUNE), inputs=((2, 0),), pending=left_behind((1,), (2,))
        ),
        150_000,
    ),
    "an old plan, two runs, a crash, a late request, prune": (
        Scenario((RUN, RUN, PRUNE), pending=left_behind((1,)), crashes=1, late=1),
        38_000,
    ),
    "an old plan is given up and pruned, a crash, a late request": (
        Scenario((RUN, DISCARD, PRUNE), pending=left_behind((1,)), crashes=1, late=1),
        50_000,
    ),
    "an old plan, a rollback, prune, a reader": (
        Scenario((RUN, ROLLBACK, PRUNE, READER), pending=left_behind((1,)), walks=True),
        55_000,
    ),
}

_CRASH, _LOST, _READER, _ARRIVES, _PACKED, _TWICE, _ROLLBACK = list(SCENARIOS)[1:8]
