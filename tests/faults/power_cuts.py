"""Record commands one after another, and try what follows a power cut in any of them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.bench import Command, Folder, Round, holds_nothing_else, run
from tests.faults.bench import Scenario as Struck
from tests.faults.commands import UNPAUSE
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
from tests.faults.watching import Watcher

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
