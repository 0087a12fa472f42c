"""Record commands one after another, and try what follows a power cut in any of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from batch.job.job_file import load_job
from batch.logs import utc_now
from batch.store import open_store
from batch.upkeep.rollback import unpause
from tests.faults.crash_states import FileSystem, Tree
from tests.faults.power_loss import (
    OUT,
    Promise,
    Recording,
    State,
    manifests,
    misses,
    parsed,
    version_of,
)
from tests.faults.tracing import record
from tests.support import oracle
from tests.support.jobs import JobFolder

#: Where the host remembers: what it wrote there may be torn or lost like everything else.
HOST = "host"
_A_MONTH_AGO = time.time() - 30 * 86400


def _nothing(_: JobFolder) -> None:
    """No change."""


@dataclass(frozen=True)
class Scenario:
    """A command to trace: what happened before, and what is changed just before it.

    `after` names the scenario whose end is the beginning of this one. In `arguments`, JOB stands
    for the job's folder. `mend` is what a person does before the run that completes everything.
    """

    name: str
    after: str | None = None
    prepare: Callable[[JobFolder], object] = _nothing
    arguments: tuple[str, ...] = ("run", "JOB")
    exit_codes: tuple[int, ...] = (0,)
    mend: Callable[[JobFolder], object] = _nothing


class Bench:
    """One job folder in which scenarios are recorded and the states they leave are tried."""

    def __init__(self, job: JobFolder, scratch: Path, scenarios: tuple[Scenario, ...]) -> None:
        job.out = OUT
        configure(job)
        self.job = job
        self._scratch = scratch
        self._scenarios = {scenario.name: scenario for scenario in scenarios}
        self._recordings: dict[str, Recording] = {}
        self._judged = set[bytes]()
        self._predictions = dict[tuple[bytes, int], dict[str, Any]]()
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

    def recover(self, name: str, inputs: Tree, state: State, *, same_host: bool) -> None:
        """Judge a state on the disk, and again after one undisturbed run.

        Either the same host starts again at once, or another one takes over after a month.
        """
        self._restore(inputs, state.tree, modified=None if same_host else _A_MONTH_AGO)
        self._judge_newest(state)
        self._scenarios[name].mend(self.job)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BATCH_PREDICT_STATE", str(self._host if same_host else self._new_host()))
            outcome = self.job.run()
            if self._is_paused(state):
                assert outcome.exit_code == 3, outcome
                store, job = open_store(str(self.job.output)), load_job(str(self.job.folder))
                unpause(store, job, clock=utc_now)
                outcome = self.job.run()
        assert outcome.exit_code == 0, outcome
        self._judge_complete()

    def _judge_newest(self, state: State) -> None:
        """Let the oracle judge the newest version, wherever the pointer is.

        Once each: all that it names was compared by its hash.
        """
        newest = max(manifests(state.tree), key=version_of, default=None)
        if newest is None or newest in self._judged | state.promise.spoiled:
            return
        assert oracle.judge_newest(self.job.output) == parsed(newest)
        self._judged.add(newest)

    def _judge_complete(self) -> None:
        """Every record of every input is there once, with the plain model's predictions."""
        manifest = oracle.judge(self.job.output, expected=self._expected)
        ledger = oracle.ledger_of(self.job.output, manifest)
        lines = {path.name: path.read_bytes().count(b"\n") for path in _files(self.job.data)}
        assert {name: entry["records"] + 1 for name, entry in ledger.items()} == lines
        pointer = json.loads((self.job.output / "manifest.json").read_text())
        assert pointer == manifest, "the pointer is behind"
        assert not _files(self.job.output / ".tmp"), "unfinished files are left"

    def _expected(self, name: str, row: int) -> dict[str, Any]:
        """The plain model's prediction, made once for each content of an input."""
        key = ((self.job.data / name).read_bytes(), row)
        if key not in self._predictions:
            self._predictions[key] = self.job.expected(name, row)
        return self._predictions[key]

    def _is_paused(self, state: State) -> bool:
        newest = max(manifests(state.tree), key=version_of, default=None)
        return newest is not None and parsed(newest)["paused"] is not None

    def _record(self, scenario: Scenario, before: Recording | None) -> Recording:
        system, promise = before.end() if before else (FileSystem(), Promise())
        self._restore(before.inputs if before else self._inputs(), system.tree())
        scenario.prepare(self.job)
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
            os.environ | {"BATCH_PREDICT_STATE": str(self._host)},
        )
        assert trace.exit_code in scenario.exit_codes, (scenario.name, trace.errors)
        made = Recording(system, promise, trace.operations, trace.exit_code, self._inputs())
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
            for path in [*_files(self.job.data), self.job.folder / "job.toml"]
        }

    def _on_disk(self) -> Tree:
        return {
            str(path.relative_to(self.job.folder)): None if path.is_dir() else path.read_bytes()
            for top in self._tops()
            for path in ([top, *top.rglob("*")] if top.exists() else [])
        }

    def _tops(self) -> tuple[Path, Path]:
        return self.job.folder / Path(OUT).parts[0], self._host

    @property
    def _host(self) -> Path:
        return self.job.folder / HOST

    def _new_host(self) -> Path:
        self._hosts += 1
        return self._scratch / f"host-{self._hosts}"


def configure(job: JobFolder, *, mode: str = "append", min_rows: int = 0) -> None:
    """Write the job file anew, with the output where it is tried."""
    job.configure(output={"path": OUT, "mode": mode}, checks={"min_rows": min_rows})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
