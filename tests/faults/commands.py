"""What is done to an output while something goes wrong, and what exit code 0 of it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta

from batch.errors import BatchError
from batch.job.job_file import Job, load_job
from batch.logs import utc_now
from batch.output.read import Retention
from batch.run.backfill import backfill
from batch.run.held import discard as give_up
from batch.run.held import publish_held
from batch.run.runner import run as run_job
from batch.run.selection import Request
from batch.store.base import Store
from batch.upkeep.prune import prune as tidy
from batch.upkeep.repair import look_for_damage
from batch.upkeep.repair import repair as mend
from batch.upkeep.rollback import look_back, roll_back
from batch.upkeep.rollback import unpause as let_go_on
from tests.faults.bench import RUN, Command, Folder, OpenOutput, holds_all, process, run
from tests.faults.faulty import Operation, Watched
from tests.faults.watching import Judged, Taken


def act(command: Callable[[Store, Job, Retention], object]) -> Callable[[Folder, OpenOutput], int]:
    """A command on the output as the command line calls it, with its exit code."""

    def call(job: Folder, open_output: OpenOutput) -> int:
        found = load_job(str(job.folder))
        try:
            command(open_output(found), found, job.retention)
        except BatchError as error:
            return error.exit_code
        return 0

    return call


def rolling_back(version: int | None) -> Command:
    """`rollback --to VERSION`: stops the line, with the content of that version."""

    def command(store: Store, job: Job, retention: Retention) -> None:
        way = look_back(store, job, to=version)
        roll_back(store, job, way, reason="a test", clock=utc_now, retention=retention)

    def claim(judged: Judged | None, _present: Taken) -> None:
        assert judged
        assert judged.manifest["paused"]
        assert judged.manifest["kind"] == "rollback"

    return Command(act(command), claim)


def _repair(store: Store, job: Job, retention: Retention) -> None:
    found = look_for_damage(store, job)
    mend(store, job, found, yes=False, clock=utc_now, retention=retention)


def _unpause(store: Store, job: Job, retention: Retention) -> None:
    let_go_on(store, job, clock=utc_now, retention=retention)


def _prune(store: Store, job: Job, retention: Retention) -> None:
    tidy(store, retain=job.settings.output.retain, delete=True, retention=retention)


def _is_not_paused(judged: Judged | None, _present: Taken) -> None:
    assert judged
    assert not judged.manifest["paused"]


UNPAUSE = Command(act(_unpause), _is_not_paused)
REPAIR = Command(act(_repair))
DISCARD = Command(act(lambda store, *_: give_up(store, now=utc_now())))
PRUNE = Command(act(_prune))


def filling_back(*names: str) -> Command:
    """`backfill --input NAME`, by the job's own model."""

    def call(job: Folder, open_output: OpenOutput) -> int:
        request = Request(inputs=names)
        options = job.options(open_output=open_output)
        return backfill(load_job(str(job.folder)), request, options).exit_code

    def claim(judged: Judged | None, present: Taken) -> None:
        holds_all(judged, {path: present[path] for path in names if path in present})

    return Command(call, claim)


def _publish(job: Folder, open_output: OpenOutput) -> int:
    options = job.options(open_output=open_output)
    found = load_job(str(job.folder))
    try:
        return publish_held(found, options, run_id=None, is_forced=True).exit_code
    except BatchError as error:
        return error.exit_code


PUBLISH = Command(_publish, RUN.claim)


def meeting(command: Command, other: Callable[[Folder], None]) -> Command:
    """A command of which another host takes the number just before the commit."""

    def call(job: Folder, open_output: OpenOutput) -> int:
        to_beat = [job]

        @contextmanager
        def around(operation: Operation) -> Iterator[None]:
            if operation.verb == "create" and operation.path.startswith("manifests") and to_beat:
                with process(to_beat.pop().folder / "two"):
                    other(job)
            yield

        return command.act(job, lambda job: Watched(open_output(job), around))

    return Command(call, command.claim)


def a_run_rewrites(job: Folder) -> None:
    """A run of another host takes in a changed input."""
    job.change("b")
    assert job.run().name == "published"


def a_backfill_rewrites(job: Folder) -> None:
    """A backfill of another host predicts an input again."""
    outcome = backfill(load_job(str(job.folder)), Request(inputs=("b.csv",)), job.options())
    assert outcome.name == "published"


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
        job.change("b")
        with meanwhile():
            outcome = run_job(without(load_job(str(job.folder)), "a.csv"), job.options(clock=clock))
        assert outcome.name == "published"

    def claim(judged: Judged | None, present: Taken) -> None:
        assert judged
        assert judged.taken["a.csv"] == present["a.csv"]

    return meeting(Command(run, claim), beat)


def an_hour_ago() -> datetime:
    """The time on a host whose clock is behind."""
    return utc_now() - timedelta(hours=1)


def an_hour_ahead() -> datetime:
    """The time on a host whose clock is ahead."""
    return utc_now() + timedelta(hours=1)
