"""One run of an output at a time on one host, and what the host remembers."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.run.lock import Locked, is_due, keep_suspects, output_lock, read_suspects, state_files

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = (
    "import sys\nfrom datetime import UTC, datetime\nfrom batch.run.lock import output_lock\n"
    "with output_lock(sys.argv[1], now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)):\n"
    "    print('held', flush=True)\n    sys.stdin.read()\n"
)


def test_the_holder_is_named(tmp_path: Path) -> None:
    """Its process and since when; another output is free."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Locked) as caught, output_lock(str(tmp_path), now=NOW):
            pass
        assert f"process {holder.pid} since 2026-01-02 03:04:05 UTC" in caught.value.message
        with output_lock(str(tmp_path / "other"), now=NOW):
            pass
        holder.kill()
    with output_lock(str(tmp_path), now=NOW):  # Whoever is killed holds nothing.
        pass


def test_one_may_wait_for_the_holder(tmp_path: Path) -> None:
    """And gets the lock when he ends."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        threading.Timer(0.3, holder.kill).start()
        with output_lock(str(tmp_path), now=NOW, wait=timedelta(seconds=30)):
            assert holder.wait(10) == -signal.SIGKILL


def test_who_dies_leaves_a_note_and_who_ends_leaves_none(tmp_path: Path) -> None:
    """What was being predicted, for whoever comes next; also for the one after him."""
    script = HOLD.replace(
        "tzinfo=UTC)):", "tzinfo=UTC)) as lock:\n    lock.note(['a.csv', 'b c.csv'])"
    ).replace("    sys.stdin.read()", "    import os\n    os._exit(9)")  # fmt: skip
    dead = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    dead.communicate()
    with output_lock(str(tmp_path), now=NOW) as lock:
        assert lock.left_behind == {"a.csv", "b c.csv"}
        assert lock.dead_processes == [dead.pid]
        note = state_files(str(tmp_path))[0].read_text()
        assert sorted(note.splitlines()[2:]) == ["a.csv", "b c.csv"]
        assert f"process {dead.pid} " in note
        lock.bury()
        assert f"process {dead.pid} " not in state_files(str(tmp_path))[0].read_text()
    with output_lock(str(tmp_path), now=NOW) as lock:
        assert (lock.left_behind, lock.dead_processes) == (frozenset(), [])


def test_suspects_are_remembered_until_they_are_cleared(tmp_path: Path) -> None:
    """By the output; an unreadable memory is none."""
    assert read_suspects(str(tmp_path)) == frozenset()
    keep_suspects(str(tmp_path), {"a.csv"})
    assert read_suspects(str(tmp_path)) == {"a.csv"}
    assert read_suspects(str(tmp_path / "other")) == frozenset()
    keep_suspects(str(tmp_path), ())
    assert read_suspects(str(tmp_path)) == frozenset()


def test_what_is_done_once_a_day_is_due_once_a_day(tmp_path: Path) -> None:
    """From the first time on."""

    def due(hours: int) -> bool:
        later = NOW + timedelta(hours=hours)
        return is_due(str(tmp_path), "tidied", every=timedelta(days=1), now=later)

    assert [due(hours) for hours in (0, 1, 23, 25, 26, 50)] == [
        True, False, False, True, False, True
    ]  # fmt: skip
