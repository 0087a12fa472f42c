"""Where faults are tried: one folder, put back to a scenario's start again and again."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.job.job import Job
from batch.model import load
from batch.output.open import open_output
from batch.store.base import Store
from tests.faults.faulty import Around, Crash, Operation, opening
from tests.faults.watching import Judged, Taken, Watcher, digest_of, known, learn, named_by
from tests.support.jobs import JobFolder

if TYPE_CHECKING:
    import pytest

OpenOutput = Callable[[Job], Store]


class Folder(JobFolder):
    """A job folder that learns what must become of every content that is put into it."""

    def write(self, name: str, data: bytes) -> Path:
        learn(self.folder / "model.joblib", data)
        return super().write(name, data)

    def present(self) -> Taken:
        """The inputs there are, as a ledger must show them that has them all."""
        digests = {path.name: digest_of(path.read_bytes()) for path in self.data.iterdir()}
        return {name: (digest, len(known[digest])) for name, digest in digests.items()}

    def pending_parts(self) -> set[str]:
        """The parts that receipts of unpublished runs name."""
        receipts = (self.output / "pending").glob("*/0*.json")
        return {path for receipt in receipts if (path := part_of(receipt.read_bytes()))}


def part_of(receipt: bytes) -> str:
    """The path of the part that a receipt names, "" for none."""
    part = json.loads(receipt)["part"]
    return str(part["path"]) if part else ""


def holds_all(judged: Judged | None, present: Taken) -> None:
    """What exit code 0 of a run says: every input that was there is in the newest version."""
    assert judged is not None, "exit code 0 without a version"
    assert judged.taken.items() >= present.items()


@dataclass(frozen=True)
class Command:
    """What somebody types. `act` returns the exit code, `claim` asserts what exit code 0 says."""

    act: Callable[[Folder, OpenOutput], int]
    claim: Callable[[Judged | None, Taken], None] = lambda *_: None


def run(job: Folder, open_output: OpenOutput) -> int:
    """One run."""
    return job.run(open_output=open_output).exit_code


RUN = Command(run, holds_all)


@dataclass(frozen=True)
class Scenario:
    """A start, what happens then, and what a person does after it went wrong.

    `damage` damages a file that readers have seen whole, and returns its path.
    `constants` are of the program, by their dotted names. With `keeps_work`, no slice that has a
    receipt may be predicted again. `points` are how many there are at least: operations of the
    store, those that change an object, and those that write one.
    """

    name: str
    prepare: Callable[[Folder], None]
    commands: Sequence[Command] = (RUN,)
    again: Sequence[Command] = (RUN,)
    constants: Mapping[str, object] = field(default_factory=dict)
    damage: Callable[[Folder], str] | None = None
    keeps_work: bool = True
    points: tuple[int, int, int] = (30, 11, 9)


class Bench:
    """Puts scenarios to their start. Everything happens at one place, for speed in memory."""

    def __init__(self, root: Path, model: Path) -> None:
        self._root, self._model = root, model
        self._place = root / "place"
        self._started: dict[str, Watcher] = {}

    @classmethod
    @contextmanager
    def open(cls, model: Path) -> Iterator[Bench]:
        """In memory where the system has room for files there."""
        memory = Path("/dev/shm")
        root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        try:
            yield cls(root, model)
        finally:
            shutil.rmtree(root)

    def start(self, scenario: Scenario) -> Round:
        """A fresh copy of the scenario's start."""
        saved = self._root / scenario.name
        shutil.rmtree(self._place, ignore_errors=True)
        if scenario.name not in self._started:
            job = Folder.make(self._place, self._model)
            (self._place / "one").mkdir()
            with process(self._place / "one"):
                scenario.prepare(job)
            watcher = Watcher(job)
            watcher.look()
            if scenario.damage:
                watcher.damaged = scenario.damage(job)
            self._started[scenario.name] = watcher
            # The other host knows as much as this one.
            shutil.copytree(self._place / "one", self._place / "two")
            shutil.copytree(self._place, saved)
        else:
            shutil.copytree(saved, self._place, copy_function=_link_output)
        return Round(scenario, self._started[scenario.name].fork())


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

    def end(self) -> None:
        """After any fault: what is done again ends in order, and then there is nothing to do."""
        assert self.perform(self.scenario.again) == 0
        judged = self.judged
        assert judged is not None, "nothing was published"
        assert not self.scenario.keeps_work or self._kept <= {
            file["path"] for file in judged.manifest["files"]
        }
        assert self.watcher.damaged not in {path for path, _ in named_by(judged.manifest)}
        assert not list((self.job.output / ".tmp").iterdir())
        with process(self.job.folder / "one"):
            assert self.job.run(open_output=open_output).name == "nothing to do"
        assert self.watcher.look() is judged

    @contextmanager
    def _note(self, operation: Operation) -> Iterator[None]:
        yield
        folder, name = operation.path.split("/")[0], operation.path.split("/")[-1]
        if operation.verb == "create" and folder == "pending" and name[0].isdigit():
            assert isinstance(operation.content, bytes)
            self._kept |= {part_of(operation.content)} - {""}


@contextmanager
def process(host: Path) -> Iterator[None]:
    """What a new process of a host has: its state, its cache, an import path."""
    path = sys.path[:]
    places = {"BATCH_PREDICT_STATE": host, "BATCH_PREDICT_CACHE": host / "cache"}
    before = {name: os.environ[name] for name in places}
    os.environ.update({name: str(place) for name, place in places.items()})
    try:
        yield
    finally:
        os.environ.update(before)
        sys.path[:] = path


def prepared(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the constants of a scenario, and load and ask models once.

    Neither is an operation of the store, and both are most of the time of a tiny run.
    """
    for name, value in scenario.constants.items():
        monkeypatch.setattr(name, value)
    load_scorer, loaded = load.load_scorer, dict[str, Any]()

    def load_once(local: Path, recipe: Any, *arguments: Any, **options: Any) -> Any:
        if recipe.digest() not in loaded:
            loaded[recipe.digest()] = Remembering(load_scorer(local, recipe, *arguments, **options))
        return loaded[recipe.digest()]

    monkeypatch.setattr(load, "load_scorer", load_once)


class Remembering:
    """A scorer that is asked the same again and again."""

    def __init__(self, scorer: Any) -> None:
        self._scorer, self._answers = scorer, dict[str, Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, batch: Any) -> Any:
        """The predictions of the plain scorer."""
        question = repr(batch.to_pydict())
        if question not in self._answers:
            self._answers[question] = self._scorer.score(batch)
        return self._answers[question]


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
