"""One contract for every store; what only one of them can do wrong is tested beside this file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.errors import DoesNotFit
from batch.store import open_store
from batch.store.base import Changed, Exists, Missing, Store
from batch.store.multipart import Sizes
from batch.store.s3 import S3Store
from tests.support.racing import race
from tests.support.servers import ATOMIC, SERVERS, Bucket

where_writes_are_atomic = pytest.mark.parametrize("store", ["local", *ATOMIC], indirect=True)
WRITERS = 8
EDGES = [0, 1, (5 << 20) - 1, 5 << 20, (5 << 20) + 1, 12 << 20]


@pytest.fixture(params=["local", *SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store; its folder does not exist yet."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    bucket: Bucket = request.getfixturevalue(request.param)
    return open_store(f"{bucket.url}/some/store")


def in_pieces(store: Store, large_bytes: int = 5 << 20) -> Store:
    """The same one; on S3, pieces have 5 MiB, the least that it takes."""
    sizes = Sizes(large_bytes, 5 << 20, 5 << 20, 5 << 20)
    return S3Store(store.url, sizes=sizes) if store.is_remote else store


def read(store: Store, path: str) -> bytes:
    """The bytes of an object that exists."""
    blob = store.read(path)
    assert blob is not None
    return blob.data


def names(store: Store, prefix: str = "") -> list[str]:
    """The paths of a listing."""
    return [entry.path for entry in store.list(prefix).entries]


def test_what_is_created_can_be_read_and_listed(store: Store) -> None:
    """With its size, below any prefix of its folder, sorted."""
    store.create("a/b/two.json", b"22")
    store.create("a/one.json", b"1")
    store.create("ab/three", b"")
    store.create("other", b"")
    assert read(store, "a/one.json") == b"1"
    assert read(store, "other") == b""
    listing = store.list("a")
    assert [(entry.path, entry.size) for entry in listing.entries] == [
        ("a/b/two.json", 2),
        ("a/one.json", 1),
    ]
    assert names(store, "a/b") == ["a/b/two.json"]
    assert names(store) == ["a/b/two.json", "a/one.json", "ab/three", "other"]
    assert abs(listing.now - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_absent_folder_lists_as_empty(store: Store) -> None:
    """Nothing was written yet: that is no error."""
    assert store.list("nowhere").entries == ()
    assert store.list().entries == ()
    store.sweep()
    store.settle(["nowhere/nothing"])


def test_what_does_not_exist_is_missing(store: Store) -> None:
    """For reading, fetching and asking, and is named; deleting it is fine."""
    with pytest.raises(Missing, match="some/nothing: does not exist"):
        store.read("some/nothing")
    with pytest.raises(Missing, match="some/nothing: does not exist"):
        store.stat("some/nothing")
    with pytest.raises(Missing, match="some/nothing: does not exist"), store.fetch("some/nothing"):
        pytest.fail("there is nothing")
    store.delete("some/nothing")


def test_an_object_is_what_its_listing_says(store: Store) -> None:
    """With the time at which it was written, in UTC."""
    store.create("a/one", b"1")
    (entry,) = store.list("a").entries
    found = store.stat("a/one")
    assert (found.path, found.size, found.token) == (entry.path, entry.size, entry.token)
    assert abs(found.modified - entry.modified) < timedelta(seconds=1)
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_create_never_overwrites(store: Store) -> None:
    """The second caller is told, and what is there stays."""
    store.create("one", b"first")
    with pytest.raises(Exists, match="one: already exists"):
        store.create("one", b"second")
    with pytest.raises(Exists, match="one: already exists"), store.upload("one") as local:
        local.write_bytes(b"third")
    assert read(store, "one") == b"first"


@where_writes_are_atomic
def test_of_many_creators_one_wins(store: Store) -> None:
    """Whoever wins, the object is whole and his."""
    won = race(lambda number: store.create("race", b"%d" % number * 1000), Exists)
    assert len(won) == 1
    assert read(store, "race") == b"%d" % won[0] * 1000


@where_writes_are_atomic
def test_of_many_uploaders_one_wins(store: Store) -> None:
    """Also of files that are sent in pieces."""
    store = in_pieces(store, large_bytes=1)

    def send(number: int) -> None:
        with store.upload("race") as local:
            # Of different sizes, by which an upload knows its own.
            local.write_bytes(b"%d" % number * (1000 + number))

    won = race(send, Exists)
    assert len(won) == 1
    assert read(store, "race") == b"%d" % won[0] * (1000 + won[0])


@pytest.mark.parametrize("size", EDGES)
def test_a_large_file_arrives_as_it_was_sent(size: int, store: Store, tmp_path: Path) -> None:
    """In one piece or several, there and back, with an edge of a piece on either side of its end."""
    store = in_pieces(store)
    source = tmp_path / "source"
    source.write_bytes(bytes(number % 251 for number in range(size % 1000)).ljust(size, b"x"))
    with store.upload("data/part") as local:
        local.write_bytes(source.read_bytes())
    (entry,) = store.list("data").entries
    assert entry.size == size
    with store.fetch("data/part", token=entry.token, size=size) as local:
        assert local.read_bytes() == source.read_bytes()
    with pytest.raises(Exists), store.upload("data/part") as local:
        local.write_bytes(b"another".ljust(size))


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
    """Compare and swap: who is late is told, also when there is nothing any more."""
    store.replace("pointer", b"1", token=None)
    with pytest.raises(Changed, match="pointer: replaced by another process"):
        store.replace("pointer", b"2", token=None)
    with pytest.raises(Changed):
        store.replace("pointer", b"2", token='"another"')
    blob = store.read("pointer")
    assert blob is not None
    assert blob.data == b"1"
    store.delete("pointer")
    with pytest.raises(Changed):
        store.replace("pointer", b"2", token=blob.token)
    assert "pointer" not in names(store)


@where_writes_are_atomic
def test_of_many_replacements_one_wins(store: Store) -> None:
    """Of those that saw the same pointer; the others are told."""
    store.replace("pointer", b"0", token=None)
    blob = store.read("pointer")
    assert blob is not None
    token = blob.token
    won = race(lambda number: store.replace("pointer", b"%d" % number, token=token), Changed)
    assert len(won) == 1
    assert read(store, "pointer") == b"%d" % won[0]


@where_writes_are_atomic
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

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(add, range(40)))
    assert read(store, "counter") == b"40"


def test_fetch_is_pinned_to_its_token(store: Store) -> None:
    """Another content under the name is another object."""
    store.create("input", b"1,2\n")
    (entry,) = store.list().entries
    with store.fetch("input", token=entry.token) as local:
        assert local.read_bytes() == b"1,2\n"
    store.delete("input")
    store.create("input", b"3,4\n")
    with pytest.raises(Changed, match="input"), store.fetch("input", token=entry.token):
        pytest.fail("it is another one already")
    with store.fetch("input") as local:
        assert local.read_bytes() == b"3,4\n"


def test_delete_removes_one_object(store: Store) -> None:
    """And leaves its neighbours."""
    store.create("a/1", b"")
    store.create("a/2", b"")
    store.delete("a/1")
    assert names(store) == ["a/2"]


@pytest.mark.parametrize(
    "name", ["größe 1/%41 'x' \"y\" – 日本.csv", "a+b c%2B%20&=?#;,@!~*().csv", "date=1/x.y..z"]
)
def test_names_are_carried_as_they_are(name: str, store: Store) -> None:
    """Spaces, letters beyond ASCII, quotes, and what means something in a URL."""
    store.create(name, b"x")
    (entry,) = store.list(name.partition("/")[0] if "/" in name else "").entries
    assert entry.path == name
    assert read(store, name) == b"x"
    with store.fetch(name, token=entry.token) as local:
        assert local.read_bytes() == b"x"
    assert store.stat(name).token == entry.token
    store.delete(name)
    assert names(store) == []


def test_an_unknown_kind_of_url_is_refused() -> None:
    """With what there is instead."""
    with pytest.raises(DoesNotFit, match="no store for gopher"):
        open_store("gopher://host/x")
