"""One command as a whole: seconds, CPU seconds and peak memory of all its processes."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Self

_SAMPLE_SECONDS = 0.05
#: The list of processes is refreshed less often: it takes a look at every one of the system.
_SAMPLES_OF_ONE_TREE = 4
_SAMPLES_OF_ONE_PSS = 10
#: How long processes that a command leaves behind may take to end by themselves.
_PATIENCE_SECONDS = 5.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36

#: `wall_seconds`, `cpu_seconds`, `peak_bytes`, and the measures that a command reports itself.
Sample = dict[str, float]


class CommandFailed(Exception):
    """A command that ended with another code than 0; the message has its stderr."""

    @property
    def brief(self) -> str:
        """The last line alone: of a traceback, the error."""
        return str(self).splitlines()[-1][:200]


def adopt_orphans() -> None:
    """From now on processes whose parent ended are children of this one, and are counted."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measure(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Sample:
    """Run a command in `folder`, alone, and measure it.

    A JSON object on the last line of its output takes the place of what is measured from outside,
    or is added to it. Raises `CommandFailed`.
    """
    # Bytes that others left unwritten must not be written at this one's expense.
    os.sync()
    before = _children_seconds()
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            with _PeakMemory() as peak:
                code = process.wait()
                wall = time.perf_counter() - start
            _end_the_rest(_PATIENCE_SECONDS)
        except BaseException:  # An interrupt is meant for the command as well.
            _end_the_rest(0)
            raise
        said, complained = (_read(file) for file in (output, errors))
    if code != 0:
        raise CommandFailed(f"exit {code}: {complained.strip()}")
    found = {
        "wall_seconds": wall,
        "cpu_seconds": _children_seconds() - before,
        "peak_bytes": float(peak.bytes),
    }
    lines = said.splitlines()
    return found | (json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {})


class _PeakMemory(threading.Thread):
    """Samples the memory of all descendants of this process.

    The sum of their resident sets is cheap to ask for and counts shared pages several times. The
    proportional set size (PSS) counts each page once, but walks all page tables: it is asked for
    whenever the sum has grown beyond its highest, and twice a second.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        tree, highest = list[int](), 0
        for number in count():
            if self._stopped.wait(_SAMPLE_SECONDS):
                return
            if number % _SAMPLES_OF_ONE_TREE == 0:
                tree = _descendants()
            resident = sum(map(_resident_bytes, tree))
            if resident > highest * 1.01 or number % _SAMPLES_OF_ONE_PSS == 0:
                highest = max(highest, resident)
                self.bytes = max(self.bytes, sum(map(_proportional_bytes, tree)))


def _descendants() -> list[int]:
    """Every process below this one, by their parents as they are now."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - quick, beside what is measured
        if name.isdigit() and (text := _read_quickly(f"/proc/{name}/stat")):
            children.setdefault(int(text.rpartition(b")")[2].split()[1]), []).append(int(name))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _resident_bytes(process: int) -> int:
    text = _read_quickly(f"/proc/{process}/statm")
    return int(text.split()[1]) * _PAGE_BYTES if text else 0


def _proportional_bytes(process: int) -> int:
    for line in _read_quickly(f"/proc/{process}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read_quickly(path: str) -> bytes:
    """The content of a file in `/proc`; empty once the process is gone."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return b""


def _end_the_rest(patience_seconds: float) -> None:
    """Wait for processes that the command left behind, so that they are counted; then end them."""
    deadline = time.monotonic() + patience_seconds
    while left := _descendants():
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        if time.monotonic() > deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(_SAMPLE_SECONDS)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
