"""The real command, struck at one system call after another: killed there, or the call fails.

It is traced once, undisturbed. For every call that it made below its output or in this host's
state folder it is run again from the same start.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import errorcode
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.faults.bench import Bench, Command, Folder, Round, Scenario, holds_nothing_else
from tests.faults.system_calls import Call, Traced
from tests.faults.system_calls import Command as Start
from tests.support import oracle

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
#: Blank lines are no records; a file of so many shares its slice with no other.
_ALONE = b"\n" * (4 << 20)


@dataclass(frozen=True)
class ErrorPoint:
    """One call and the error that it is answered with; lasting: so is every later one."""

    call: Call
    error: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.error}{' from here on' if self.lasting else ''}: {self.call.text}"


Point = TypeVar("Point", Call, ErrorPoint)


def spread(points: list[Point], count: int) -> list[Point]:
    """So many of these points, equally far apart, each from the middle of its stretch."""
    return [points[(2 * index + 1) * len(points) // (2 * count)] for index in range(count)]


class Calls:
    """The system calls of one command from one start; `prepare` gets what traces it."""

    def __init__(self, bench: Bench, name: str, *, start: Start, temporary: Path) -> None:
        prepare, self._command, then = SCENARIOS[name]
        self._bench, self._start, self._temporary = bench, start, temporary
        self._scenario = Scenario(name, partial(prepare, self), again=[*then, _RUN])
        self.job = bench.start(self._scenario).job
        self._before = _immutable(self.job.output)
        self.start_with(start)

    def start_with(self, start: Start) -> None:
        """Start the command in another way from now on."""
        self._start = start
        _, self._undisturbed = self._struck()
        self._published = _newest(self.job.output)

    def trace(self, job: Folder, fault: str | None = None, command: str = "run") -> Traced:
        """A command on what is there now, with one fault."""
        # Process ids are used again: what is there already belongs to somebody else.
        self._shared = {path.name for path in Path("/dev/shm").iterdir()}
        arguments = [command, str(job.folder)]
        return self._start.trace(arguments, fault=fault, folder=self._temporary)

    def all(self) -> list[Call]:
        """What the command does to the output and the state folder when nothing disturbs it."""
        assert self._undisturbed.exit_code == 0, self._undisturbed.stderr
        ours = (self.job.output, self.job.folder / "one")
        elsewhere = [call for call in self._undisturbed.others if call.below(*ours)]
        assert not elsewhere, f"not in the main thread, so not to be counted: {elsewhere}"
        return [call for call in self._undisturbed.calls if call.below(*ours)]

    def kill_points(self) -> list[Call]:
        """Every call that may change a file: the states between them are all there are."""
        return [call for call in self.all() if call.changes]

    def error_points(self) -> list[ErrorPoint]:
        """Every call with every error it may meet, once and from there on."""
        return [point for call in self.all() for point in _errors(call)]

    def kill(self, call: Call) -> bool:
        """Kill the command when it enters this call, judge, run again, judge.

        Whether the command did get there, and was struck.
        """
        with _noting(f"killed at {call.text}"):
            struck, traced = self._struck(call.fault("signal=KILL"))
            assert traced.exit_code in {-9, 0}, traced.stderr
            self._require_recovery(struck, traced)
            return traced.exit_code == -9 and _same_place(traced.calls[-1], call)

    def fail(self, point: ErrorPoint) -> bool:
        """Let the call fail, judge what the command says and leaves, run again, judge."""
        with _noting(str(point)):
            fault = point.call.fault(f"error={point.error}", lasting=point.lasting)
            struck, traced = self._struck(fault)
            injected = [call for call in traced.calls if call.injected]
            reached = bool(injected) and _same_place(injected[0], point.call)
            if reached:
                self._require_truth(point, traced)
                _require_no_second_sync(traced)
            self._require_recovery(struck, traced)
            return reached

    def _struck(self, fault: str | None = None) -> tuple[Round, Traced]:
        """The command from its start, with one fault; what is left is judged."""
        begun, traced = self._bench.start(self._scenario), list[Traced]()

        def act(job: Folder, _: object) -> int:
            traced.append(self.trace(job, fault, self._command))
            return traced[0].exit_code

        begun.perform([Command(act)])
        return begun, traced[0]

    def _require_truth(self, point: ErrorPoint, traced: Traced) -> None:
        """Exit 0 if the version was published, else one block that names the path and reason."""
        if traced.exit_code == 0:
            assert not traced.stderr, traced.stderr
            assert _newest(self.job.output) == self._published, "said 0 without having published"
            return
        assert traced.exit_code == 69, f"exit {traced.exit_code}: {traced.stderr}"
        assert not self._comes_after_the_commit(point.call), traced.stderr
        require_one_block(traced.stderr, _ERRNO[point.error], self.job.folder)

    def _comes_after_the_commit(self, call: Call) -> bool:
        """Whether the version is there already: then the run has done what it was for."""
        calls = self._undisturbed.calls
        committed = max(
            index
            for index, other in enumerate(calls)
            if other.name == "fsync" and other.paths[0].endswith("/manifests")
        )
        return calls.index(call) > committed

    def _require_recovery(self, struck: Round, traced: Traced) -> None:
        """One clean run later every record is there once, and nothing else is left."""
        after = _immutable(self.job.output)
        assert {name: after.get(name) for name in self._before} == self._before
        struck.end()
        left = [str(path) for path in self.job.output.rglob("*") if _is_unfinished(path)]
        left += [str(path) for path in self._temporary.rglob("*")]
        process = str(traced.calls[0].thread)
        shared = {path.name for path in Path("/dev/shm").iterdir()} - self._shared
        left += [name for name in shared if process in re.split(r"\D+", name)]
        assert not left, f"left behind: {left}"


def _first_run(_: Calls, job: Folder) -> None:
    """Two inputs and a reject; there is no output yet."""
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)])
    job.add("2.csv", [("d", 2, 2), ("e", "oops", 1)])


def _changed_input(calls: Calls, job: Folder) -> None:
    """An input in a part that it shares has another content, and one is new."""
    _first_run(calls, job)
    job.run()
    job.add("1.csv", [("a", 9, 9)])
    job.add("3.csv", [("f", 1, 0), ("g", 0, 1)])


def _interrupted_run(calls: Calls, job: Folder) -> None:
    """Of two slices one was done when the run was killed; then an input came."""
    job.configure(run={"threads": 1})  # One call after the other, the same every time.
    job.add("0.csv", [("z", 1, 1)])
    job.run()
    for name in ("1.csv", "2.csv"):
        rows = job.add(name, [(f"{name}-a", 1, 2), (f"{name}-b", 3, 4)]).read_bytes()
        job.write(name, rows + _ALONE)
    before = job.folder.with_name("before")
    shutil.rmtree(before, ignore_errors=True)
    job.save(before)
    done = calls.trace(job).calls
    receipt = next(call for call in done if call.paths and call.paths[-1].endswith("/00000.json"))
    # It was about to note what it predicts next: nothing was in flight.
    noting = next(
        call
        for call in done[done.index(receipt) :]
        if call.name == "write" and call.paths[0].endswith(".lock")
    )
    job.restore(before)
    assert calls.trace(job, noting.fault("signal=KILL")).exit_code == -9
    job.add("3.csv", [("f", 1, 0)])


def _version_to_leave(calls: Calls, job: Folder) -> None:
    """Two versions; the second one is to be undone."""
    _changed_input(calls, job)
    job.run()


def _paused(calls: Calls, job: Folder) -> None:
    """Rolled back to the first of two versions."""
    _version_to_leave(calls, job)
    assert job.command("rollback", str(job.folder)).returncode == 0


#: Its own opening of the output: what a dead run was at is predicted in a process apart.
_RUN = Command(lambda job, _: job.run().exit_code, holds_nothing_else)
_UNPAUSE = Command(lambda job, _: job.command("unpause", str(job.folder)).returncode)
#: Where a command starts, the command, and what must follow before a run can make all good.
SCENARIOS: dict[str, tuple[Callable[[Calls, Folder], None], str, tuple[Command, ...]]] = {
    "first run": (_first_run, "run", ()),
    "changed input": (_changed_input, "run", ()),
    "interrupted run": (_interrupted_run, "run", ()),
    "rollback": (_version_to_leave, "rollback", (_UNPAUSE,)),
    "unpause": (_paused, "unpause", (_UNPAUSE,)),
}


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


def _newest(output: Path) -> int:
    newest = oracle.newest(output)
    return int(newest["version"]) if newest else 0


@contextmanager
def _noting(point: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(point)
        raise
