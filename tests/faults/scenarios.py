"""What is done to an output while something goes wrong: every scenario."""

from __future__ import annotations

from typing import Any

from batch.inputs.pack import Packing
from batch.logs import utc_now
from batch.output.retention import Retention
from tests.faults.bench import RUN, Command, Scenario, run
from tests.faults.commands import (
    DISCARD,
    PRUNE,
    PUBLISH,
    RELAXED_RUN,
    REPAIR,
    UNPAUSE,
    a_backfill_rewrites,
    a_run_rewrites,
    an_hour_ago,
    beaten,
    filling_back,
    meeting,
    rolling_back,
)
from tests.faults.starts import (
    adding,
    aged,
    changing,
    configured,
    flip_a_part,
    held,
    interrupted,
    just_before_the_pointer,
    long_ago,
    published,
    sending_again,
    then,
)
from tests.faults.watching import Judged, Taken

#: Two inputs a part, so that few inputs make several slices and parts that are packed.
PACKED = Packing(packed_inputs=2)
FOLDED = Retention(segments=2)
FORGETFUL = Retention(versions=2)


BACK_AND_FORTH = (rolling_back(1), UNPAUSE, RUN)


def _dropped(judged: Judged | None, present: Taken) -> None:
    """What is older than the window is remembered, without its records."""
    assert judged
    digest, _ = present["a.csv"]
    assert judged.taken == present | {"a.csv": (digest, 0)}


def _may_be_dropped(judged: Judged | None, present: Taken) -> None:
    """That it could not be dropped yet is no reason to fail a run."""
    assert judged
    if judged.taken != present:
        _dropped(judged, present)


IN_WINDOW = Command(run, _dropped)
WINDOW = {"path": "out", "window": "90d"}
REPLACE = {"path": "out", "mode": "replace"}
NOTHING_RETAINED = {"path": "out", "retain": "0s"}

UNKEPT: dict[str, Any] = {"keeps_work": False}

SCENARIOS = (
    Scenario("first-run", adding("abc"), packing=PACKED, points=(50, 15, 12)),
    Scenario("incremental", then(published("ab"), adding("cd"))),
    Scenario("rewrite", then(published("abcd"), changing("b")), packing=PACKED),
    Scenario("sent-again", then(published("abc"), sending_again("a"), changing("b"))),
    Scenario("replace", then(configured(output=REPLACE), published("ab"), adding("c"))),
    Scenario("resume", then(published("ab"), adding("cdef"), interrupted), packing=PACKED),
    Scenario(
        "resume-with-more",
        then(published("ab"), adding("cdef"), interrupted, changing("e"), adding("g")),
        packing=PACKED, points=(40, 15, 11),
    ),
    Scenario(
        "lost-race", then(published("abc"), changing("a")), [beaten(an_hour_ago)],
        points=(40, 14, 12), **UNKEPT,
    ),
    Scenario(
        "lost-race-and-plan", then(published("abc"), changing("a")), [beaten(utc_now)],
        points=(55, 18, 16), **UNKEPT,
    ),
    Scenario(
        "rollback", published("a", "b", "c"), BACK_AND_FORTH, BACK_AND_FORTH,
        points=(65, 16, 14), **UNKEPT,
    ),
    Scenario(
        "discard", held, [DISCARD, RELAXED_RUN], [DISCARD, RELAXED_RUN],
        points=(50, 14, 10), **UNKEPT,
    ),
    Scenario(
        "prune",
        then(
            configured(output=NOTHING_RETAINED), published("a", "b", "c", "d"), adding("e"),
            just_before_the_pointer, aged,
        ),
        [PRUNE], [PRUNE, RUN], retention=FORGETFUL, points=(25, 5, 1),
    ),
    Scenario("backfill", published("ab", "c"), [filling_back("*")], [filling_back("*")], **UNKEPT),
    Scenario(
        "backfill-while-a-run-publishes", published("abc"),
        [meeting(filling_back("a.csv", "c.csv"), a_run_rewrites)],
        [filling_back("a.csv", "c.csv"), RUN], **UNKEPT,
    ),
    Scenario(
        "run-while-a-backfill-publishes", then(published("abc"), changing("a")),
        [meeting(RUN, a_backfill_rewrites)], **UNKEPT,
    ),
    Scenario("publish", held, [PUBLISH], [RELAXED_RUN], points=(28, 9, 5)),
    Scenario("folding", then(published("a", "b"), changing("a"), adding("c")), retention=FOLDED),
    Scenario(
        "window",
        then(adding("a"), long_ago, published("", "b"), configured(output=WINDOW), adding("c")),
        [Command(run, _may_be_dropped)], [IN_WINDOW], points=(40, 13, 11),
    ),
    Scenario(
        "repair", published("ab", "c"), [REPAIR, RUN], [REPAIR, RUN],
        damage=flip_a_part, points=(60, 14, 12), **UNKEPT,
    ),
)  # fmt: skip
