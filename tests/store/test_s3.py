"""What only S3 can do wrong; each test runs on every server that is here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from batch.errors import DoesNotFit, NotPermitted, StoreDown
from batch.store import open_store
from batch.store.base import Changed, Exists, Missing, Store
from batch.store.multipart import Sizes
from batch.store.s3 import S3Store
from batch.store.s3client import client
from tests.support.servers import SERVERS, Bucket

PIECE = 5 << 20
_FORBIDDEN = b"<Error><Code>AccessDenied</Code><Message>not this one</Message></Error>"


@pytest.fixture(params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket, on each server."""
    found: Bucket = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(bucket: Bucket) -> Store:
    """A store below a prefix of that bucket."""
    return open_store(f"{bucket.url}/out")


@pytest.fixture
def pieces(bucket: Bucket) -> Store:
    """The same store; everything above 5 MiB, the least that S3 takes for a piece, is large."""
    return S3Store(f"{bucket.url}/out", sizes=Sizes(PIECE, PIECE, PIECE, PIECE))


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A spool folder on a file system with room for 70 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(mount)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("A FULL SPOOL DISK IS NOT TESTED HERE: it takes root who may mount")
    monkeypatch.setenv("BATCH_PREDICT_SPOOL", str(mount))
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@contextmanager
def answering(operation: str, *, after: int, answer: Any) -> Iterator[None]:
    """Ask `answer` what comes back for the first request after so many; None asks the server."""
    requests = iter(range(1_000_000))

    def hook(request: Any, **_: Any) -> Any:
        return answer(request) if next(requests) == after else None

    event = f"before-send.s3.{operation}"
    client().meta.events.register(event, hook)
    try:
        yield
    finally:
        client().meta.events.unregister(event, hook)


class _Body:
    def stream(self) -> Iterator[bytes]:
        yield _FORBIDDEN


def forbidden(request: Any) -> AWSResponse:
    """The answer that refuses a request."""
    return AWSResponse(request.url, 403, {}, _Body())


def spooled(tmp_path: Path) -> list[Path]:
    """What lies in the spool folder."""
    return list((tmp_path / "spool").iterdir())


@pytest.mark.parametrize("prefix", ["größe 1/a+b c%41&=", "x" * 500, "a//b", "."])
def test_a_prefix_is_carried_as_it_is(prefix: str, bucket: Bucket) -> None:
    """And nothing of a neighbour whose name begins alike is listed."""
    store = open_store(f"{bucket.url}/{prefix}/")
    store.create("a/1", b"x")
    bucket.put(f"{prefix}x/2", b"y")
    bucket.put(f"{prefix}/a.b", b"z")
    assert [entry.path for entry in store.list().entries] == ["a.b", "a/1"]
    assert [entry.path for entry in store.list("a").entries] == ["a/1"]
    assert store.url == f"{bucket.url}/{prefix}"


def test_a_whole_bucket_is_a_store_too(bucket: Bucket) -> None:
    """Without any prefix."""
    store = open_store(bucket.url)
    store.create("manifest.json", b"{}")
    assert [entry.path for entry in store.list().entries] == ["manifest.json"]
    assert bucket.client.get_object(Bucket=bucket.name, Key="manifest.json")["Body"].read() == b"{}"


def test_a_url_without_a_bucket_is_refused() -> None:
    """With what to write."""
    with pytest.raises(DoesNotFit, match="no bucket in this URL") as caught:
        open_store("s3:///out")
    assert "s3://BUCKET/PREFIX" in caught.value.hint


def test_a_listing_goes_on_beyond_its_first_page(bucket: Bucket, store: Store) -> None:
    """A server tells of a thousand objects at a time."""
    wanted = [f"data/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: bucket.put(f"out/{path}", b""), reversed(wanted)))
    assert [entry.path for entry in store.list().entries] == wanted
    assert [entry.path for entry in store.list("data").entries] == wanted


def test_markers_of_folders_are_no_objects(bucket: Bucket, store: Store) -> None:
    """Consoles make them, for the store's own folder too."""
    for key in ("out/", "out/data/", "out/data/1/"):
        bucket.put(key, b"")
    store.create("data/1/part", b"")
    assert [entry.path for entry in store.list().entries] == ["data/1/part"]
    assert [entry.path for entry in store.list("data").entries] == ["data/1/part"]


def test_the_time_of_a_listing_is_the_server_s(store: Store) -> None:
    """By which the age of objects is told, whatever this host's clock says."""
    moment = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)

    def elsewhere(parsed: Any, **_: Any) -> None:
        date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = date

    event = "after-call.s3.ListObjectsV2"
    client().meta.events.register(event, elsewhere)
    try:
        assert store.list().now == moment
    finally:
        client().meta.events.unregister(event, elsewhere)


def test_a_large_upload_that_is_refused_leaves_nothing(
    bucket: Bucket, pieces: Store, tmp_path: Path
) -> None:
    """Neither an object nor the pieces that went before, which would be paid for."""
    with (
        answering("UploadPart", after=1, answer=forbidden),
        pytest.raises(NotPermitted, match="out/part: s3:PutObject is denied: not this one"),
        pieces.upload("part") as local,
    ):
        local.write_bytes(b"x" * (3 * PIECE))
    assert pieces.list().entries == ()
    assert bucket.uploads() == []
    assert spooled(tmp_path) == []


def test_a_large_upload_that_comes_too_late_leaves_nothing(bucket: Bucket, pieces: Store) -> None:
    """The name was taken meanwhile: the pieces go."""
    pieces.create("part", b"first")
    with pytest.raises(Exists), pieces.upload("part") as local:
        local.write_bytes(b"x" * (2 * PIECE))
    assert bucket.uploads() == []


def test_a_large_object_that_changes_under_the_reading_is_dropped(
    bucket: Bucket, pieces: Store, tmp_path: Path
) -> None:
    """No copy is of two contents."""
    bucket.put("out/input", b"1" * (3 * PIECE))
    (entry,) = pieces.list().entries

    def change(_: Any) -> None:
        bucket.put("out/input", b"2" * (3 * PIECE))

    with (
        answering("GetObject", after=2, answer=change),
        pytest.raises(Changed, match="out/input"),
        pieces.fetch("input", token=entry.token, size=entry.size),
    ):
        pytest.fail("half of it is of another content")
    assert spooled(tmp_path) == []


def test_a_copy_has_the_time_of_its_object(store: Store) -> None:
    """Whoever reads the copy may ask how old the object is."""
    store.create("input", b"1")
    with store.fetch("input") as local:
        assert local.stat().st_mtime == store.stat("input").modified.timestamp()


def test_the_spool_folder_is_left_empty(store: Store, tmp_path: Path) -> None:
    """After a fetch and an upload, and after a failure in the midst of either."""
    with store.upload("part") as local:
        local.write_bytes(b"x")
        assert spooled(tmp_path) == [local]
    assert spooled(tmp_path) == []
    with store.fetch("part") as local:
        assert spooled(tmp_path) == [local]
    assert spooled(tmp_path) == []
    for use in (store.fetch, store.upload):
        with pytest.raises(RuntimeError), use("part") as local:
            local.write_bytes(b"y")
            raise RuntimeError
        assert spooled(tmp_path) == []
    with pytest.raises(Exists), store.upload("part") as local:
        local.write_bytes(b"y")
    with pytest.raises(Missing), store.fetch("nothing"):
        pass
    assert spooled(tmp_path) == []


def test_an_object_without_room_for_its_copy_is_named(
    bucket: Bucket, store: Store, small_disk: Path
) -> None:
    """Before it is brought, with what is free and where another disk is set."""
    bucket.put("out/input", b"x" * (10 << 20))
    with (
        pytest.raises(
            StoreDown, match=rf"{small_disk}: .* free, not enough for .* 10\.\d MB"
        ) as caught,
        store.fetch("input"),
    ):
        pytest.fail("there is no room")
    assert "BATCH_PREDICT_SPOOL" in caught.value.hint
    assert list(small_disk.iterdir()) == []


def test_a_part_without_room_is_named(store: Store, small_disk: Path) -> None:
    """Nothing of it is sent."""
    with (
        pytest.raises(StoreDown, match="no space left on device") as caught,
        store.upload("part") as local,
    ):
        local.write_bytes(b"x" * (80 << 20))
    assert "free space" in caught.value.hint
    assert store.list().entries == ()
    assert list(small_disk.iterdir()) == []


def test_a_client_is_made_once_and_never_shared_across_a_fork(store: Store) -> None:
    """Two processes on one connection would read each other's answers."""
    script = (
        "import os, sys\n"
        "from batch.store import open_store\n"
        "from batch.store.s3client import client\n"
        "store = open_store(sys.argv[1])\n"
        "store.create('0', b'x')\n"
        "mine = client()\n"
        "assert client() is mine\n"
        "children = []\n"
        "for number in range(1, 4):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        for _ in range(20):\n"
        "            store.replace(str(number), b'', token=None)\n"
        "            store.delete(str(number))\n"
        "        store.create(str(number), b'')\n"
        "        os._exit(client() is mine)\n"
        "    children.append(child)\n"
        "assert [store.read('0').data for _ in range(20)] == [b'x'] * 20\n"
        "sys.exit(any(os.waitpid(child, 0)[1] for child in children))\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, store.url]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [entry.path for entry in store.list().entries] == ["0", "1", "2", "3"]
