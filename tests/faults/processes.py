"""The real command, started, killed at a random moment, and held to its exit code."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: A command that was told to stop has to be gone by then: ten seconds for its workers, and leaving.
STOP_SECONDS = 12.0
#: Far more than any command takes, frozen ones and a busy machine included.
STUCK_SECONDS = 120.0
#: How the kinds of fate share the commands.
FATES = {
    "left alone": 15,
    "kill the coordinator": 20,
    "kill the group": 20,
    "kill a worker": 20,
    "terminate": 15,
    "freeze": 10,
}
_LOOK_AGAIN_SECONDS = 0.1
#: How a command may end that nobody disturbs, unless something else is known.
_USUAL = {"run": {0, 75}, "rollback": {0, 3, 75}, "unpause": {0, 75}, "repair": {0, 75}}
_KILLED = {
    "kill the coordinator": -signal.SIGKILL,
    "kill the group": -signal.SIGKILL,
    "terminate": -signal.SIGTERM,  # It was not far enough to take the signal.
}


@dataclass(frozen=True)
class Fate:
    """What is done to a process and when: after so many changes of the output, then seconds.

    A frozen one goes on after `frozen_seconds`.
    """

    kind: str = "left alone"
    changes: int = 0
    seconds: float = 0.0
    frozen_seconds: float = 1.0


def draw_fate(pick: random.Random) -> Fate:
    """Half of the moments follow the steps of a run, the others are spread over its time."""
    [kind] = pick.choices(list(FATES), list(FATES.values()))
    # Long enough, now and then, for other hosts to take in what it is about to publish.
    frozen = pick.choice([1.0, 1.0, 8.0])
    if pick.random() < 0.6:
        return Fate(kind, pick.randint(1, 18), pick.uniform(0, 0.04), frozen)
    return Fate(kind, 0, pick.uniform(0, 4.0), frozen)


@dataclass(frozen=True)
class Place:
    """Where a command runs: as which host, and where it prints to."""

    host: str
    environment: Mapping[str, str]
    log: Path


class Process:
    """One command under way, in a session of its own so that its children can be found.

    `done` is what was done to it, `code` its exit code once it has ended.
    """

    def __init__(self, arguments: Sequence[str], *, place: Place, fate: Fate) -> None:
        self.arguments = arguments
        self.host = place.host
        self.started = time.monotonic()
        self.done = ""
        self.code: int | None = None
        self._fate = fate
        self._log = place.log
        self._took = 0.0
        self._changes = 0
        self._due: float | None = None
        self._done_at = 0.0
        self._frozen = False
        with place.log.open("wb") as file:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "batch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(place.environment),
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def advance(self, *, changed: bool) -> bool:
        """Do to it what is due; whether it has ended."""
        self.code = self._popen.poll()
        now = time.monotonic()
        if self.code is not None:
            self._took = now - self.started
            return True
        self._changes += changed
        if self._due is None and self._changes >= self._fate.changes:
            self._due = now + self._fate.seconds
        if not self.done and self._due is not None and now >= self._due:
            self._strike()
        if self._frozen and now >= self._done_at + self._fate.frozen_seconds:
            self._signal(signal.SIGCONT)
            self._frozen = False
        return False

    def trouble(self, also: Collection[int] = ()) -> str:
        """What is wrong with how it ended or has not ended; `also` are codes that fit as well."""
        if self.code is None:
            lived = time.monotonic() - self.started
            return (
                f"it has not ended after {lived:.0f} s" if lived > patience(STUCK_SECONDS) else ""
            )
        if "Traceback" in self._text:
            return "it printed a traceback"
        allowed = {*_USUAL.get(self.arguments[0], {0}), *also}
        if self.code not in allowed and self.code != _KILLED.get(self.done):
            return "this exit code is not allowed here"
        took = self.started + self._took - self._done_at
        if self.done == "terminate" and took > patience(STOP_SECONDS):
            return f"it took {took:.1f} s to stop"
        return ""

    def describe(self) -> str:
        """One line for the journal, and for who looks for what happened."""
        return (
            f"pid {self.pid}, host {self.host}, {' '.join(self.arguments)}, "
            f"{self.done or 'left alone'}, exit {self.code} after {self._took:.1f} s, "
            f"printed {self._text!r}"
        )

    def end(self) -> None:
        """Leave nothing of it behind."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    @property
    def _text(self) -> str:
        return self._log.read_text(errors="replace")

    def _strike(self) -> None:
        match self._fate.kind:
            case "kill the coordinator":
                self._popen.kill()
            case "kill the group":
                self._signal(signal.SIGKILL)
            case "terminate":
                self._popen.terminate()
            case "freeze":
                self._signal(signal.SIGSTOP)
                self._frozen = True
            case "kill a worker":
                if not self._kill_a_worker():  # There is none yet, or never.
                    self._due = time.monotonic() + _LOOK_AGAIN_SECONDS
                    return
            case _:
                return
        self.done = self._fate.kind
        self._done_at = time.monotonic()

    def _kill_a_worker(self) -> bool:
        workers = [pid for pid in members([self.pid]) if _is_worker(pid)]
        with suppress(ProcessLookupError):
            if workers:
                os.kill(workers[self.pid % len(workers)], signal.SIGKILL)
                return True
        return False

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def patience(seconds: float) -> float:
    """So much time, longer where more wants to run than there are processors."""
    crowd = max(os.getloadavg()) / (os.cpu_count() or 1)
    return seconds * max(1.0, crowd)


def members(sessions: Iterable[int]) -> list[int]:
    """The processes of these sessions that are alive."""
    wanted, found = set(sessions), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) in wanted and state != "Z":
                    found.append(int(folder.name))
    return found


def command_line(pid: int) -> str:
    """The command line of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _is_worker(pid: int) -> bool:
    line = command_line(pid)
    return "loky" in line and "resource_tracker" not in line
