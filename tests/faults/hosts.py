"""Hosts that run one job: each with a state and a spool folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    said: str


class Host:
    """Runs `batch-predict`, one command after the other.

    Each is forked from a process that has imported everything: nine tenths of a short run.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.spool = folder / "spool"
        self._said = folder / "stderr"
        self._environment = {
            "BATCH_PREDICT_STATE": str(folder / "state"),
            "BATCH_PREDICT_SPOOL": str(self.spool),
        }
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm_command"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def prepare(self, arguments: Sequence[str]) -> None:
        """Fork a command, which waits to be let go."""
        request = {
            "arguments": list(arguments),
            "environment": self._environment,
            "stderr": str(self._said),
            "open_files": 0,
        }
        self._say(json.dumps(request))
        self._hear()

    def let_go(self) -> None:
        """Let the command begin."""
        self._say("")

    def wait(self) -> Ended:
        """Return when the command has ended."""
        code = int(self._hear())
        return Ended(code, self._said.read_text())

    def run(self, *arguments: str) -> Ended:
        """A command from its beginning to its end."""
        self.prepare(arguments)
        self.let_go()
        return self.wait()

    def close(self) -> None:
        self._forks.communicate(timeout=120)

    def _say(self, line: str) -> None:
        assert self._forks.stdin is not None
        with suppress(BrokenPipeError):  # The answer that does not come says more.
            self._forks.stdin.write(f"{line}\n")
            self._forks.stdin.flush()

    def _hear(self) -> str:
        assert self._forks.stdout is not None
        heard = self._forks.stdout.readline()
        assert heard, f"the process that forks has ended: {self._forks.wait(10)}"
        return heard


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
