"""The rules by which the file system of the power cuts forgets."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.faults.crash_states import FileSystem, Operation, Tree

MKDIR, CREATE = Operation("mkdir", "d"), Operation("create", "d/f")
WRITE = Operation("write", "d/f", data=b"12345678")
SYNC_FILE, SYNC_FOLDER, SYNC_ROOT = (Operation("sync", path) for path in ("d/f", "d", ""))


def left_by(*operations: Operation, base: Tree | None = None) -> Iterator[Tree]:
    """What a power cut may leave after these operations."""
    system = FileSystem.of(base or {})
    for operation in operations:
        system.apply(operation)
    return (tree for _, tree in system.crash_states(random.Random(1), subsets=20))


def test_unsynced_content_may_be_anything() -> None:
    """Under a name that is there for good: empty, cut short, zeros, or whole."""
    found = {tree["d/f"] for tree in left_by(MKDIR, CREATE, WRITE, SYNC_FOLDER, SYNC_ROOT)}
    assert found >= {b"", b"1234", bytes(8), b"12345678"}


def test_synced_content_stays_as_it_is() -> None:
    """Also when its name is not there yet."""
    found = {tree.get("d/f") for tree in left_by(MKDIR, SYNC_ROOT, CREATE, WRITE, SYNC_FILE)}
    assert found == {None, b"12345678"}


def test_what_was_written_since_may_replace_it() -> None:
    """The content that was synced last, or one of the newer."""
    again = Operation("truncate", "d/f"), Operation("write", "d/f", data=b"new!")
    found = {tree["d/f"] for tree in left_by(*again, base={"d": None, "d/f": b"old"})}
    assert found >= {b"old", b"", b"ne", b"new!"}


def test_a_name_is_there_for_good_once_its_folder_was_synced() -> None:
    """And not before."""
    unsynced = left_by(MKDIR, SYNC_ROOT, CREATE, WRITE, SYNC_FILE)
    synced = left_by(MKDIR, SYNC_ROOT, CREATE, WRITE, SYNC_FILE, SYNC_FOLDER)
    assert any("d/f" not in tree for tree in unsynced)
    assert all("d/f" in tree for tree in synced)


def test_a_folder_without_a_durable_name_takes_all_with_it() -> None:
    """However well what lies in it was synced."""
    found = list(left_by(MKDIR, CREATE, WRITE, SYNC_FILE, SYNC_FOLDER))
    assert {} in found
    assert {"d": None, "d/f": b"12345678"} in found


def test_a_rename_is_all_or_nothing() -> None:
    """The old file or the new one stands under the name, at every moment."""
    base = {"d": None, "d/f": b"old", "d/new": b"new"}
    found = list(left_by(Operation("rename", "d/new", "d/f"), base=base))
    assert {"d": None, "d/f": b"new"} in found
    assert base in found
    assert all(tree["d/f"] in {b"old", b"new"} for tree in found)


def test_a_rename_to_another_folder_loses_no_file() -> None:
    """Whichever folder is synced first; the old name may be there still."""
    base = {"d": None, "e": None, "d/f": b"old"}
    rename = Operation("rename", "d/f", "e/f")
    for synced in ("d", "e"):
        found = list(left_by(rename, Operation("sync", synced), base=base))
        assert all(tree["e/f"] == b"old" for tree in found)
        assert any("d/f" in tree for tree in found) == (synced == "e")


def test_a_removed_name_may_come_back() -> None:
    """Until its folder was synced."""
    base, unlink = {"d": None, "d/f": b"old"}, Operation("unlink", "d/f")
    assert {tree.get("d/f") for tree in left_by(unlink, base=base)} == {None, b"old"}
    assert {tree.get("d/f") for tree in left_by(unlink, SYNC_FOLDER, base=base)} == {None}


def test_names_come_back_independently() -> None:
    """Of two changes either may be there without the other."""
    links = [Operation("link", "d/f", f"d/{name}") for name in ("1", "2")]
    found = [{*tree} - {"d", "d/f"} for tree in left_by(*links, base={"d": None, "d/f": b"old"})]
    assert all(some in found for some in (set(), {"d/1"}, {"d/2"}, {"d/1", "d/2"}))
