"""The quiet points of a soak: nothing changes, and the question is what the storm left."""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.chronicle import Chronicle
from tests.faults.storms import HOSTS, MIN_AGE_SECONDS, Soak, has_command
from tests.support import oracle
from tests.support.jobs import save_tiny_model

_DAY_SECONDS = 86_400
_SOMETIMES = 0.3


class Judge:
    """Asks at every quiet point whether the promise was kept."""

    def __init__(self, soak: Soak) -> None:
        self.chronicle = Chronicle(soak.job.output, soak.producer)

    def settle(self, soak: Soak) -> None:
        """Judge what is there, let the rest follow, and judge again. Raises `Broken`."""
        self._judge(soak, oracle.judge_newest, "before the quiet runs")
        if soak.is_paused():
            _expect(soak, {0}, "unpause", soak.any_job())
        if soak.random.random() < _SOMETIMES:
            _train_again(soak)
        time.sleep(MIN_AGE_SECONDS + 0.1)
        self._catch_up(soak)
        if has_command("repair") and soak.random.random() < _SOMETIMES:
            self._mend(soak)
        rows = self._require_all(soak)
        _require_clean(soak)
        _age(soak.job.output)
        soak.findings.count("quiet points")
        soak.findings.say(
            f"quiet point {soak.findings.counts['quiet points']}: version "
            f"{self.chronicle.version}, {len(self.chronicle.ledger)} inputs, {rows:,} rows; "
            f"{soak.findings.counts['commands']} commands so far"
        )

    def _catch_up(self, soak: Soak) -> None:
        """The first run publishes what is left, and then there is nothing to do, on any host."""
        present = soak.producer.present.values()
        code = 65 if any(content.form == "unreadable" for content in present) else 0
        _expect(soak, {code}, "run", soak.any_job())
        soak.findings.end("unreadable", "killed")
        version = soak.newest()
        for host in HOSTS:
            _expect(soak, {code}, "run", soak.any_job(), host=host)
        if soak.newest() != version:
            soak.fail("the second of two quiet runs published something")

    def _require_all(self, soak: Soak) -> int:
        self._judge(soak, oracle.judge, "after the quiet runs")
        if has_command("verify"):
            _expect(soak, {0}, "verify", soak.any_job(), "--deep")
        _require(soak, self.chronicle.judge_inputs)
        rows: int = _require(soak, self.chronicle.judge_rows)
        return rows

    def _mend(self, soak: Soak) -> None:
        """Flip a bit in a live part: it is found, a repair drops it, a run predicts it again."""
        self._require_all(soak)
        files = soak.manifest(soak.newest())["files"]
        if not files:
            return
        soak.findings.begin("damaged")
        soak.findings.count("parts damaged")
        _flip(soak.job.output / soak.random.choice(files)["path"], soak.random.random())
        _expect(soak, {69}, "verify", soak.any_job(), "--deep")
        _expect(soak, {0}, "repair", soak.any_job(), "--yes")
        soak.first_whole = soak.newest()
        soak.findings.end("damaged")
        self._catch_up(soak)

    def _judge(self, soak: Soak, look: Callable[[Path], Any], when: str) -> None:
        if soak.newest():
            _require(soak, lambda: look(soak.job.output), when)
            _require(soak, self.chronicle.read_on, when)


def _expect(soak: Soak, codes: set[int], *arguments: str, host: str = "") -> None:
    process = soak.run_undisturbed(*arguments, host=host)
    if process.code not in codes:
        soak.fail(f"expected exit {codes}, nobody disturbed it: {process.describe()}")


def _require(soak: Soak, judge: Callable[[], Any], when: str = "the quiet point") -> Any:
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - a file that cannot be read is a violation too
        soak.fail(f"{when}: {error}\n{traceback.format_exc()}")


def _require_clean(soak: Soak) -> None:
    """Nothing is left of the processes that were killed, where others ended in order since."""
    left = [*(soak.folder / "scratch").iterdir(), *(soak.job.output / ".tmp").glob("*")]
    for path in set(Path("/dev/shm").iterdir()) - soak.shared_before:
        number = re.search(r"\d+", path.name)
        if number and int(number[0]) in soak.pids:
            left.append(path)
    if left:
        soak.fail(f"left behind by commands that were killed: {[str(path) for path in left]}")
    # The system gives their numbers to others in time.
    soak.pids.clear()


def _train_again(soak: Soak) -> None:
    """Another model takes over; what was predicted stays as it was."""
    strength = soak.random.uniform(0.1, 10)
    save_tiny_model(soak.job.folder / "model.joblib", strength=strength)
    soak.findings.count("models")


def _flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


def _age(output: Path) -> None:
    """Make everything a month old, so that what nobody needs may be deleted."""
    then = time.time() - 31 * _DAY_SECONDS
    for name in ("data", "rejects", "ledger", "models", "pending", "runs"):
        for path in (output / name).rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))
