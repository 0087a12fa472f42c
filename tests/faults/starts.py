"""Outputs in some state, for faults to start from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.bench import Folder, crashes
from tests.faults.faulty import Crash, Operation, opening
from tests.support import oracle
from tests.support.jobs import touch
from tests.support.published import flip_byte

A_DAY = 86400


def add(job: Folder, names: str) -> None:
    """One input for each letter; every second one holds a record that must be rejected."""
    for name in names:
        number = ord(name) - ord("a")
        rows = [[f"{name}{row}", row, number / (row + 1)] for row in range(3)]
        job.add(f"{name}.csv", [*rows, [f"{name}9", "?", 1]] if number % 2 else rows)


def change(job: Folder, names: str) -> None:
    """Another content under the same name."""
    for name in names:
        job.add(f"{name}.csv", [[f"{name}{row}", 9, row] for row in range(4)])


def published(*batches: str) -> Callable[[Folder], None]:
    """A start with one version for each batch of new inputs."""

    def prepare(job: Folder) -> None:
        for names in batches:
            add(job, names)
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
    return lambda job: add(job, names)


def changing(names: str) -> Callable[[Folder], None]:
    """Inputs that changed since they were taken in."""
    return lambda job: change(job, names)


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
    add(job, "ab")
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
