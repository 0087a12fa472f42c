"""What is done to an output while something goes wrong: scenarios and their commands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta

from batch.errors import BatchError
from batch.job import Job
from batch.jobfile import load_job
from batch.logs import utc_now
from batch.runner import Options
from batch.runner import run as run_job
from batch.store.base import Store
from batch.upkeep.held import discard as give_up
from batch.upkeep.prune import prune as tidy
from batch.upkeep.repair import look_for_damage
from batch.upkeep.repair import repair as mend
from batch.upkeep.rollback import look_back, roll_back
from batch.upkeep.rollback import unpause as let_go_on
from tests.bench import RUN, Command, Folder, OpenOutput, Scenario, process, run
from tests.fault_starts import (
    adding,
    aged,
    change,
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
from tests.faulty import Operation, Watched
from tests.watching import Judged, Taken

#: Two inputs a part, so that few inputs make several slices and parts that are packed.
PACKED = {"batch.planning.PACKED_INPUTS": 2}
FOLDED = {"batch.publishing.MAX_SEGMENTS": 2}
FORGETFUL = {"batch.retention.KEPT_VERSIONS": 2}


def act(command: Callable[[Store, Job], object]) -> Callable[[Folder, OpenOutput], int]:
    """A command on the output as the command line calls it, with its exit code."""

    def call(job: Folder, open_output: OpenOutput) -> int:
        found = load_job(str(job.folder))
        try:
            command(open_output(found), found)
        except BatchError as error:
            return error.exit_code
        return 0

    return call


def rolling_back(version: int | None) -> Command:
    """`rollback --to VERSION`: stops the line, with the content of that version."""

    def command(store: Store, job: Job) -> None:
        way = look_back(store, job, to=version)
        roll_back(store, job, way, reason="a test", clock=utc_now)

    def claim(judged: Judged | None, _present: Taken) -> None:
        assert judged
        assert judged.manifest["paused"]
        assert judged.manifest["kind"] == "rollback"

    return Command(act(command), claim)


def _repair(store: Store, job: Job) -> None:
    mend(store, job, look_for_damage(store, job), yes=False, clock=utc_now)


def _is_not_paused(judged: Judged | None, _present: Taken) -> None:
    assert judged
    assert not judged.manifest["paused"]


UNPAUSE = Command(act(lambda store, job: let_go_on(store, job, clock=utc_now)), _is_not_paused)
REPAIR = Command(act(_repair))
DISCARD = Command(act(lambda store, _: give_up(store, now=utc_now())))
PRUNE = Command(act(lambda store, job: tidy(store, retain=job.settings.output.retain, delete=True)))


def _run_with_the_limit_lowered(job: Folder, open_output: OpenOutput) -> int:
    job.configure()
    return job.run(open_output=open_output).exit_code


RELAXED_RUN = Command(_run_with_the_limit_lowered, RUN.claim)


def without(job: Job, *paths: str) -> Job:
    """The job of a host that does not see some of the inputs yet."""
    seen = job.settings.input.model_copy(update={"exclude": paths})
    return dataclasses.replace(job, settings=job.settings.model_copy(update={"input": seen}))


def beaten(
    clock: Callable[[], datetime],
    meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Command:
    """A run of which another host, by its own clock, takes the number just before the commit.

    The other one has seen that b.csv changed, and not yet that a.csv did; it is at work inside
    `meanwhile`.
    """

    def beat(job: Folder) -> None:
        change(job, "b")
        with process(job.folder / "two"), meanwhile():
            outcome = run_job(without(load_job(str(job.folder)), "a.csv"), Options(clock=clock))
        assert outcome.name == "published"

    def call(job: Folder, open_output: OpenOutput) -> int:
        to_beat = [job]

        @contextmanager
        def around(operation: Operation) -> Iterator[None]:
            if operation.verb == "create" and operation.path.startswith("manifests") and to_beat:
                beat(to_beat.pop())
            yield

        return job.run(open_output=lambda job: Watched(open_output(job), around)).exit_code

    def claim(judged: Judged | None, present: Taken) -> None:
        assert judged
        assert judged.taken["a.csv"] == present["a.csv"]

    return Command(call, claim)


def an_hour_ago() -> datetime:
    """The time on a host whose clock is behind."""
    return utc_now() - timedelta(hours=1)


def an_hour_ahead() -> datetime:
    """The time on a host whose clock is ahead."""
    return utc_now() + timedelta(hours=1)


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

SCENARIOS = (
    Scenario("first-run", adding("abc"), constants=PACKED, points=(50, 15, 12)),
    Scenario("incremental", then(published("ab"), adding("cd"))),
    Scenario("rewrite", then(published("abcd"), changing("b")), constants=PACKED),
    Scenario("sent-again", then(published("abc"), sending_again("a"), changing("b"))),
    Scenario("replace", then(configured(output=REPLACE), published("ab"), adding("c"))),
    Scenario("resume", then(published("ab"), adding("cdef"), interrupted), constants=PACKED),
    Scenario(
        "resume-with-more",
        then(published("ab"), adding("cdef"), interrupted, changing("e"), adding("g")),
        constants=PACKED,
        points=(40, 15, 11),
    ),
    Scenario(
        "lost-race",
        then(published("abc"), changing("a")),
        [beaten(an_hour_ago)],
        keeps_work=False,
        points=(40, 14, 12),
    ),
    Scenario(
        "lost-race-and-plan",
        then(published("abc"), changing("a")),
        [beaten(utc_now)],
        keeps_work=False,
        points=(55, 18, 16),
    ),
    Scenario(
        "rollback",
        published("a", "b", "c"),
        BACK_AND_FORTH,
        BACK_AND_FORTH,
        keeps_work=False,
        points=(65, 16, 14),
    ),
    Scenario(
        "discard",
        held,
        [DISCARD, RELAXED_RUN],
        [DISCARD, RELAXED_RUN],
        keeps_work=False,
        points=(50, 14, 10),
    ),
    Scenario(
        "prune",
        then(
            configured(output=NOTHING_RETAINED),
            published("a", "b", "c", "d"),
            adding("e"),
            just_before_the_pointer,
            aged,
        ),
        [PRUNE],
        [PRUNE, RUN],
        constants=FORGETFUL,
        points=(25, 5, 1),
    ),
    Scenario("folding", then(published("a", "b"), changing("a"), adding("c")), constants=FOLDED),
    Scenario(
        "window",
        then(adding("a"), long_ago, published("", "b"), configured(output=WINDOW), adding("c")),
        [Command(run, _may_be_dropped)],
        [IN_WINDOW],
        points=(40, 13, 11),
    ),
    Scenario(
        "repair",
        published("ab", "c"),
        [REPAIR, RUN],
        [REPAIR, RUN],
        damage=flip_a_part,
        keeps_work=False,
        points=(60, 14, 12),
    ),
)
