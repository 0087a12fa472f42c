from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from batch.store.files import cache_folder, state_folder

PRINT = """
import os, sys, platformdirs.unix
from batch.errors import StoreDown
from batch.store import files
if len(sys.argv) > 1:
    os.setuid(int(sys.argv[1]))
for kind in ("STATE", "CACHE"):
    try:
        print(files._of_the_user(kind))
    except StoreDown as error:
        print(f"{error.message}; {error.hint}")
"""


def defaults(environment: dict[str, str], *arguments: object) -> list[str]:
    """The state and the cache folder, not made, of a process with no other environment."""
    command = [sys.executable, "-c", PRINT, *map(str, arguments)]
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return found.stdout.splitlines()


def test_without_a_home_in_the_environment_the_password_database_knows_it() -> None:
    """As under `env -i`, and where HOME is empty."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    expected = [f"{home}/.local/state/batch-predict", f"{home}/.cache/batch-predict"]
    assert defaults({}) == expected
    assert defaults({"HOME": ""}) == expected


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our variables before those of XDG, and those before HOME."""
    home = {"HOME": "/home/ada"}
    xdg = {"XDG_STATE_HOME": "/srv/state", "XDG_CACHE_HOME": "/srv/cache"}
    assert defaults(home) == [
        "/home/ada/.local/state/batch-predict",
        "/home/ada/.cache/batch-predict",
    ]
    assert defaults(home | xdg) == ["/srv/state/batch-predict", "/srv/cache/batch-predict"]
    monkeypatch.setenv("BATCH_PREDICT_STATE", str(tmp_path / "a"))
    monkeypatch.setenv("BATCH_PREDICT_CACHE", str(tmp_path / "b"))
    assert (state_folder(), cache_folder()) == (tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o700


def test_a_user_without_a_home_is_told_what_to_set() -> None:
    """As in a container that was started with a number for a user."""
    if os.getuid() != 0:
        pytest.skip("A USER WITHOUT A HOME IS NOT TESTED HERE: it takes root")
    state, cache = defaults({}, 1_000_000_000 + os.getpid())
    assert "has no home directory; set BATCH_PREDICT_STATE to a folder" in state
    assert "has no home directory; set BATCH_PREDICT_CACHE to a folder" in cache
