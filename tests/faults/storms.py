"""The storms of a soak: a job, several hosts, and commands that are killed at random moments."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from batch.cli import main as program
from tests.faults.findings import Findings
from tests.faults.processes import Fate, Place, Process, command_line, members, patience
from tests.faults.producers import Producer
from tests.faults.readers import ClientReader, PlainReader
from tests.support.jobs import JobFolder, save_tiny_model

#: Younger inputs wait; longer than a run takes to look at one, so that waiting makes a difference.
MIN_AGE_SECONDS = 3.0
HOSTS = ["a", "b", "c"]
_STORM_SECONDS = (15.0, 22.0)
_ORPHAN_SECONDS = 15.0
_TICK_SECONDS = 0.01
#: Slow enough to be killed while it predicts.
_HOOK = "import time\n\n\ndef slow(frame):\n    time.sleep(0.03)\n    return frame\n"
#: The job files: one output, used in several ways.
_WAYS: dict[str, dict[str, Any]] = {
    "alone": {"workers": 1, "chunk_rows": 500},
    "together": {"workers": 2, "chunk_rows": 300},
    "large-chunks": {"workers": "auto", "chunk_rows": 2_000},
}


class Broken(Exception):
    """A violation was found, and noted: the soak is over."""


@dataclass(frozen=True)
class Action:
    """Something to do while runs are under way; `command` is one that the program must have."""

    command: str
    weight: int
    do: Callable[[Soak], object]


class Soak:
    """One job, several hosts, and everything that happens to them.

    `first_whole` is the earliest version that a rollback may go back to: earlier ones may hold
    parts that were damaged on purpose. `pids` are the commands started since the last quiet point,
    `shared_before` is what others had in shared memory before.
    """

    def __init__(self, folder: Path, findings: Findings) -> None:
        self.folder = folder
        self.findings = findings
        self.random = random.Random(f"{findings.seed}/soak")
        self.job = _make_job(folder)
        self.producer = Producer(self.job.data, findings)
        self.pids: set[int] = set()
        self.shared_before = set(Path("/dev/shm").iterdir())
        self.first_whole = 1
        self._processes: list[Process] = []
        self._began_at: dict[int, int] = {}
        self._steps: tuple[int, ...] = ()
        for name in ("logs", "scratch"):
            (folder / name).mkdir()

    def go(
        self, minutes: float, actions: Sequence[Action], *, settle: Callable[[Soak], None]
    ) -> None:
        """Storms, and by turns quiet points in which `settle` judges. Raises `Broken`."""
        readers = [reader(self.job.output, self.findings) for reader in (ClientReader, PlainReader)]
        known = [action for action in actions if has_command(action.command)]
        try:
            self.producer.begin()
            for reader in readers:
                reader.start()
            while self.findings.elapsed() < minutes * 60:
                self._storm(known)
                with self.producer.paused():
                    self.await_all()
                    settle(self)
        finally:
            for thread in (self.producer, *readers):
                thread.stop()
            for process in self._processes:
                process.end()

    def start(self, *arguments: str, fate: Fate | None = None, host: str = "") -> Process:
        """Start a command, mostly on a host that is free."""
        busy = {process.host for process in self._processes}
        free = [name for name in HOSTS if name not in busy]
        pick = free if free and self.random.random() < 0.75 else HOSTS
        place = self._place(host or self.random.choice(pick))
        before = self.newest()
        process = Process(arguments, place=place, fate=fate or Fate())
        self._processes.append(process)
        self._began_at[process.pid] = before
        self.pids.add(process.pid)
        self.findings.count("commands")
        return process

    def run_undisturbed(self, *arguments: str, host: str = "") -> Process:
        """Run one command to its end."""
        process = self.start(*arguments, host=host)
        self.await_all()
        return process

    def any_job(self) -> str:
        """One of the job files."""
        return str(self.random.choice(sorted(self.job.folder.glob("*.toml"))))

    def newest(self) -> int:
        """The number of the newest version, 0 before the first."""
        paths = (self.job.output / "manifests").glob("*.json")
        return max((int(path.stem) for path in paths), default=0)

    def manifest(self, version: int) -> dict[str, Any]:
        """What a version says."""
        path = self.job.output / "manifests" / f"{version:010}.json"
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def is_paused(self) -> bool:
        """Whether runs do nothing until somebody lets them."""
        version = self.newest()
        return bool(version and self.manifest(version)["paused"])

    def await_all(self) -> None:
        """Let every command end, and whatever it started."""
        while self._processes:
            self._tick()
        deadline = time.monotonic() + patience(_ORPHAN_SECONDS)
        while left := members(self.pids):
            if time.monotonic() > deadline:
                lines = [f"{pid}: {command_line(pid)}" for pid in left]
                self.fail(f"processes outlive their command by {_ORPHAN_SECONDS:g} s: {lines}")
            time.sleep(0.1)

    def fail(self, text: str) -> NoReturn:
        """End the soak with a violation."""
        self.findings.violation(text)
        raise Broken

    def _storm(self, actions: Sequence[Action]) -> None:
        """Keep some commands under way for a while, each with a fate of its own."""
        at_once = self.random.choice([2, 3, 3, 4])
        weights = [action.weight for action in actions]
        end = time.monotonic() + self.random.uniform(*_STORM_SECONDS)
        while time.monotonic() < end:
            if len(self._processes) < at_once and self.random.random() < 0.05:
                [action] = self.random.choices(actions, weights)
                action.do(self)
            self._tick()

    def _tick(self) -> None:
        """Do what is due to every process, and look at those that ended."""
        steps = _steps(self.job.output)
        changed, self._steps = steps != self._steps, steps
        for process in list(self._processes):
            ended = process.advance(changed=changed)
            if trouble := process.trouble(set(self._excuses(process)) if ended else ()):
                self.findings.violation(f"{trouble}: {process.describe()}")
            if ended:
                self._note(process)
        if self.findings.violations:
            raise Broken
        time.sleep(_TICK_SECONDS)

    def _excuses(self, process: Process) -> Iterator[int]:
        """Exit codes that tell the truth about what was going on meanwhile."""
        if process.arguments[0] == "run":
            versions = range(max(self._began_at[process.pid], 1), self.newest() + 1)
            if process.code == 3 and any(self.manifest(number)["paused"] for number in versions):
                yield 3
            if self.findings.held("unreadable", process.started):
                yield 65
        if self.findings.held("damaged", process.started):
            yield 69

    def _note(self, process: Process) -> None:
        self._processes.remove(process)
        with (self.folder / "journal.txt").open("a") as journal:
            journal.write(f"{self.findings.elapsed():8.2f} {process.describe()}\n")
        self.findings.count(f"exit {process.code}")
        if process.done:
            self.findings.count(process.done)
        if process.done == "kill a worker":
            # What it predicted is taken for unreadable if it is killed there twice.
            self.findings.begin("unreadable", "killed")

    def _place(self, host: str) -> Place:
        environment = os.environ | {
            "BATCH_PREDICT_STATE": str(self.folder / f"host-{host}"),
            "TMPDIR": str(self.folder / "scratch"),
            "OMP_NUM_THREADS": "1",
        }
        log = self.folder / "logs" / f"{self.findings.counts['commands']:06}.txt"
        return Place(host, environment, log)


def has_command(name: str) -> bool:
    """Whether the program has this command yet."""
    return name in program.list_commands(click.Context(program))


def _make_job(folder: Path) -> JobFolder:
    job = JobFolder.make(folder / "job", save_tiny_model(folder / "model.joblib"))
    (job.folder / "pace.py").write_text(_HOOK)
    # Else nothing would be old enough to be pruned.
    output = {"retain": "30s"} if has_command("prune") else {}
    for name, run in _WAYS.items():
        age = {"min_age": f"{MIN_AGE_SECONDS:g}s"}
        job.configure(input=age, model={"preprocess": "pace:slow"}, run=run, output=output)
        (job.folder / "job.toml").rename(job.folder / f"{name}.toml")
    return job


def _steps(output: Path) -> tuple[int, ...]:
    """Differs after nearly every step of a run."""
    folders = [output, *(output / name for name in ("ledger", "manifests", "runs", "rejects"))]
    for name in ("data", "pending", ".tmp"):
        folders += [output / name, *_newest_folders(output / name)]
    return tuple(_changed_at(folder) for folder in folders)


def _newest_folders(folder: Path) -> list[Path]:
    try:
        return [Path(path) for path in sorted(item.path for item in os.scandir(folder))[-3:]]
    except FileNotFoundError:
        return []


def _changed_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
