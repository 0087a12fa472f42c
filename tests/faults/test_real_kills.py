"""The real command, killed and refused by the system itself at the calls that change files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EMFILE, ENOSPC
from functools import partial
from pathlib import Path

import pytest

from tests.faults.bench import Bench
from tests.faults.hosts import ROOT
from tests.faults.kills import SCENARIOS, Calls, ErrorPoint, Point, require_one_block, shape, spread
from tests.faults.system_calls import ColdCommand, WarmCommand
from tests.faults.tracing import why_no_trace
from tests.support.jobs import JobFolder

traced = pytest.mark.skipif(bool(why_no_trace()), reason=why_no_trace())


def some(points: list[Point]) -> list[Point]:
    """A few of them, or all where there is time."""
    return points if "BATCH_PREDICT_TORTURE" in os.environ else spread(points, 4)


def reaches(strike: Callable[[], bool]) -> bool:
    """Whether the call was struck: calls are counted, and now and then the machine makes one more.

    Whatever was struck instead is judged all the same.
    """
    return any(strike() for _ in range(3))


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own, as small as these options say."""
    folder.mkdir(exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NO DISK CAN BE MOUNTED HERE: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: nothing may stay mounted here, even if somebody still reads from it.
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmCommand]:
    """Where commands are forked from."""
    command = WarmCommand()
    yield command
    command.close()


@traced
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_killed_or_refused_anywhere_loses_nothing(
    name: str, tmp_path: Path, bench: Bench, warm: WarmCommand
) -> None:
    """What was published stays, an error is told, and the next run publishes every record once."""
    calls = Calls(bench, name, start=warm, temporary=tmp_path)
    for call in some(calls.kill_points()):
        assert reaches(partial(calls.kill, call)), call.text
    for point in some(calls.error_points()):
        assert reaches(partial(calls.fail, point)), str(point)


@traced
def test_the_command_as_cron_starts_it_makes_the_same_calls(
    tmp_path: Path, bench: Bench, warm: WarmCommand
) -> None:
    """So what holds for the forked one holds for it; killed at its commit, it does too."""
    calls = Calls(bench, "first run", start=warm, temporary=tmp_path)
    forked = calls.all()
    calls.start_with(ColdCommand())
    cold = calls.all()
    assert [(call.name, shape(call)) for call in cold] == [
        (call.name, shape(call)) for call in forked
    ]
    commit = next(call for call in cold if call.name == "link" and "/manifests/" in call.text)
    assert calls.kill(commit)
    assert calls.fail(ErrorPoint(commit, "EIO"))


@traced
def test_the_points_are_in_every_place_and_of_every_kind(
    tmp_path: Path, bench: Bench, warm: WarmCommand
) -> None:
    """A folder or a call that nobody strikes would be a hole in the proof."""
    calls = Calls(bench, "first run", start=warm, temporary=tmp_path)
    points = calls.kill_points()
    assert {"openat", "write", "fsync", "link", "rename", "unlink", "mkdir", "rmdir"} <= {
        call.name for call in points
    }
    touched = {Path(path) for call in points for path in call.paths}
    written = {path for path in calls.job.output.iterdir() if path.name != ".tmp"}
    assert written <= {parent for path in touched for parent in (path, *path.parents)}
    assert len(points) > 100


@pytest.mark.parametrize("open_files", [5, 6, 9])
def test_too_few_open_files_from_the_start_are_one_clear_error(
    open_files: int, job: JobFolder
) -> None:
    """With four, Python itself does not start; with a few more its imports fail somewhere."""
    job.add("1.csv", [("a", 1, 2)])
    command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(open_files), sys.executable, "-m"]
    done = subprocess.run(
        [*command, "batch", "run", job.folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69, done.stderr
    assert "too many open files" in done.stderr.splitlines()[0]
    assert "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr
    assert job.run().exit_code == 0
    job.judge()


def test_a_run_that_lacks_one_open_file_after_another_says_so(
    job: JobFolder, warm: WarmCommand
) -> None:
    """Whatever it opens last when there is no more room: the same error, until it has enough."""
    job.add("1.csv", [("a", 1, 2), ("b", "oops", 4)])
    exit_codes = []
    for open_files in range(4, 20):
        done = warm.run_with(open_files, ["run", str(job.folder)], folder=job.folder)
        exit_codes.append(done.exit_code)
        if done.exit_code == 0:
            break
        require_one_block(done.stderr, EMFILE)
    assert set(exit_codes[:-1]) == {69}
    assert exit_codes[-1] == 0
    assert len(exit_codes) > 3
    assert job.judge()["totals"]["records"] == 2


@pytest.mark.parametrize("options", ["size={}k", "size=1m,nr_inodes={}"], ids=["bytes", "files"])
def test_a_disk_that_is_full_is_one_clear_error(
    options: str, job: JobFolder, warm: WarmCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the room ends, on the disk of the output and the state; with more, all is there."""
    job.add("1.csv", [("a", 1, 2), ("b", "oops", 4)])
    job.out = str(job.folder / "disk/out")
    job.configure(output={"path": job.out})
    monkeypatch.setenv("BATCH_PREDICT_STATE", str(job.folder / "disk/state"))
    exit_codes = []
    for room in range(8, 68, 12):
        with disk(job.folder / "disk", options.format(room)) as mounted:
            done = warm.run_with(0, ["run", str(job.folder)], folder=job.folder)
            exit_codes.append(done.exit_code)
            if done.exit_code:
                require_one_block(done.stderr, ENOSPC, mounted)
            subprocess.run(["mount", "-o", "remount,size=1m,nr_inodes=0", str(mounted)], check=True)
            done = warm.run_with(0, ["run", str(job.folder)], folder=job.folder)
            assert done.exit_code == 0, done.stderr
            assert job.judge()["totals"]["records"] == 2
    assert set(exit_codes) == {0, 69}
    assert exit_codes.count(69) > 1
