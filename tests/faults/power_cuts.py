"""Commands that are recorded, and what a power cut at any moment of them may leave.

What a command promises is judged in every state that one may leave, by bytes and hashes; and some
of them are put on the disk, judged by the oracle, and followed by a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.faults.bench import Command, Folder, Round, holds_nothing_else, run
from tests.faults.bench import Scenario as Struck
from tests.faults.commands import UNPAUSE
from tests.faults.crash_states import FileSystem, Operation, Tree
from tests.faults.tracing import record
from tests.faults.watching import Watcher

#: A new folder in a new folder, so that every name on the way to the output is at stake.
OUT = "published/out"
POINTER = f"{OUT}/manifest.json"

_MANIFEST = re.compile(rf"{OUT}/manifests/\d{{10}}\.json")
_NOTHING = {"version": 0}


@dataclass(frozen=True)
class Promise:
    """What no power cut may take back.

    `shown` are the manifests that readers saw, `reported` the version of the last command that
    said it was done. `spoiled` are manifests that somebody else damaged before.
    """

    shown: frozenset[bytes] = frozenset()
    reported: int = 0
    spoiled: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Recording:
    """What a command did to a job's folder; `inputs` and the job file are as it found them.

    `damaged` is a file that somebody damaged before.
    """

    begin: FileSystem
    before: Promise
    operations: tuple[Operation, ...]
    exit_code: int
    inputs: Tree
    damaged: str = ""

    def moments(self) -> Iterator[tuple[str, FileSystem, Promise]]:
        """Before it began, after each operation, and after the end; it is one file system."""
        system, promise = self.begin.copy(), self.before
        yield "before it began", system, promise
        for number, operation in enumerate(self.operations, start=1):
            system.apply(operation)
            promise = replace(promise, shown=promise.shown | _shown(system.tree()))
            yield f"{number}: {operation}", system, promise
        if self.exit_code == 0:
            newest = max(map(version_of, manifests(system.tree())), default=0)
            yield "after the end", system, replace(promise, reported=newest)

    def end(self) -> tuple[FileSystem, Promise]:
        """What it left, and what it promised."""
        *_, (_, system, promise) = self.moments()
        return system, promise

    def states(self, *, seed: str, subsets: int = 3) -> Iterator[State]:
        """What a power cut at every moment may leave, each state and promise once."""
        chance, seen = random.Random(seed), set[object]()
        for moment, system, promise in self.moments():
            for label, tree in system.crash_states(chance, subsets=subsets):
                if (key := (frozenset(tree.items()), promise)) not in seen:
                    seen.add(key)
                    yield State(f"{moment}: {label}", tree, promise)


@dataclass(frozen=True)
class State:
    """What a power cut left, and what must not be missing."""

    label: str
    tree: Tree
    promise: Promise

    def troubles(self) -> list[str]:
        """Every way in which the state breaks the promise; looks at bytes and hashes alone."""
        try:
            found = {version_of(data): data for data in manifests(self.tree)}
            pointer = parsed(self.tree[POINTER] or b"") if POINTER in self.tree else _NOTHING
        except ValueError:
            return ["a manifest or the pointer is torn"]
        oldest = parsed(found[max(found)])["oldest_kept"] if found else 1
        kept = {number: data for number, data in found.items() if number >= oldest}
        there = [_NOTHING, *map(parsed, found.values())]
        troubles = [f"version {number} is missing" for number in _gaps(kept)]
        for number, data in kept.items():
            if data not in self.promise.spoiled:
                troubles += [f"version {number}: {what}" for what in misses(self.tree, data)]
        for manifest in map(parsed, self.promise.shown):
            if manifest not in there and manifest["version"] >= oldest:
                troubles.append(f"version {manifest['version']} was shown and is gone")
        if pointer not in there:
            troubles.append("the pointer shows what is not there")
        if pointer["version"] < self.promise.reported:
            troubles.append(f"the pointer is behind version {self.promise.reported}")
        return troubles


def manifests(tree: Tree) -> list[bytes]:
    """The content of every manifest, whole or not."""
    return [data for path, data in tree.items() if data is not None and _MANIFEST.fullmatch(path)]


def misses(tree: Tree, manifest: bytes) -> Iterator[str]:
    """What a manifest names and the tree does not hold as it says."""
    document = parsed(manifest)
    model = document["model"]
    for file in [*document["files"], *document["rejects"], *document["ledger"], model]:
        content = tree.get(f"{OUT}/{file['path']}")
        if content is None:
            yield f"{file['path']} is missing"
        elif _sha256(content) != file["sha256"]:
            yield f"{file['path']} is torn"
    for path in (model["recipe"], model["sidecar"]):
        try:
            parsed(tree.get(f"{OUT}/{path}") or b"")
        except ValueError:
            yield f"{path} is missing or torn"


def version_of(manifest: bytes) -> int:
    """Its number. Raises `ValueError` for one that is torn."""
    return int(parsed(manifest)["version"])


@cache
def parsed(document: bytes) -> dict[str, Any]:
    """A JSON document. Raises `ValueError` for one that is torn."""
    return dict(json.loads(document))


@cache
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shown(tree: Tree) -> frozenset[bytes]:
    pointer = tree.get(POINTER)
    return frozenset() if pointer is None else frozenset([pointer])


def _gaps(versions: dict[int, bytes]) -> list[int]:
    return sorted({*range(min(versions), max(versions))} - {*versions}) if versions else []


#: Where the host remembers: what it wrote there may be torn or lost like everything else.
HOST = "one"
_A_MONTH_AGO = time.time() - 30 * 86400
_RUN = Command(run, holds_nothing_else)


def _nothing(_: Folder) -> None:
    """No change."""


@dataclass(frozen=True)
class Scenario:
    """A command to trace: what happened before, and what is changed just before it.

    `after` names the scenario whose end is the beginning of this one. In `arguments`, JOB stands
    for the job's folder. `prepare` may damage a file, and returns its path then. `mend` is what a
    person does before the run that completes everything.
    """

    name: str
    after: str | None = None
    prepare: Callable[[Folder], object] = _nothing
    arguments: tuple[str, ...] = ("run", "JOB")
    exit_codes: tuple[int, ...] = (0,)
    mend: Callable[[Folder], object] = _nothing


class PowerCuts:
    """Records scenarios in one job folder, and tries the states that power cuts in them leave."""

    def __init__(self, job: Folder, scratch: Path, scenarios: tuple[Scenario, ...]) -> None:
        job.out = OUT
        configure(job)
        self.job = job
        self._scratch = scratch
        self._scenarios = {scenario.name: scenario for scenario in scenarios}
        self._recordings: dict[str, Recording] = {}
        self._hosts = 0

    def recording(self, name: str) -> Recording:
        """What the command of a scenario did; recorded once."""
        if name not in self._recordings:
            scenario = self._scenarios[name]
            before = self.recording(scenario.after) if scenario.after else None
            self._recordings[name] = self._record(scenario, before)
        return self._recordings[name]

    def resume(self, name: str, done: int) -> Recording:
        """What a run did after the command of a scenario was killed when it had done so much."""
        whole = self.recording(name)
        killed = replace(whole, operations=whole.operations[:done], exit_code=-9)
        # 3: it was the command that held or paused the job, and it came that far.
        return self._record(Scenario("resumed", exit_codes=(0, 3)), killed)

    def recover(self, name: str, recording: Recording, state: State, *, same_host: bool) -> None:
        """Judge a state on the disk, and again after one undisturbed run.

        Either the same host starts again at once, or another one takes over after a month.
        """
        self._restore(recording.inputs, state.tree, modified=None if same_host else _A_MONTH_AGO)
        mend, host = self._scenarios[name].mend, HOST if same_host else self._new_host()
        (self.job.folder / host).mkdir(exist_ok=True)
        scenario = Struck(name, mend, again=[_RUN], keeps_work=False)
        cut = Round(scenario, Watcher(self.job, damaged=recording.damaged))
        cut.watcher.look()
        mend(self.job)
        if _is_paused(state):
            assert cut.perform([_RUN], host=host) == 3
            assert cut.perform([UNPAUSE], host=host) == 0
        cut.end(host=host)

    def _record(self, scenario: Scenario, before: Recording | None) -> Recording:
        system, promise = before.end() if before else (FileSystem(), Promise())
        self._restore(before.inputs if before else self._inputs(), system.tree())
        damaged = scenario.prepare(self.job) or (before.damaged if before else "")
        if (found := self._on_disk()) != system.tree():  # Not by our commands: long ago, then.
            system = FileSystem.of(found)
            spoiled = frozenset(data for data in manifests(found) if any(misses(found, data)))
            promise = replace(promise, spoiled=spoiled)
        folder = str(self.job.folder)
        trace = record(
            [sys.executable, "-m", "batch"]
            + [folder if word == "JOB" else word for word in scenario.arguments],
            self.job.folder,
            self._scratch / "trace",
            os.environ | {"BATCH_PREDICT_STATE": str(self.job.folder / HOST)},
        )
        assert trace.exit_code in scenario.exit_codes, (scenario.name, trace.errors)
        inputs = self._inputs()
        made = Recording(
            system, promise, trace.operations, trace.exit_code, inputs, str(damaged or "")
        )
        # Whatever the trace or the model of the file system did not see shows here.
        assert made.end()[0].tree() == self._on_disk(), scenario.name
        return made

    def _restore(self, inputs: Tree, output: Tree, *, modified: float | None = None) -> None:
        for folder in (self.job.data, *self._tops()):
            shutil.rmtree(folder, ignore_errors=True)
        self.job.data.mkdir()
        for path, content in sorted(output.items()):
            target = self.job.folder / path
            target.mkdir() if content is None else target.write_bytes(content)
            if modified and content is not None:
                os.utime(target, (modified, modified))
        for path, content in inputs.items():
            moment, _, data = (content or b"").partition(b"\n")
            (self.job.folder / path).write_bytes(data)
            os.utime(self.job.folder / path, ns=(int(moment), int(moment)))

    def _inputs(self) -> Tree:
        """The inputs and the job file: time of modification, a line feed, and the content."""
        return {
            str(path.relative_to(self.job.folder)): b"%d\n%b"
            % (path.stat().st_mtime_ns, path.read_bytes())
            for path in [*sorted(self.job.data.iterdir()), self.job.folder / "job.toml"]
        }

    def _on_disk(self) -> Tree:
        return {
            str(path.relative_to(self.job.folder)): None if path.is_dir() else path.read_bytes()
            for top in self._tops()
            for path in ([top, *top.rglob("*")] if top.exists() else [])
        }

    def _tops(self) -> tuple[Path, Path]:
        return self.job.folder / Path(OUT).parts[0], self.job.folder / HOST

    def _new_host(self) -> str:
        self._hosts += 1
        return f"host-{self._hosts}"


def configure(job: Folder, *, mode: str = "append", min_rows: int = 0) -> None:
    """Write the job file anew, with the output where it is tried."""
    job.configure(output={"path": OUT, "mode": mode}, checks={"min_rows": min_rows})


def _is_paused(state: State) -> bool:
    newest = max(manifests(state.tree), key=version_of, default=None)
    return newest is not None and parsed(newest)["paused"] is not None
