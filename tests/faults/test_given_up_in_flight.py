"""A plan is given up in the moment before it is published: what it stands for must stay."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from batch.logs import utc_now
from batch.output import layout
from batch.output.plan import read_plan
from batch.run.held import discard
from batch.run.outcome import RunResult
from batch.run.resume import clear
from batch.store import open_store
from batch.store.base import Exists
from batch.upkeep.prune import prune
from tests.faults.faulty import Operation, opening
from tests.support.jobs import JobFolder

if TYPE_CHECKING:
    import pytest

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")


def age(job: JobFolder) -> None:
    """Let everything in the output look eight days old."""
    moment = time.time() - 8 * 86400
    for path in job.output.rglob("*"):
        if path.is_file():
            os.utime(path, (moment, moment))


def held_for_long(job: JobFolder) -> str:
    """A run that a check held eight days ago, and that nothing holds any more. Returns its id."""
    job.configure(checks={"min_rows": 3})
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4)])
    held = job.run()
    assert held.exit_code == 3
    age(job)
    job.configure()
    return str(held.run_id)


def before_the_commit(act: Callable[[], object]) -> Callable[[Operation], object]:
    """Somebody acts between a run's last look at its plan and its commit."""

    @contextmanager
    def around(operation: Operation) -> Iterator[None]:
        if operation.verb == "create" and operation.path.startswith(layout.MANIFESTS):
            act()
        yield

    return around


def test_what_a_run_publishes_survives_that_its_plan_is_discarded_and_pruned(
    job: JobFolder,
) -> None:
    """Both in the moment before it commits."""
    held_for_long(job)

    def give_up() -> None:
        store = open_store(job.output_url)
        discard(store, now=utc_now())
        prune(store, retain=timedelta(days=1000), delete=True)

    assert job.run(open_output=opening(before_the_commit(give_up))).name == "published"
    job.judge()


def test_what_a_run_publishes_survives_that_another_host_clears_its_plan_and_prunes(
    job: JobFolder,
) -> None:
    """Its own run is over, and its clock is ahead."""
    held = held_for_long(job)

    def go_over() -> None:
        store = open_store(job.output_url)
        other = msgspec.structs.replace(read_plan(store, held), run_id="other")
        clear(store, other, before=datetime.now(UTC) + timedelta(hours=1))
        prune(store, retain=timedelta(days=1000), delete=True)

    assert job.run(open_output=opening(before_the_commit(go_over))).name == "published"
    job.judge()


def test_a_part_that_another_host_published_is_not_deleted_by_who_wrote_it(
    job: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the writing of its receipt was lost, and the repetition finds the name taken."""
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4)])
    outcomes: list[RunResult] = []

    @contextmanager
    def answer_lost(operation: Operation) -> Iterator[None]:
        yield
        receipt = operation.path.startswith(layout.PENDING) and operation.path.endswith(
            "00000.json"
        )
        if operation.verb == "create" and receipt and not outcomes:
            with monkeypatch.context() as patch:
                patch.setenv("BATCH_PREDICT_STATE", str(tmp_path / "other-host"))
                outcomes.append(job.run())
            raise Exists(f"{operation.path}: is there already")

    outcomes_here = job.run(open_output=opening(answer_lost))
    assert [outcome.name for outcome in outcomes] == ["published"]
    assert outcomes_here.exit_code == 0
    job.judge()
