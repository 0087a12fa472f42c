"""Hosts that run one job: each with a state and a spool folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    said: str


class Forks:
    """Forks commands from a process that has imported everything: nine tenths of a short run."""

    def __init__(self, environment: Mapping[str, str] = {}) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm_command"],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def prepare(
        self, arguments: Sequence[str], environment: Mapping[str, str], stderr: Path, *,
        open_files: int = 0,
    ) -> int:  # fmt: skip
        """Fork a command, which waits to be let go; its process id."""
        request = {
            "arguments": list(arguments),
            "environment": environment,
            "stderr": str(stderr),
            "open_files": open_files,
        }
        self._say(json.dumps(request))
        return self.wait()

    def let_go(self) -> None:
        """Let the command begin."""
        self._say("")

    def wait(self) -> int:
        """The exit code of the command, when it has ended."""
        assert self._process.stdout is not None
        heard = self._process.stdout.readline()
        assert heard, f"the process that forks has ended: {self._process.wait(10)}"
        return int(heard)

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate(timeout=120)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # The answer that does not come says more.
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


class Host:
    """Runs `batch-predict`, one command after the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.spool = folder / "spool"
        self._said = folder / "stderr"
        self._environment = {
            "BATCH_PREDICT_STATE": str(folder / "state"),
            "BATCH_PREDICT_SPOOL": str(self.spool),
        }
        self._forks = Forks()
        self.let_go, self.close = self._forks.let_go, self._forks.close

    def prepare(self, arguments: Sequence[str]) -> None:
        """Fork a command, which waits to be let go."""
        self._forks.prepare(arguments, self._environment, self._said)

    def wait(self) -> Ended:
        """Return when the command has ended."""
        code = self._forks.wait()
        return Ended(code, self._said.read_text())

    def run(self, *arguments: str) -> Ended:
        """A command from its beginning to its end."""
        self.prepare(arguments)
        self.let_go()
        return self.wait()


@contextmanager
def several(count: int, folder: Path) -> Iterator[list[Host]]:
    """So many hosts, which talk to the servers that this process talks to."""
    with ExitStack() as stack:
        hosts = [Host(folder / f"host-{number}") for number in range(count)]
        for host in hosts:
            stack.callback(host.close)
        yield hosts


def at_once(hosts: Sequence[Host], *arguments: str) -> list[Ended]:
    """The same command on each, begun at the same moment."""
    for host in hosts:
        host.prepare(arguments)
    for host in hosts:
        host.let_go()
    return [host.wait() for host in hosts]
