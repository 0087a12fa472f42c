"""Outputs in some state, and what is done to them while something goes wrong: every scenario."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from batch.logs import utc_now
from batch.output.plan import Packing
from batch.output.read import Retention
from tests.faults.bench import RUN, Command, Folder, Scenario, crashes, run
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
from tests.faults.faulty import Crash, Operation, opening
from tests.faults.watching import Judged, Taken
from tests.support import oracle
from tests.support.jobs import touch
from tests.support.published import flip_byte

#: Two inputs a part, so that few inputs make several slices and parts that are packed.
PACKED = Packing(packed_inputs=2)
FOLDED = Retention(segments=2)
FORGETFUL = Retention(versions=2)
A_DAY = 86400


def published(*batches: str) -> Callable[[Folder], None]:
    """A start with one version for each batch of new inputs."""

    def prepare(job: Folder) -> None:
        for names in batches:
            job.add_inputs(names)
            assert job.run().name == "published"

    return prepare


def then(*steps: Callable[[Folder], None]) -> Callable[[Folder], None]:
    """Several steps as one."""

    def prepare(job: Folder) -> None:
        for step in steps:
            step(job)

    return prepare


def adding(names: str) -> Callable[[Folder], None]:
    """Inputs that no run has seen."""
    return lambda job: job.add_inputs(names)


def changing(names: str) -> Callable[[Folder], None]:
    """Inputs that changed since they were taken in."""
    return lambda job: job.change(names)


def sending_again(name: str) -> Callable[[Folder], None]:
    """The same content under another time."""
    return lambda job: touch(job.data / f"{name}.csv")


def interrupted(job: Folder) -> None:
    """A run that died right after its first receipt."""
    assert dies(job, "create", "pending", "00000.json", after=True)
    assert len(job.pending_parts()) == 1


def just_before_the_plan(job: Folder) -> None:
    """A run that died when it had copied the model."""
    assert dies(job, "create", "pending", "plan.json", after=False)


def just_before_the_pointer(job: Folder) -> None:
    """A run that died when it had committed a version."""
    assert dies(job, "replace", "manifest.json", "", after=False)


def dies(job: Folder, verb: str, folder: str, name: str, *, after: bool) -> bool:
    """Run, and let it die at an operation."""

    @contextmanager
    def die(operation: Operation) -> Iterator[None]:
        wanted = operation.verb == verb and operation.path.startswith(folder)
        dies_here = wanted and operation.path.endswith(name)
        if dies_here and not after:
            raise Crash
        yield
        if dies_here:
            raise Crash

    return crashes(lambda: job.run(open_output=opening(die)))


def configured(**sections: dict[str, object]) -> Callable[[Folder], None]:
    """Another job file."""
    return lambda job: job.configure(**sections)


def aged(job: Folder) -> None:
    """Everything in the output is older than what a run at work may have written."""
    for path in job.output.rglob("*"):
        os.utime(path, (time.time() - 30 * A_DAY,) * 2)


def held(job: Folder) -> None:
    """A run that a check holds."""
    job.configure(checks={"min_rows": 100})
    job.add_inputs("ab")
    assert job.run().name == "held"


def long_ago(job: Folder) -> None:
    """The inputs that are there speak about a time before the window."""
    for path in job.data.iterdir():
        os.utime(path, (time.time() - 200 * A_DAY,) * 2)


def flip_a_part(job: Folder) -> str:
    """Damage the first part of the newest version; returns its path."""
    manifest = oracle.newest(job.output)
    assert manifest is not None
    path = str(manifest["files"][0]["path"])
    flip_byte(job.output / path)
    return path


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
