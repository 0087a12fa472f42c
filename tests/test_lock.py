"""One run of an output at a time on one host, and what the host remembers."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.lock import Locked, output_lock, state_folder

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = (
    "import sys\nfrom datetime import UTC, datetime\nfrom batch.lock import output_lock\n"
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


def test_a_host_without_home_has_a_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `env -i`."""
    for name in ("BATCH_PREDICT_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert state_folder().is_absolute()
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state_folder() == Path("/somewhere/batch-predict")
