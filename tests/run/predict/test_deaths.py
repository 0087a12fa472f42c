"""Models that end the process, workers that are killed, and runs that are told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.output.plan import PACKING
from batch.run.lock import read_suspects
from tests.support.jobs import JobFolder

ROWS = [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)]

#: Whatever holds on a local disk holds on S3; it takes long, so there only by scripts/test-s3.
PLACES = ("local", "rgw")


@pytest.fixture
def hook(job: JobFolder) -> Callable[[str], None]:
    """A function that makes these lines the job's preprocess hook; `frame` is the chunk."""

    def write(*lines: str) -> None:
        body = "".join(f"    {line}\n" for line in lines)
        (job.folder / "hook.py").write_text(
            "import os, signal, time\nfrom pathlib import Path\n\n"
            f"FOLDER = Path({str(job.folder)!r})\n\n\n"
            f"def change(frame):\n{body}    return frame\n"
        )

    job.configure(model={"preprocess": "hook:change"})
    return write


@contextmanager
def start(job: JobFolder, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The real command in a process group of its own."""
    command = [sys.executable, "-m", "batch", "run", str(job.folder), *options]
    with (
        job.mirrored(),
        subprocess.Popen(
            command, text=True, stderr=subprocess.PIPE, start_new_session=True
        ) as process,
    ):
        yield process


def wait_for(found: Callable[[], object], seconds: float = 40) -> None:
    """Until it is true."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def make_large(job: JobFolder, name: str, rows: str) -> None:
    """Blank lines are no records, but they give an input a slice of its own."""
    job.write(name, f"id,x,y\n{rows}".encode() + b"\n" * PACKING.small_bytes)


#: A chunk of three records takes a minute, until somebody removes `slow`.
SLOW = (
    "if (FOLDER / 'slow').exists() and len(frame) == 3:",
    "    (FOLDER / f'pid-{os.getpid()}').touch()",
    "    time.sleep(60)",
)


def make_deadly(job: JobFolder, which: int, *, of: int, run: dict[str, int]) -> None:
    """So many inputs with a slice each, one of which holds 666."""
    job.configure(model={"preprocess": "hook:change"}, run=run)
    for number in range(of):
        make_large(job, f"{number}.csv", f"k{number},{666 if number == which else 1},1\n")


def make_slow(job: JobFolder, rows: int, **run: int) -> None:
    """Two inputs with a slice each, whose prediction is slow."""
    job.configure(model={"preprocess": "hook:change"}, run=run)
    (job.folder / "slow").touch()
    for name in ("1.csv", "2.csv"):
        make_large(job, name, "".join(f"{name}{row},1,1\n" for row in range(rows)))


def test_an_input_that_kills_the_model_is_found_and_the_others_are_published(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """The first run dies of it; the next tries each of its inputs apart, and names the one."""
    hook("if 666 in set(frame.x): os.kill(os.getpid(), signal.SIGSEGV)")
    for number in range(3):
        job.add(f"{number}.csv", ROWS)
    job.add("bad.csv", [("z", 666, 1)])
    assert job.command("run", str(job.folder)).returncode == -signal.SIGSEGV
    again = job.command("run", str(job.folder))
    assert again.returncode == 65
    assert "bad.csv: worker process was killed (SIGSEGV" in again.stderr
    assert job.judge()["totals"]["inputs"] == 3
    # What killed once is never again predicted beside the others, until it is mended.
    assert read_suspects(job.output_url) == {"bad.csv"}
    assert job.command("run", str(job.folder)).returncode == 65
    job.add("bad.csv", [("z", 6, 1)])
    assert job.run().exit_code == 0
    assert job.judge()["totals"]["inputs"] == 4
    assert not read_suspects(job.output_url)


def test_a_worker_that_is_killed_costs_its_own_slice(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """What was under way is tried alone, once more; what kills again is named."""
    hook("if 666 in set(frame.x): os.kill(os.getpid(), signal.SIGKILL)")
    make_deadly(job, 1, of=6, run={"workers": 2})
    found = job.command("run", str(job.folder))
    assert found.returncode == 65, found.stderr
    assert "1.csv: worker process was killed (SIGKILL" in found.stderr
    assert job.judge()["totals"]["inputs"] == 5


def test_a_worker_that_is_killed_by_chance_costs_nothing(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """Whatever the system wanted the memory for: alone, the slice is predicted."""
    hook(
        "mark = FOLDER / 'killed'",
        "if 666 in set(frame.x) and not mark.exists():",
        "    mark.touch()",
        "    os.kill(os.getpid(), signal.SIGKILL)",
    )
    make_deadly(job, 1, of=4, run={"workers": 2})
    found = job.command("run", str(job.folder))
    assert (found.returncode, found.stderr) == (0, "")
    assert job.judge()["totals"]["inputs"] == 4


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_ends_its_children_and_goes_on_later(
    job: JobFolder, hook: Callable[[str], None], workers: int, number: signal.Signals
) -> None:
    """Exit 75 within the bound, nobody left behind, and the next run publishes."""
    hook(*SLOW)
    make_slow(job, rows=3, workers=workers)
    with start(job) as run:
        wait_for(lambda: len(list(job.folder.glob("pid-*"))) == workers)
        began = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(run.pid, number)  # A terminal sends Ctrl-C to the whole group.
        else:
            run.send_signal(number)
        stderr = run.communicate(timeout=40)[1]
    assert run.returncode == 75, stderr
    assert time.monotonic() - began < 12
    assert f"stopped: {number.name}" in stderr
    assert "Traceback" not in stderr
    pids = [int(path.name.split("-")[1]) for path in job.folder.glob("pid-*")]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)
    (job.folder / "slow").unlink()
    assert job.run().name == "published"
    assert job.judge()["totals"]["records"] == 6


def test_threads_that_are_told_to_stop_end_with_their_chunk(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """Exit 75 at once, not at the end of the input, and the next run publishes."""
    hook("if (FOLDER / 'slow').exists(): time.sleep(0.5)", "(FOLDER / 'begun').touch()")
    make_slow(job, rows=60, threads=2, chunk_rows=3)
    with start(job) as run:
        wait_for((job.folder / "begun").exists)
        began = time.monotonic()
        run.terminate()
        stderr = run.communicate(timeout=40)[1]
    assert run.returncode == 75, stderr
    assert time.monotonic() - began < 9
    assert "stopped: SIGTERM" in stderr
    assert "Traceback" not in stderr
    (job.folder / "slow").unlink()
    job.configure(run={"threads": 2})
    assert job.run().name == "published"
    assert job.judge()["totals"]["records"] == 120


def test_of_what_threads_were_at_when_they_died_the_guilty_is_found(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """All that was at work is tried apart by the next run, and the others are published."""
    hook("if 666 in set(frame.x): os.kill(os.getpid(), signal.SIGSEGV)", "time.sleep(0.2)")
    make_deadly(job, 2, of=4, run={"threads": 3})
    assert job.command("run", str(job.folder)).returncode == -signal.SIGSEGV
    again = job.command("run", str(job.folder))
    assert again.returncode == 65
    assert "2.csv: worker process was killed (SIGSEGV" in again.stderr
    assert job.judge()["totals"]["inputs"] == 3


def test_a_model_that_does_not_return_is_not_waited_for(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """Deep in a library, Python hears of no signal; the process ends all the same."""
    hook(
        "if len(frame) == 3:",
        "    import ctypes",
        "    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock",
        "    lock(mutex)",
        "    (FOLDER / 'stuck').touch()",
        "    lock(mutex)",  # Waits for itself, whatever signal comes.
    )
    job.add("1.csv", ROWS)
    with start(job) as run:
        wait_for((job.folder / "stuck").exists)
        began = time.monotonic()
        run.terminate()
        stderr = run.communicate(timeout=40)[1]
    assert run.returncode == 75
    assert 9 < time.monotonic() - began < 14
    assert "did not return" in stderr


def test_nothing_of_a_killed_run_is_left_after_the_next_one(
    job: JobFolder, hook: Callable[[str], None]
) -> None:
    """Neither processes, nor shared memory, nor temporary files, nor the lock."""
    hook(*SLOW)
    make_slow(job, rows=3, workers=2)
    with start(job) as run:
        wait_for(lambda: len(list(job.folder.glob("pid-*"))) == 2)
        os.killpg(run.pid, signal.SIGKILL)
    (job.folder / "slow").unlink()
    assert job.command("run", str(job.folder)).returncode == 0
    assert job.judge()["totals"]["records"] == 6
    shared = [path.name for path in Path("/dev/shm").iterdir() if str(run.pid) in path.name]
    assert not shared
    spools = [job.output / ".tmp", Path(os.environ.get("BATCH_PREDICT_SPOOL", job.output / ".tmp"))]
    assert not [item for spool in spools if spool.exists() for item in spool.iterdir()]
