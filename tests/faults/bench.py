"""Where faults are tried: one folder, put back to a scenario's start again and again.

A round puts back the start, performs the commands while something strikes them, and lets a watcher
judge what is left; then it does again what a person would, undisturbed, and has it judged once
more. What strikes is in a file of its own: operations of the store (`faulty`), system calls
(`kills`), the power (`power_cuts`), and requests to S3 (`s3_strikes`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import numpy as np

from batch.job.job_file import Job
from batch.output.plan import PACKING, Packing
from batch.output.read import RETENTION, Retention, open_output
from batch.store.base import Store
from tests.faults.faulty import Around, Crash, Operation, opening
from tests.faults.watching import Judged, Taken, Watcher, digest_of, known, learn, named_by
from tests.support.jobs import JobFolder

OpenOutput = Callable[[Job], Store]


class Folder(JobFolder):
    """A job folder that learns what must become of every content that is put into it."""

    def write(self, name: str, data: bytes) -> Path:
        learn(self.folder / "model.joblib", data)
        return super().write(name, data)

    def add_inputs(self, names: str) -> None:
        """One for each letter; every second one holds a record that must be rejected."""
        for name in names:
            number = ord(name) - ord("a")
            rows = [[f"{name}{row}", row, number / (row + 1)] for row in range(3)]
            self.add(f"{name}.csv", [*rows, [f"{name}9", "?", 1]] if number % 2 else rows)

    def change(self, names: str) -> None:
        """Another content under the same name."""
        for name in names:
            self.add(f"{name}.csv", [[f"{name}{row}", 9, row] for row in range(4)])

    def present(self) -> Taken:
        """The inputs there are, as a ledger must show them that has them all."""
        digests = {path.name: digest_of(path.read_bytes()) for path in self.data.iterdir()}
        return {name: (digest, len(known[digest])) for name, digest in digests.items()}

    def pending_parts(self) -> set[str]:
        """The parts that receipts of unpublished runs name."""
        self.mirror()
        receipts = (self.output / "pending").glob("*/0*.json")
        return {path for receipt in receipts if (path := part_of(receipt.read_bytes()))}

    def mirror(self) -> None:
        """Bring here what is published elsewhere."""

    def save(self, saved: Path) -> None:
        """Keep all that is there now."""
        shutil.copytree(self.folder, saved)

    def restore(self, saved: Path) -> None:
        """Let exactly that be there again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(saved, self.folder, copy_function=_link_output)


def part_of(receipt: bytes) -> str:
    """The path of the part that a receipt names, "" for none."""
    part = json.loads(receipt)["part"]
    return str(part["path"]) if part else ""


def holds_all(judged: Judged | None, present: Taken) -> None:
    """What exit code 0 of a run says: every input that was there is in the newest version."""
    assert judged is not None, "exit code 0 without a version"
    assert judged.taken.items() >= present.items()


def holds_nothing_else(judged: Judged | None, present: Taken) -> None:
    """And no other one, nor any twice."""
    assert judged is not None, "exit code 0 without a version"
    assert judged.taken == present


@dataclass(frozen=True)
class Command:
    """What somebody types. `act` returns the exit code, `claim` asserts what exit code 0 says."""

    act: Callable[[Folder, OpenOutput], int]
    claim: Callable[[Judged | None, Taken], None] = lambda *_: None


def run(job: Folder, open_output: OpenOutput) -> int:
    """One run."""
    return job.run(open_output=open_output).exit_code


RUN = Command(run, holds_all)


@dataclass(frozen=True, eq=False)
class Scenario:
    """A start, what happens then, and what a person does after it went wrong.

    `damage` damages a file that readers have seen whole, and returns its path. With `keeps_work`,
    no slice that has a receipt may be predicted again. `points` are how many there are at least:
    operations of the store, those that change an object, and those that write one.
    """

    name: str
    prepare: Callable[[Folder], object]
    commands: Sequence[Command] = (RUN,)
    again: Sequence[Command] = (RUN,)
    packing: Packing = PACKING
    retention: Retention = RETENTION
    damage: Callable[[Folder], str] | None = None
    keeps_work: bool = True
    points: tuple[int, int, int] = (30, 11, 9)


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in memory where the system has room for files there."""
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)).resolve()
    try:
        yield root
    finally:
        shutil.rmtree(root)


class Bench:
    """Puts scenarios to their start, all at one place; `make` makes the job folder there."""

    def __init__(self, root: Path, make: Callable[[Path], Folder]) -> None:
        self.root, self._make = root, make
        self.started: dict[Scenario, tuple[Path, Watcher]] = {}

    def start(self, scenario: Scenario) -> Round:
        """A fresh copy of the scenario's start."""
        if scenario in self.started:
            saved, watcher = self.started[scenario]
            watcher.job.restore(saved)
            return Round(scenario, watcher.fork())
        place, saved = self.root / "place", self.root / f"start-{len(self.started)}"
        for folder in (place, saved):
            shutil.rmtree(folder, ignore_errors=True)
        job = self._make(place)
        job.packing, job.retention = scenario.packing, scenario.retention
        (place / "one").mkdir()
        with process(place / "one"):
            scenario.prepare(job)
        watcher = Watcher(job)
        watcher.look()
        if scenario.damage:
            watcher.damaged = scenario.damage(job)
        # The other host knows as much as this one.
        shutil.copytree(place / "one", place / "two")
        job.save(saved)
        self.started[scenario] = saved, watcher
        return Round(scenario, watcher.fork())


class Round:
    """One pass through a scenario, watched."""

    def __init__(self, scenario: Scenario, watcher: Watcher) -> None:
        self.scenario, self.watcher = scenario, watcher
        self.job = watcher.job
        self.judged: Judged | None = None
        self._kept = self.job.pending_parts()

    def perform(self, commands: Sequence[Command], *arounds: Around, host: str = "one") -> int:
        """Each command in a process of its own, up to the first that fails; its exit code."""
        code = 0
        for command in commands:
            present = self.job.present()
            with process(self.job.folder / host):
                code = command.act(self.job, opening(self._note, *arounds))
            self.judged = self.watcher.look()
            if code:
                break
            command.claim(self.judged, present)
        return code

    def end(self, *, host: str = "one") -> None:
        """After any fault: what is done again ends in order, and then there is nothing to do."""
        assert self.perform(self.scenario.again, host=host) == 0
        judged = self.judged
        assert judged is not None, "nothing was published"
        assert not self.scenario.keeps_work or self._kept <= {
            file["path"] for file in judged.manifest["files"]
        }
        assert self.watcher.damaged not in {path for path, _ in named_by(judged.manifest)}
        assert not list((self.job.output / ".tmp").iterdir())
        with process(self.job.folder / host):
            assert self.job.run(open_output=open_output).name == "nothing to do"
        assert self.watcher.look() is judged
        assert self.watcher.pointer == judged.manifest["version"], "the pointer is behind"

    @contextmanager
    def _note(self, operation: Operation) -> Iterator[None]:
        yield
        folder, name = operation.path.split("/")[0], operation.path.split("/")[-1]
        if operation.verb == "create" and folder == "pending" and name[0].isdigit():
            assert isinstance(operation.content, bytes)
            self._kept |= {part_of(operation.content)} - {""}


@contextmanager
def process(host: Path) -> Iterator[None]:
    """What a new process of a host has: its state, its cache, an import path.

    Models are loaded and asked once for all processes. Neither is an operation of the store, and
    both are most of the time of a tiny run.
    """
    path = sys.path[:]
    places = {"BATCH_PREDICT_STATE": str(host), "BATCH_PREDICT_CACHE": str(host / "cache")}
    try:
        with mock.patch.dict(os.environ, places), mock.patch("joblib.load", _load_once):
            yield
    finally:
        sys.path[:] = path


_load, _loaded = joblib.load, dict[bytes, Any]()


def _load_once(file: Path, **options: Any) -> Any:
    content = Path(file).read_bytes()
    if content not in _loaded:
        model = _loaded[content] = _load(file, **options)
        for method in ("predict", "predict_proba"):
            setattr(model, method, _remembering(getattr(model, method)))
    return _loaded[content]


def _remembering(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A method that is asked the same again and again."""
    answers = dict[bytes, Any]()

    def ask(batch: Any) -> Any:
        question = np.asarray(batch).tobytes()
        if question not in answers:
            answers[question] = method(batch)
        return answers[question]

    return ask


def crashes(act: Callable[[], object]) -> bool:
    """Whether it ended in an injected crash."""
    with suppress(Crash):
        act()
        return False
    return True


def _link_output(source: str, target: str) -> None:
    """Nothing in an output is ever written in place: a link is as good as a copy, and quicker."""
    if "/out/" in target:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
