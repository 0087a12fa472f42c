"""Immutable objects of a remote store: brought to a host once, and verified at each use."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from batch.client.fallback import read_fallback, saving_fallback
from batch.errors import BadData, StoreDown
from batch.store import cachefolder, open_store
from batch.store.base import Missing, Store
from batch.store.cache import Content, fetch_content, read_content
from batch.store.cachefolder import trim
from batch.store.files import cache_folder
from tests.faults.test_real_kills import disk
from tests.support.counting_s3 import BUCKET, CountingS3, serving
from tests.support.published import Output, flip_byte, part

URL = f"s3://{BUCKET}/out"
DATA = bytes(range(256)) * 40
SOON = 30.0  # seconds: only a failing test waits this long


@pytest.fixture(scope="module")
def running() -> Iterator[CountingS3]:
    """A server for all tests of this file."""
    with serving() as server:
        yield server


@pytest.fixture
def server(running: CountingS3) -> CountingS3:
    """It, with an empty bucket."""
    running.empty()
    return running


@pytest.fixture
def store(server: CountingS3) -> Store:  # noqa: ARG001  # It is found by the environment.
    """A remote store."""
    return open_store(URL)


def stored(store: Store, data: bytes = DATA) -> Content:
    """An object of these bytes."""
    content = Content(f"data/{len(data)}", hashlib.sha256(data).hexdigest(), len(data))
    store.create(content.path, data)
    return content


def cached(content: Content) -> Path:
    """Where the cache has it."""
    return cache_folder() / "files" / content.sha256


def leftovers() -> list[Path]:
    """Files that are being written, or were."""
    return [path for path in (cache_folder() / ".tmp").iterdir() if path.is_file()]


READING = """
import sys
from batch.store import open_store
from batch.store.cache import Content, read_content

url, path, sha256 = sys.argv[1:]
print(len(read_content(open_store(url), Content(path, sha256))), flush=True)
"""


def reader(content: Content) -> subprocess.Popen[str]:
    """Another process that reads it."""
    command = [sys.executable, "-c", READING, URL, content.path, content.sha256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_was_read_once_is_not_asked_for_again(store: Store, server: CountingS3) -> None:
    """Neither to read it nor to have it as a file."""
    content = stored(store)
    assert read_content(store, content) == DATA
    count = len(server.requests)
    assert read_content(store, content) == DATA
    with fetch_content(store, content) as path:
        assert path.read_bytes() == DATA
    assert len(server.requests) == count
    assert leftovers() == []


def test_two_processes_bring_it_once(store: Store, server: CountingS3) -> None:
    """Whoever is second waits and takes what the first has brought."""
    content = stored(store)
    server.answer = lambda method, _path: time.sleep(0.5) if method == "GET" else None
    with reader(content) as one, reader(content) as two:
        assert one.communicate(timeout=SOON) == two.communicate(timeout=SOON)
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(server.asked(content.path)) == 1


def test_the_threads_of_a_process_bring_it_once(store: Store, server: CountingS3) -> None:
    """The lock of a file knows processes only."""
    content = stored(store)
    server.answer = lambda method, _path: time.sleep(0.2) if method == "GET" else None
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read_content(store, content), range(8)))
    assert found == [DATA] * 8
    assert len(server.asked(content.path)) == 1


def test_who_dies_while_he_brings_it_blocks_nobody(store: Store, server: CountingS3) -> None:
    """The next one goes on at once, and what the dead one left is swept."""
    content, asked, go_on = stored(store), threading.Event(), threading.Event()

    def stall(method: str, _path: str) -> None:
        if method == "GET" and not asked.is_set():
            asked.set()
            go_on.wait(SOON)

    server.answer = stall
    with reader(content) as dead:
        assert asked.wait(SOON)
        # What a download leaves that has already begun to write.
        (cache_folder() / ".tmp" / f"{_host()}-{dead.pid}-0123456789abcdef").write_bytes(b"half")
        with reader(content) as waiting:
            time.sleep(0.3)
            dead.send_signal(signal.SIGKILL)
            assert waiting.communicate(timeout=SOON) == (f"{len(DATA)}\n", "")
    go_on.set()
    trim()
    assert leftovers() == []


def test_who_is_frozen_while_he_brings_it_is_not_waited_for_for_ever(
    store: Store, server: CountingS3
) -> None:
    """The lock only saves work."""
    content, asked, go_on = stored(store), threading.Event(), threading.Event()

    def freeze(method: str, _path: str) -> None:
        if method == "GET" and not asked.is_set():
            asked.set()
            go_on.wait(SOON)

    server.answer = freeze
    with reader(content) as frozen:
        assert asked.wait(SOON)
        frozen.send_signal(signal.SIGSTOP)
        try:
            assert read_content(store, content, patience_seconds=0.3) == DATA
        finally:
            go_on.set()
            frozen.send_signal(signal.SIGCONT)
        assert frozen.communicate(timeout=SOON) == (f"{len(DATA)}\n", "")


def test_a_fork_while_another_thread_brings_it_blocks_nobody(
    store: Store, server: CountingS3
) -> None:
    """As in a server that loads, and forks its workers meanwhile."""
    content, asked, go_on = stored(store), threading.Event(), threading.Event()

    def wait(method: str, _path: str) -> None:
        if method == "GET":
            asked.set()
            go_on.wait(SOON)

    server.answer = wait
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read_content, store, content)
        assert asked.wait(SOON)
        assert not cachefolder._threads[int(content.sha256[:2], 16)].acquire(blocking=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of just this.
            child = os.fork()
        if not child:
            free = cachefolder._threads[int(content.sha256[:2], 16)].acquire(blocking=False)
            os._exit(0 if free else 1)
        assert os.waitpid(child, 0)[1] == 0
        go_on.set()
        assert reading.result(SOON) == DATA


@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
def test_a_damaged_cached_file_is_brought_anew(
    store: Store, server: CountingS3, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never used, and no error as long as the store is there."""
    content = stored(store)
    read_content(store, content)
    path = cached(content)
    if how == "flipped":
        flip_byte(path)
    else:
        path.write_bytes(DATA[: 100 if how == "cut" else 0])
    assert read_content(store, content) == DATA
    assert path.read_bytes() == DATA
    assert "damaged" in caplog.text
    if how != "flipped":
        path.write_bytes(b"")
    else:
        flip_byte(path)
    with fetch_content(store, content) as found:
        assert found.read_bytes() == DATA
    assert len(server.asked(content.path)) == 3


def test_a_damaged_object_gets_no_name(store: Store) -> None:
    """What the store holds is not what the manifest says: an error that names it."""
    content = Content(stored(store).path, "0" * 64, len(DATA), "restore it")
    for _ in range(2):
        with pytest.raises(BadData, match=f"{URL}/{content.path}: sha256: found") as caught:
            read_content(store, content)
        assert caught.value.hint == "restore it"
        with pytest.raises(BadData), fetch_content(store, content):
            pass
    assert list((cache_folder() / "files").iterdir()) == []
    assert leftovers() == []


def test_a_missing_object_is_missing(store: Store) -> None:
    """The cache changes nothing about it."""
    content = Content("data/nothing", "0" * 64)
    with pytest.raises(Missing):
        read_content(store, content)
    with pytest.raises(Missing), fetch_content(store, content):
        pass


def test_a_mapped_file_stays_what_it_was(store: Store) -> None:
    """Whatever becomes of the file in the cache: it is replaced, not written to."""
    content = stored(store)
    with fetch_content(store, content) as path:
        mapped = np.memmap(path, mode="r")
    inode = path.stat().st_ino
    spoiled = path.with_name("spoiled")
    spoiled.write_bytes(b"x" * len(DATA))
    spoiled.replace(path)
    assert read_content(store, content) == DATA
    assert path.stat().st_ino != inode
    assert bytes(mapped) == DATA


def test_local_stores_have_no_cache(tmp_path: Path) -> None:
    """Their files are used where they are, and verified as well."""
    local = open_store(str(tmp_path / "out"))
    content = stored(local)
    assert read_content(local, content) == DATA
    with fetch_content(local, content) as path:
        assert path == tmp_path / "out" / content.path
    flip_byte(path)
    with pytest.raises(BadData, match="sha256"):
        read_content(local, content)
    with pytest.raises(BadData, match="sha256"), fetch_content(local, content):
        pass
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/cache"])
def test_it_is_done_without_a_cache_that_cannot_be(
    store: Store, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning that names the folder, and no error."""
    cachefolder._warn.cache_clear()
    monkeypatch.setenv("BATCH_PREDICT_CACHE", place)
    content = stored(store)
    for _ in range(2):
        assert read_content(store, content) == DATA
        with fetch_content(store, content) as path:
            assert path.read_bytes() == DATA
    assert caplog.text.count("without this host's cache") == 1
    assert place in caplog.text


@pytest.mark.parametrize("options", ["size=200k", "size=100m,ro"])
def test_a_full_or_read_only_disk_is_no_error(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: str,
) -> None:
    """What is to be read comes through memory, even where the spool folder is as bad."""
    cachefolder._warn.cache_clear()
    with disk(tmp_path / "disk", options) as mounted:
        monkeypatch.setenv("BATCH_PREDICT_CACHE", str(mounted))
        monkeypatch.setenv("BATCH_PREDICT_SPOOL", str(mounted / "spool"))
        data = os.urandom(300_000)
        assert read_content(store, stored(store, data)) == data
    assert "without this host's cache" in caplog.text


def test_the_error_is_the_stores_when_the_store_is_away(
    store: Store, server: CountingS3, caplog: pytest.LogCaptureFixture
) -> None:
    """The cache is not blamed for it."""
    content = stored(store)
    with server.away():
        with pytest.raises(StoreDown, match=f"{URL}/{content.path}: no answer"):
            read_content(store, content)
        assert "cache" not in caplog.text


def test_beyond_the_limit_what_is_least_recently_used_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not what is just being used."""
    monkeypatch.setenv("BATCH_PREDICT_CACHE_GB", "0.000025")
    contents = [stored(store, os.urandom(10_000 + number)) for number in range(4)]
    for number, content in enumerate(contents):
        read_content(store, content)
        os.utime(cached(content), (1e9 + number, 1e9 + number))
    read_content(store, contents[0])
    trim()
    assert [cached(content).exists() for content in contents] == [True, False, False, True]
    monkeypatch.setenv("BATCH_PREDICT_CACHE_GB", "0")
    trim()
    assert [cached(content).exists() for content in contents] == [True, False, False, False]


def test_what_a_version_needs_stays(server: CountingS3, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """While it is being loaded and as long as it is kept, however small the limit is."""
    monkeypatch.setenv("BATCH_PREDICT_CACHE_GB", "0")
    output = Output(URL)
    first = output.publish(part("2013-12-01", id=["a"], prediction=[0.25]))
    second = output.publish(part("2013-12-02", id=["b"], prediction=[0.5]), keep=False)

    def use(manifest: object) -> list[bool]:
        found = []
        for file in manifest.files:  # type: ignore[attr-defined]
            path = cache_folder() / "files" / file.sha256
            read_content(output.store, Content(file.path, file.sha256))
            os.utime(path, (1e9, 1e9))
            trim()
            found.append(path.exists())
        return found

    with saving_fallback(URL, first):
        assert use(first) == [True]
    assert read_fallback(URL) == first
    assert use(second) == [False]
    with saving_fallback(URL, second):
        assert use(second) == [True]
        assert use(first) == [True]
    assert read_fallback(URL) == second
    assert use(first) == [False]
    assert read_fallback(f"{URL}/other") is None


def test_a_version_is_kept_only_whole_and_only_forward(server: CountingS3) -> None:  # noqa: ARG001
    """Neither one that failed, nor one that misses a file here, nor an older one replaces it."""
    output = Output(URL)
    first = output.publish(part("2013-12-01", id=["a"], prediction=[0.25]))
    second = output.publish(part("2013-12-02", id=["b"], prediction=[0.5]))
    for file in second.files:
        read_content(output.store, Content(file.path, file.sha256))
    with pytest.raises(BadData), saving_fallback(URL, second):
        raise BadData("")
    assert read_fallback(URL) is None
    with saving_fallback(URL, second):
        pass
    with saving_fallback(URL, first):
        pass
    assert read_fallback(URL) == second
    third = output.publish(part("2013-12-03", id=["c"], prediction=[0.5]))
    with saving_fallback(URL, third):
        pass
    assert read_fallback(URL) == second
    assert [path.suffix for path in (cache_folder() / "versions").iterdir()] == [".json"]


def test_versions_that_nobody_asks_for_protect_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a month, and at once those that a dead process was loading; damaged ones never do."""
    monkeypatch.setenv("BATCH_PREDICT_CACHE_GB", "0")
    content, versions = stored(store), cache_folder() / "versions"
    versions.mkdir()
    note = f'{{"files": [{{"sha256": "{content.sha256}"}}], "model": {{"sha256": "0"}}}}'
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    for name, age_days, stays in [
        ("a.json", 1, True),
        ("a.json", 31, False),
        (f"{_host()}-{os.getpid()}-0", 1, True),
        (f"{_host()}-{dead.pid}-0", 1, False),
    ]:
        read_content(store, content)
        os.utime(cached(content), (1e9, 1e9))
        (versions / name).write_text(note)
        moment = time.time() - age_days * 86400
        os.utime(versions / name, (moment, moment))
        trim()
        assert cached(content).exists() is stays, name
        (versions / name).unlink(missing_ok=True)
    (versions / "a.json").write_text("{")
    trim()


def _host() -> str:
    from batch.store.files import this_host

    return this_host()
