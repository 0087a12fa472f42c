"""One scenario, struck at one system call after another, and judged each time.

The command is traced once, undisturbed. For every call that it made below its output or in this
host's state folder it is run again from the same start, and is killed there or the call fails.
What it leaves is judged at once, and again after one clean run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import errorcode
from pathlib import Path
from typing import Any

from tests.faults.system_calls import Call, Command, Traced
from tests.support import oracle
from tests.support.jobs import JobFolder

_ERRNO = {name: number for number, name in errorcode.items()}
#: What the system may answer to a call, and what nobody else will ever say of it.
_MAKING = ("ENOSPC", "EDQUOT", "EROFS", "EIO")
_ERRORS = {
    "write": ("ENOSPC", "EDQUOT", "EIO"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "unlink": ("EROFS", "EIO"),
    "rmdir": ("EROFS", "EIO"),
    "ftruncate": ("EIO",),
}
#: Others outside the output would fail too, among them what the command wants to say.
_LASTING = frozenset({"mkdir", "link", "rename", "fsync", "unlink"})
#: What differs from run to run: hex of eight digits and more, process ids, run ids.
_RANDOM = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{6}|[0-9a-f]{8,}|(?<=[-.])\d+|#\d+")


@dataclass(frozen=True)
class Scenario:
    """Where a command starts, and how many records are there when all is done.

    `then` are commands that must follow before a run can make everything good.
    """

    name: str
    prepare: Callable[[Bench], None]
    records: int
    command: str = "run"
    then: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The promise held at one point. `reached`: the command did get there, and was struck."""

    point: str
    reached: bool
    exit_code: int


@dataclass(frozen=True)
class ErrorPoint:
    """One call and the error that it is answered with; lasting: so is every later one."""

    call: Call
    error: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.error}{' from here on' if self.lasting else ''}: {self.call.text}"


class Bench:
    """One scenario, put back to its start for every point."""

    def __init__(self, scenario: Scenario, *, model: Path, folder: Path, command: Command) -> None:
        self.job = JobFolder.make(folder / "job", model)
        self._scenario = scenario
        self._command = command
        self._places = (self.job.folder, Path(os.environ["BATCH_PREDICT_STATE"]))
        self._kept = folder / "kept"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        scenario.prepare(self)
        self.keep()
        self._before = _immutable(self.job.output)
        self._version = _pointed(self.job.output)
        self.start_with(command)

    def start_with(self, command: Command) -> None:
        """Start the command in another way from now on."""
        self._command = command
        self._undisturbed = self.trace()
        self._published = _newest(self.job.output)

    def keep(self) -> None:
        """From now on every command starts from what is here now."""
        shutil.rmtree(self._kept, ignore_errors=True)
        for place in self._places:
            place.mkdir(exist_ok=True)
            shutil.copytree(place, self._kept / place.name)

    def trace(self, fault: str | None = None) -> Traced:
        """The command from its start, with one fault."""
        # Process ids are used again: what is there already belongs to somebody else.
        self._shared = {path.name for path in Path("/dev/shm").iterdir()}
        for place in self._places:
            shutil.rmtree(place)
            shutil.copytree(self._kept / place.name, place)
        arguments = [self._scenario.command, str(self.job.folder)]
        return self._command.trace(arguments, fault=fault, folder=self._temporary)

    def calls(self) -> list[Call]:
        """What the command does to the output and the state folder when nothing disturbs it."""
        assert self._undisturbed.exit_code == 0, self._undisturbed.stderr
        ours = (self.job.output, self._places[1])
        elsewhere = [call for call in self._undisturbed.others if call.below(*ours)]
        assert not elsewhere, f"not in the main thread, so not to be counted: {elsewhere}"
        return [call for call in self._undisturbed.calls if call.below(*ours)]

    def kill_points(self) -> list[Call]:
        """Every call that may change a file: the states between them are all there are."""
        return [call for call in self.calls() if call.changes]

    def error_points(self) -> list[ErrorPoint]:
        """Every call with every error it may meet, once and from there on."""
        return [point for call in self.calls() for point in _errors(call)]

    def kill(self, call: Call) -> Verdict:
        """Kill the command when it enters this call, judge, run again, judge."""
        with _noting(f"killed at {call.text}"):
            traced = self.trace(call.fault("signal=KILL"))
            assert traced.exit_code in {-9, 0}, traced.stderr
            reached = traced.exit_code == -9 and _same_place(traced.calls[-1], call)
            self._require_whole()
            self._require_recovery(traced)
            return Verdict(call.text, reached, traced.exit_code)

    def fail(self, point: ErrorPoint) -> Verdict:
        """Let the call fail, judge what the command says and leaves, run again, judge."""
        with _noting(str(point)):
            traced = self.trace(point.call.fault(f"error={point.error}", lasting=point.lasting))
            struck = [call for call in traced.calls if call.injected]
            reached = bool(struck) and _same_place(struck[0], point.call)
            if reached:
                self._require_truth(point, traced)
                _require_no_second_sync(traced)
            self._require_whole()
            self._require_recovery(traced)
            return Verdict(str(point), reached, traced.exit_code)

    def _require_truth(self, point: ErrorPoint, traced: Traced) -> None:
        """Exit 0 if the version was published, else one block that names the path and reason."""
        if traced.exit_code == 0:
            assert not traced.stderr, traced.stderr
            assert _newest(self.job.output) == self._published, "said 0 without having published"
            return
        assert traced.exit_code == 69, f"exit {traced.exit_code}: {traced.stderr}"
        assert not self._comes_after_the_commit(point.call), traced.stderr
        require_one_block(traced.stderr, _ERRNO[point.error], *self._places)

    def _comes_after_the_commit(self, call: Call) -> bool:
        """Whether the version is there already: then the run has done what it was for."""
        calls = self._undisturbed.calls
        committed = max(
            index
            for index, other in enumerate(calls)
            if other.name == "fsync" and other.paths[0].endswith("/manifests")
        )
        return calls.index(call) > committed

    def _require_whole(self) -> None:
        """What was published before is untouched; what readers see and what is newest is whole."""
        output = self.job.output
        after = _immutable(output)
        assert {name: after.get(name) for name in self._before} == self._before
        pointed = _pointed(output)
        assert pointed >= self._version, "readers went back"
        for version in {pointed, _newest(output)} - {0}:
            manifest = _manifest(output, version)
            ledger = oracle.ledger_of(output, manifest)
            rows = oracle.rows_of(output, manifest)
            rejects = oracle.rows_of(output, manifest, "rejects")
            oracle._judge_records(manifest, ledger, rows, rejects)
        if pointed:
            assert json.loads((output / "manifest.json").read_text()) == _manifest(output, pointed)

    def _require_recovery(self, traced: Traced) -> None:
        """One clean run later every record is there once, and nothing else is left."""
        for name in self._scenario.then:
            done = self.job.command(name, str(self.job.folder))
            assert done.returncode == 0, done.stderr
        outcome = self.job.run()
        assert outcome.exit_code == 0, outcome
        assert self.job.judge()["totals"]["records"] == self._scenario.records
        left = [str(path) for path in self.job.output.rglob("*") if _is_unfinished(path)]
        left += [str(path) for path in self._temporary.rglob("*")]
        process = str(traced.calls[0].thread)
        shared = {path.name for path in Path("/dev/shm").iterdir()} - self._shared
        left += [name for name in shared if process in re.split(r"\D+", name)]
        assert not left, f"left behind: {left}"


def require_one_block(stderr: str, errno: int, *places: Path) -> None:
    """One block for an operator: the path, the reason, no traceback."""
    first, *rest = stderr.splitlines() or [""]
    assert first.startswith("batch-predict: "), stderr
    assert all(line.startswith("  ") for line in rest), stderr
    assert "Traceback" not in stderr, stderr
    assert not places or any(str(place) in first for place in places), stderr
    assert os.strerror(errno).lower() in first.lower(), stderr


def shape(call: Call) -> tuple[str, ...]:
    """The paths of a call without what differs from run to run."""
    return tuple(_RANDOM.sub("*", path) for path in call.paths)


def _errors(call: Call) -> Iterator[ErrorPoint]:
    errors = _ERRORS.get(call.name, _MAKING)
    if call.name.startswith("open"):
        errors = (*(_MAKING if call.changes else ("EIO",)), "EMFILE")
    for error in errors:
        yield ErrorPoint(call, error)
    if call.name in _LASTING:
        yield ErrorPoint(call, errors[0], lasting=True)


def _same_place(found: Call, wanted: Call) -> bool:
    """The same call in another run, where process ids, run ids and random names differ."""
    return found.name == wanted.name and shape(found) == shape(wanted)


def _require_no_second_sync(traced: Traced) -> None:
    """A file whose fsync failed is never synced again, nor given its name."""
    for index, call in enumerate(traced.calls):
        if call.name == "fsync" and call.injected and not Path(call.paths[0]).is_dir():
            again = [
                later.text
                for later in traced.calls[index + 1 :]
                if later.name in {"fsync", "link", "rename"} and call.paths[0] in later.paths
            ]
            assert not again, again


def _immutable(output: Path) -> dict[str, bytes]:
    """All that is never changed once it is there, by its path."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for folder in ("manifests", "data", "rejects", "ledger", "models", "runs")
        for path in (output / folder).rglob("*")
        if path.is_file() and not _is_unfinished(path)
    }


def _is_unfinished(path: Path) -> bool:
    return path.suffix == ".tmp" or path.parent.name == ".tmp"


def _pointed(output: Path) -> int:
    """The version that readers see; 0 before the first."""
    pointer = output / "manifest.json"
    return int(json.loads(pointer.read_text())["version"]) if pointer.exists() else 0


def _newest(output: Path) -> int:
    newest = oracle.newest(output)
    return int(newest["version"]) if newest else 0


def _manifest(output: Path, version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / f"manifests/{version:010}.json").read_text())
    return found


@contextmanager
def _noting(point: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(point)
        raise
