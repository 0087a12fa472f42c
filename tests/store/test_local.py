"""What only the local disk can do wrong."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batch.errors import NotPermitted, StoreDown
from batch.store import open_store
from batch.store.base import Changed, Store
from tests.support.jobs import touch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store; its folder does not exist yet."""
    return open_store(str(tmp_path / "store"))


def read(store: Store, path: str) -> bytes:
    """The bytes of an object that exists."""
    blob = store.read(path)
    assert blob is not None
    return blob.data


def test_a_change_during_the_reading_is_noticed(store: Store, tmp_path: Path) -> None:
    """What was read may be of neither content: it is dropped."""
    store.create("input", b"1,2\n")
    (entry,) = store.list().entries
    with pytest.raises(Changed), store.fetch("input", token=entry.token):
        (tmp_path / "store" / "input").write_bytes(b"3,4\n")
        touch(tmp_path / "store" / "input")


def test_sweep_removes_what_dead_processes_left(store: Store, tmp_path: Path) -> None:
    """And nothing of those that are at work, nor of another host."""
    script = (
        "import os, sys\n"
        "from batch.store import open_store\n"
        "with open_store(sys.argv[1]).upload('data/part') as local:\n"
        "    local.write_bytes(b'half')\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, store.url], check=False)
    unfinished = tmp_path / "store" / ".tmp"
    assert len(list(unfinished.iterdir())) == 1
    (unfinished / "elsewhere-1-0").touch()
    with store.upload("data/part") as local:
        local.write_bytes(b"whole")
        store.sweep()
    assert read(store, "data/part") == b"whole"
    assert [path.name for path in unfinished.iterdir()] == ["elsewhere-1-0"]


def test_a_folder_that_is_deleted_meanwhile_is_made_again(store: Store, tmp_path: Path) -> None:
    """Another process may delete the last file of a folder that we are about to write into."""
    with store.upload("pending/run/1.json") as local:
        local.write_bytes(b"1")
        store.create("pending/run/plan.json", b"")
        store.delete("pending/run/plan.json")
        assert not (tmp_path / "store" / "pending" / "run").exists()
    assert read(store, "pending/run/1.json") == b"1"


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """Inputs may lie behind a link; a loop ends."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.csv").write_bytes(b"")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "data")
    found = open_store(str(tmp_path / "data")).list().entries
    assert [entry.path for entry in found] == ["link/1.csv"]


def test_a_full_disk_is_named_and_leaves_no_trace(tmp_path: Path) -> None:
    """On a real file system of 64 KiB."""
    mount = tmp_path / "full"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: it takes root who may mount")
    try:
        store = open_store(str(mount / "out"))
        with pytest.raises(StoreDown, match="no space left on device") as caught:
            store.create("big", b"x" * (1 << 20))
        assert "free space" in caught.value.hint
        assert store.list().entries == ()
        shutil.rmtree(mount / "out")
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_forbidden_folder_is_named(tmp_path: Path) -> None:
    """As another user: root may do everything."""
    if os.getuid() != 0:
        pytest.skip("PERMISSIONS ARE NOT TESTED HERE: it takes root to become somebody else")
    tmp_path.chmod(0o755)
    script = (
        "import os, sys\n"
        "from batch.store import open_store\n"
        "from batch.errors import NotPermitted\n"
        f"store = open_store({str(tmp_path / 'out')!r})\n"
        "os.setuid(65534)\n"
        "try:\n"
        "    store.create('x', b'')\n"
        "except NotPermitted as error:\n"
        "    print(error.exit_code, error.message)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(f"{NotPermitted.exit_code} {tmp_path}")


def test_a_file_system_without_hard_links_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs could overwrite each other there; no silent fallback."""

    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(StoreDown, match="no hard links"):
        store.create("x", b"")
