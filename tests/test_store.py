"""One contract for every store; local disk is the first."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.errors import DoesNotFit, NotPermitted, StoreDown
from batch.store import open_store
from batch.store.base import Changed, Exists, Missing, Store
from tests.jobs import touch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store; its folder does not exist yet."""
    return open_store(str(tmp_path / "store"))


def read(store: Store, path: str) -> bytes:
    """The bytes of an object that exists."""
    blob = store.read(path)
    assert blob is not None
    return blob.data


def test_what_is_created_can_be_read_and_listed(store: Store) -> None:
    """With its size, below any prefix of its folder, sorted."""
    store.create("a/b/two.json", b"22")
    store.create("a/one.json", b"1")
    store.create("other", b"")
    assert read(store, "a/one.json") == b"1"
    listing = store.list("a")
    assert [(entry.path, entry.size) for entry in listing.entries] == [
        ("a/b/two.json", 2),
        ("a/one.json", 1),
    ]
    assert len(store.list().entries) == 3
    assert abs(listing.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_absent_folder_lists_as_empty(store: Store) -> None:
    """Nothing was written yet: that is no error."""
    assert store.list("nowhere").entries == ()


def test_what_does_not_exist_is_missing(store: Store) -> None:
    """For reading and fetching; deleting it is fine."""
    with pytest.raises(Missing):
        store.read("nothing")
    with pytest.raises(Missing), store.fetch("nothing"):
        pass
    store.delete("nothing")


def test_create_never_overwrites(store: Store) -> None:
    """The second caller is told, and what is there stays."""
    store.create("one", b"first")
    with pytest.raises(Exists):
        store.create("one", b"second")
    with pytest.raises(Exists), store.upload("one") as local:
        local.write_bytes(b"third")
    assert read(store, "one") == b"first"


def test_of_many_creators_one_wins(store: Store) -> None:
    """Whoever wins, the object is whole and his."""
    barrier = threading.Barrier(8)

    def attempt(number: int) -> int | None:
        barrier.wait()
        try:
            store.create("race", str(number).encode() * 1000)
        except Exists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(attempt, range(8)) if number is not None]
    assert len(winners) == 1
    assert read(store, "race") == str(winners[0]).encode() * 1000


def test_an_upload_that_fails_writes_nothing(store: Store) -> None:
    """Neither the name nor a temporary file remains."""
    with pytest.raises(RuntimeError, match="mid-way"), store.upload("data/part") as local:
        local.write_bytes(b"half")
        raise RuntimeError("mid-way")
    assert store.list().entries == ()


def test_an_unchanged_object_is_not_read_again(store: Store) -> None:
    """The token of the last reading saves the next one."""
    store.replace("pointer", b"1", token=None)
    blob = store.read("pointer")
    assert blob is not None
    assert store.read("pointer", unless=blob.token) is None
    store.replace("pointer", b"2", token=blob.token)
    again = store.read("pointer", unless=blob.token)
    assert again is not None
    assert again.data == b"2"


def test_replace_needs_the_token_of_what_is_there(store: Store) -> None:
    """Compare and swap: who is late is told."""
    store.replace("pointer", b"1", token=None)
    with pytest.raises(Changed):
        store.replace("pointer", b"2", token=None)
    with pytest.raises(Changed):
        store.replace("pointer", b"2", token="another")
    assert read(store, "pointer") == b"1"


def test_concurrent_replacements_lose_none(store: Store) -> None:
    """A counter that eight threads swap upwards counts every swap."""
    store.replace("counter", b"0", token=None)

    def add(_: int) -> None:
        while True:
            blob = store.read("counter")
            assert blob is not None
            try:
                store.replace("counter", b"%d" % (int(blob.data) + 1), token=blob.token)
            except Changed:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert read(store, "counter") == b"40"


def test_fetch_is_pinned_to_its_token(store: Store, tmp_path: Path) -> None:
    """A change before or during the reading is noticed."""
    store.create("input", b"1,2\n")
    (entry,) = store.list().entries
    with store.fetch("input", token=entry.token) as local:
        assert local.read_bytes() == b"1,2\n"
    with pytest.raises(Changed), store.fetch("input", token=entry.token):
        (tmp_path / "store" / "input").write_bytes(b"3,4\n")
        touch(tmp_path / "store" / "input")
    with pytest.raises(Changed), store.fetch("input", token=entry.token):
        pytest.fail("it is another one already")


def test_delete_removes_one_object(store: Store) -> None:
    """And leaves its neighbours."""
    store.create("a/1", b"")
    store.create("a/2", b"")
    store.delete("a/1")
    assert [entry.path for entry in store.list().entries] == ["a/2"]


def test_names_are_carried_as_they_are(store: Store) -> None:
    """Spaces, letters beyond ASCII, percent signs and quotes."""
    name = "größe 1/%41 'x' \"y\" – 日本.csv"
    store.create(name, b"x")
    assert [entry.path for entry in store.list().entries] == [name]
    assert read(store, name) == b"x"


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


def test_an_unknown_kind_of_url_is_refused() -> None:
    """With what there is instead."""
    with pytest.raises(DoesNotFit, match="no store for gopher"):
        open_store("gopher://host/x")


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
        assert "make room" in caught.value.hint
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
