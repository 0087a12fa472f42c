from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch.errors import NotPermitted
from batch.store.spool import new_path, spooled, sweep_spool

LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool folder of the operator's choice."""
    monkeypatch.setenv("BATCH_PREDICT_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def left_by_the_dead(*, as_folder: bool = False) -> Path:
    """What a process left that ended without a chance to clear up."""
    script = (
        "import os, sys\n"
        "from batch.store.spool import spooled\n"
        "with spooled() as path:\n"
        f"    {'path.mkdir()' if as_folder else 'path.touch()'}\n"
        "    print(path, flush=True)\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    return Path(done.stdout.strip())


def test_what_is_spooled_is_gone_afterwards() -> None:
    """A file or a folder, and also after an error."""
    with spooled() as path:
        path.write_bytes(b"x")
    assert not path.exists()
    with pytest.raises(RuntimeError), spooled() as path:
        path.mkdir()
        (path / "model").touch()
        raise RuntimeError
    assert not path.exists()


def test_the_folder_is_for_its_owner_only(folder: Path) -> None:
    """Records may be nobody else's business."""
    with spooled():
        assert folder.stat().st_mode & 0o777 == 0o700


def test_sweep_removes_what_dead_processes_left(folder: Path) -> None:
    """And nothing of those that are at work, nor of another host."""
    dead = [left_by_the_dead(), left_by_the_dead(as_folder=True)]
    assert all(path.exists() for path in dead)
    elsewhere = folder / f"00000000-1-{'0' * 16}"
    elsewhere.touch()
    with spooled() as mine:
        mine.touch()
        sweep_spool()
        assert set(folder.iterdir()) == {mine, elsewhere}


def test_sweep_removes_what_was_forgotten_for_a_week(folder: Path) -> None:
    """By another host, or by this one before it was started again."""
    with spooled():
        elsewhere = folder / f"00000000-1-{'0' * 16}"
        elsewhere.touch()
        os.utime(elsewhere, (LONG_AGO, LONG_AGO))
        sweep_spool()
        assert not elsewhere.exists()


def test_sweep_leaves_what_is_not_ours(folder: Path) -> None:
    """The operator may name a folder that holds other things, of any age."""
    folder.mkdir()
    theirs = [folder / "thesis.tex", folder / "photos", folder / "2024-11-report"]
    theirs[0].touch()
    theirs[1].mkdir()
    theirs[2].touch()
    for path in theirs:
        os.utime(path, (LONG_AGO, LONG_AGO))
    sweep_spool()
    assert all(path.exists() for path in theirs)


def test_a_folder_that_somebody_else_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below /var/tmp everybody may make one, and would read the records or give us others."""
    if os.getuid() != 0:
        pytest.skip("ANOTHER USER'S SPOOL FOLDER IS NOT TESTED HERE: it takes root")
    monkeypatch.delenv("BATCH_PREDICT_SPOOL")
    user = 1_000_000_000 + os.getpid()
    theirs = Path(f"/var/tmp/batch-predict-{user}")
    theirs.mkdir()
    script = (
        "import os, sys\n"
        "from batch.errors import NotPermitted\n"
        "from batch.store.spool import new_path\n"
        "os.setuid(int(sys.argv[1]))\n"
        "try:\n"
        "    new_path()\n"
        "except NotPermitted as error:\n"
        "    print(error.exit_code, error.message, error.hint)\n"
    )
    try:
        command = [sys.executable, "-c", script, str(user)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        theirs.rmdir()
    assert found.startswith(f"{NotPermitted.exit_code} {theirs}: belongs to another user")
    assert "BATCH_PREDICT_SPOOL" in found


def test_names_tell_whose_they_are(folder: Path) -> None:
    """Every file has a name of its own, which says which process writes it."""
    first, second = new_path(), new_path()
    assert first != second
    assert first.parent == folder
    assert first.name.split("-")[1] == str(os.getpid())
