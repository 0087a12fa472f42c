"""Run the real command under strace: list what it does to files, kill or fail it at one call.

strace counts the calls of each name by thread. All that a run with one worker does to files it
does in its main thread, so the name and the count of a call find it again in the next run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.faults.hosts import ROOT, Forks

#: Calls that change files, by their first argument: a descriptor, or a path.
_BY_DESCRIPTOR = (
    *("write", "pwrite64", "writev", "pwritev", "sendfile", "copy_file_range"),
    *("fsync", "fdatasync", "ftruncate", "fallocate", "fchmod", "fchown", "flock"),
)
_BY_PATH = (
    *("open", "openat", "openat2", "creat", "truncate", "mkdir", "mkdirat", "rmdir"),
    *("link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2"),
    *("unlink", "unlinkat", "chmod", "fchmodat", "utimensat"),
)
_OPENING = frozenset({"open", "openat", "openat2", "creat"})
_LINE = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')
#: The same calls in every run: no order by hash, nothing compiled anew, no threads of BLAS.
_STEADY = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Call:
    """One system call; `occurrence` is its number among the calls of its name by its thread."""

    thread: int
    name: str
    occurrence: int
    paths: tuple[str, ...]
    text: str

    @property
    def changes(self) -> bool:
        """Whether it may change a file: everything but opening one to read it."""
        if self.name not in _OPENING:
            return True
        return self.name == "creat" or "O_CREAT" in self.text or "O_TMPFILE" in self.text

    @property
    def injected(self) -> bool:
        """Whether strace made it fail."""
        return "(INJECTED)" in self.text

    def below(self, *folders: Path) -> bool:
        """Whether a path that it names is one of these folders, or lies in one."""
        return any(
            path == str(folder) or path.startswith(f"{folder}/")
            for path in self.paths
            for folder in folders
        )

    def fault(self, what: str, *, lasting: bool = False) -> str:
        """What makes strace strike here: `signal=KILL`, `error=EIO`; lasting: from here on."""
        return f"{self.name}:{what}:when={self.occurrence}{'+' if lasting else ''}"


@dataclass(frozen=True)
class Traced:
    """A command that ended, with what its main thread did; killed by a signal it is negative."""

    exit_code: int
    stderr: str
    calls: tuple[Call, ...]
    others: tuple[Call, ...]


class Command(Protocol):
    """A way to start the real command under strace."""

    def trace(self, arguments: Sequence[str], *, fault: str | None, folder: Path) -> Traced:
        """Run it to its end, with temporary files in `folder`, and one fault if one is given."""


class ColdCommand:
    """`python -m batch` from the start, as cron starts it."""

    def trace(self, arguments: Sequence[str], *, fault: str | None, folder: Path) -> Traced:
        environment = _environment(folder)
        done = subprocess.run(
            # Not --seccomp-bpf, which is faster: with it strace 6.1 sends no signals.
            [*_strace(folder, fault), sys.executable, "-m", "batch", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return _traced(folder, done.returncode, done.stderr)


class WarmCommand:
    """`python -m batch` forked from a process that has imported everything; ten times faster."""

    def __init__(self) -> None:
        self._forks = Forks(_STEADY)

    def close(self) -> None:
        """End the process that forks."""
        self._forks.close()

    def trace(self, arguments: Sequence[str], *, fault: str | None, folder: Path) -> Traced:
        process = self._fork(arguments, folder)
        with subprocess.Popen([*_strace(folder, fault), "-p", str(process)]) as strace:
            while not _is_traced(process):
                assert strace.poll() is None, "strace could not attach"
                time.sleep(0.001)
            self._forks.let_go()
            exit_code = self._forks.wait()
        return _traced(folder, exit_code, (folder / "stderr").read_text())

    def run_with(self, open_files: int, arguments: Sequence[str], *, folder: Path) -> Traced:
        """Run it without strace, allowed no more than so many open files."""
        self._fork(arguments, folder, open_files)
        self._forks.let_go()
        exit_code = self._forks.wait()
        return Traced(exit_code, (folder / "stderr").read_text(), (), ())

    def _fork(self, arguments: Sequence[str], folder: Path, open_files: int = 0) -> int:
        stderr = folder / "stderr"
        return self._forks.prepare(arguments, _environment(folder), stderr, open_files=open_files)


def _strace(folder: Path, fault: str | None) -> list[str]:
    # A question mark: not every machine has every call.
    names = ",".join(f"?{name}" for name in (*_BY_DESCRIPTOR, *_BY_PATH))
    command = ["strace", "-f", "-y", "-q", "-o", str(folder / "trace"), "-e", f"trace={names}"]
    return [*command, "-e", f"inject={fault}"] if fault else command


def _environment(folder: Path) -> dict[str, str]:
    state = {name: os.environ[name] for name in ("BATCH_PREDICT_STATE",)}
    return _STEADY | state | {"TMPDIR": str(folder)}


def _is_traced(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    return "TracerPid:\t0\n" not in status


def _traced(folder: Path, exit_code: int, stderr: str) -> Traced:
    trace = folder / "trace"
    counts: Counter[tuple[int, str]] = Counter()
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        if not (found := _LINE.match(line)):
            continue  # A signal, an end, or the second half of a call.
        thread, name, arguments = int(found[1]), found[2], found[3]
        counts[thread, name] += 1
        paths = _paths(name, arguments)
        calls.append(Call(thread, name, counts[thread, name], paths, f"{name}({arguments}"))
    for file in ("trace", "stderr"):
        (folder / file).unlink(missing_ok=True)
    main = calls[0].thread if calls else 0
    own = tuple(call for call in calls if call.thread == main)
    return Traced(exit_code, stderr, own, tuple(call for call in calls if call.thread != main))


def _paths(name: str, arguments: str) -> tuple[str, ...]:
    if name in _BY_DESCRIPTOR:
        found = _DESCRIPTOR.match(arguments)
        return (found[1],) if found else ()
    return tuple(str(Path(base, path)) for base, path in _PATH.findall(arguments))
