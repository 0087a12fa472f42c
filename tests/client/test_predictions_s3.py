"""The client on S3: one small request for nothing new, and a version to serve while S3 is away."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from batch.client import NotPublished, Predictions
from batch.errors import Damaged, NotPermitted, StoreDown
from batch.output import layout
from batch.records.documents import encode
from batch.store import cachefolder, open_store
from batch.store.base import Store
from batch.store.retry import Persistence, persisting
from tests.client.test_predictions import FORKING
from tests.support.counting_s3 import BUCKET, CountingS3, serving
from tests.support.jobs import JobFolder
from tests.support.published import Output, flip_byte, part

URL = f"s3://{BUCKET}/out"
SOON = 30.0  # seconds: only a failing test waits this long
TWO_ROWS = part("2013-12-01", id=["a", "b"], prediction=[0.25, 0.75])
ONE_MORE = part("2013-12-02", id=["c"], prediction=[0.5])


@pytest.fixture(scope="module")
def running() -> Iterator[CountingS3]:
    """A server for all tests of this file."""
    with serving() as server:
        yield server


@pytest.fixture
def server(running: CountingS3) -> Iterator[CountingS3]:
    """It, with an empty bucket; who does not get an answer asks again at once."""
    running.empty()
    with persisting(Persistence(first_pause_seconds=0.001)):
        yield running


@pytest.fixture
def output(server: CountingS3) -> Output:  # noqa: ARG001  # It is found by the environment.
    """An output on S3 that nothing is published to yet."""
    return Output(URL)


def cached_files() -> set[str]:
    """What the cache holds."""
    return {path.name for path in (cachefolder.cache_folder() / "files").iterdir()}


# Polling


def test_nothing_new_costs_one_request_without_a_body(output: Output, server: CountingS3) -> None:
    """The pointer's ETag is sent along, and 304 is the answer."""
    output.publish(TWO_ROWS)
    predictions = Predictions(URL)
    server.requests.clear()
    for _ in range(3):
        assert not predictions.refresh()
    found = [
        (request.method, request.path, request.status, request.size) for request in server.requests
    ]
    assert found == [("GET", f"/{BUCKET}/out/manifest.json", 304, 0)] * 3


def test_a_new_version_costs_what_is_new(output: Output, server: CountingS3) -> None:
    """The manifest, and the parts that are not here yet."""
    output.publish(TWO_ROWS)
    predictions = Predictions(URL)
    second = output.publish(ONE_MORE)
    server.requests.clear()
    assert predictions.refresh()
    assert predictions.get("c")["prediction"] == 0.5
    assert [request.path.partition("/out/")[2] for request in server.requests] == [
        layout.POINTER, second.files[1].path
    ]  # fmt: skip


def test_a_second_client_of_the_host_reads_the_manifest_only(
    output: Output, server: CountingS3
) -> None:
    """The parts are here; so after a restart."""
    output.publish(TWO_ROWS, ONE_MORE)
    first = Predictions(URL)
    server.requests.clear()
    second = Predictions(f"{URL}/", columns=["prediction"])
    assert second.get("a") == {"id": "a", "prediction": 0.25}
    assert second.version == first.version
    assert [request.path.partition("/out/")[2] for request in server.requests] == [layout.POINTER]


def test_two_processes_that_start_at_once_bring_each_part_once(
    output: Output, server: CountingS3
) -> None:
    """Whoever comes second waits for the file, not for the whole version."""
    tables = [part(f"2013-12-{day:02}", id=[str(day)], prediction=[0.5]) for day in range(1, 5)]
    output.publish(*tables)
    server.answer = lambda _method, path: time.sleep(0.1) if "/data/" in path else None
    with _python(_LOOKING, "4") as one, _python(_LOOKING, "4") as two:
        answers = [process.communicate(timeout=SOON) for process in (one, two)]
    assert answers == [("1 0.5\n", "")] * 2
    parts = [request.path for request in server.asked("/data/")]
    assert len(parts) == len(set(parts)) == 4


def test_polling_while_it_is_published_sees_whole_versions_only(output: Output) -> None:
    """Neither a mixture of two, nor one that is lower than another before it."""
    keys, stop, seen = [f"k{number}" for number in range(50)], threading.Event(), list[float]()

    def publish(version: int) -> None:
        values = [float(version)] * 25
        output.publish(
            part("2013-12-01", id=keys[:25], prediction=values),
            part("2013-12-02", id=keys[25:], prediction=values),
            keep=False,
        )

    def look() -> None:
        while not stop.is_set():
            (value,) = {row["prediction"] for row in predictions.get_many(keys)}
            if value != (seen or [0.0])[-1]:
                seen.append(value)

    publish(1)
    with Predictions(URL) as predictions, ThreadPoolExecutor(2) as threads:
        looking = threads.submit(look)
        predictions.start(0.01)
        try:
            for version in range(2, 12):
                publish(version)
            wait_until(lambda: predictions.version == 11)
        finally:
            stop.set()
        looking.result(SOON)
        assert predictions.last_error is None
    assert seen == sorted(seen)
    assert len(seen) > 2


def test_lookups_do_not_wait_for_s3(output: Output, server: CountingS3) -> None:
    """However long a poll takes."""
    output.publish(TWO_ROWS)
    asked, go_on = threading.Event(), threading.Event()

    def stall(_method: str, _path: str) -> None:
        asked.set()
        go_on.wait(SOON)

    with Predictions(URL) as predictions:
        server.answer = stall
        predictions.start(0.01)
        assert asked.wait(SOON)
        before = time.perf_counter()
        assert predictions.get("a")["prediction"] == 0.25
        assert time.perf_counter() - before < 0.5
        go_on.set()


def test_a_forked_worker_polls_with_a_client_of_its_own(output: Output) -> None:
    """As in a server that loads before it forks."""
    output.publish(TWO_ROWS)
    with _python(FORKING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "version 1\n"
        output.publish(ONE_MORE)
        assert process.communicate(timeout=SOON) == ("version 2\n", "")
    assert process.returncode == 0


def test_a_lower_version_is_never_served(output: Output) -> None:
    """Also when the parts of both are here."""
    first = output.publish(TWO_ROWS)
    output.publish(ONE_MORE)
    predictions = Predictions(URL)
    output.point_to(encode(first))
    assert not predictions.refresh()
    assert predictions.version == 2
    assert "found version 1" in str(predictions.last_error)


def test_an_empty_prefix_is_not_published(output: Output) -> None:  # noqa: ARG001
    """Whatever this host has kept: nobody says that S3 is away."""
    with pytest.raises(NotPublished):
        Predictions(URL)


def test_a_prefix_that_was_emptied_is_not_served_from_the_cache(output: Output) -> None:
    """S3 answers, and says that there is nothing."""
    output.publish(TWO_ROWS)
    Predictions(URL)
    for entry in output.store.list().entries:
        output.store.delete(entry.path)
    with pytest.raises(NotPublished):
        Predictions(URL)


# S3 is away


def test_without_s3_the_kept_version_is_served_until_it_is_back(
    output: Output, server: CountingS3, caplog: pytest.LogCaptureFixture
) -> None:
    """last_error says why; then it goes on where S3 is."""
    output.publish(TWO_ROWS)
    Predictions(URL)
    output.publish(ONE_MORE)
    with server.away():
        predictions = Predictions(URL)
        assert predictions.get("a")["prediction"] == 0.25
        assert predictions.version == 1
        assert isinstance(predictions.last_error, StoreDown)
        assert "serving version 1 from this host's cache" in caplog.text
        assert predictions.age.total_seconds() > 0
        assert not predictions.refresh()
        assert predictions.last_error is not None
    assert predictions.refresh()
    assert (predictions.version, predictions.last_error) == (2, None)


def test_the_kept_version_may_turn_out_to_be_the_live_one(
    output: Output, server: CountingS3
) -> None:
    """Then nothing is loaded again, and the next poll is a small one."""
    output.publish(TWO_ROWS)
    Predictions(URL)
    with server.away():
        predictions = Predictions(URL)
    server.requests.clear()
    assert not predictions.refresh()
    assert predictions.last_error is None
    assert not predictions.refresh()
    assert [request.status for request in server.requests] == [200, 304]


def test_another_process_starts_from_what_this_one_has_loaded(
    output: Output, server: CountingS3
) -> None:
    """The newest version that any process of the host has loaded."""
    output.publish(TWO_ROWS)
    predictions = Predictions(URL)
    output.publish(ONE_MORE)
    predictions.refresh()
    with server.away(), _python(_LOOKING, "c") as process:
        out, said = process.communicate(timeout=SOON)
        assert out == "2 0.5\n"
        assert "serving version 2 from this host's cache" in said


@pytest.mark.parametrize(
    ("status", "kind", "path"),
    [
        (503, StoreDown, "manifest.json"),
        (403, NotPermitted, "manifest.json"),
        (403, NotPermitted, "/data/"),
    ],
)
def test_what_s3_refuses_is_an_error_only_without_a_kept_version(
    output: Output, server: CountingS3, status: int, kind: type[Exception], path: str
) -> None:
    """Whether it does not answer, does not permit the manifest, or the new part."""
    output.publish(TWO_ROWS)

    def refuse(_method: str, asked: str) -> int | None:
        return status if path in asked else None

    server.answer = refuse
    with pytest.raises(kind):
        Predictions(URL)
    server.answer = lambda _method, _path: None
    Predictions(URL)
    output.publish(ONE_MORE)
    server.answer = refuse
    predictions = Predictions(URL)
    assert predictions.version == 1
    assert isinstance(predictions.last_error, kind)


def test_a_damaged_part_in_s3_leaves_the_kept_version(output: Output) -> None:
    """At the start as later; what S3 holds is not brought here."""
    first = output.publish(TWO_ROWS)
    Predictions(URL)
    second = output.publish(ONE_MORE)
    damaged = second.files[1].path
    blob = output.store.read(damaged)
    assert blob is not None
    output.store.replace(damaged, blob.data[:-1] + b"x", token=blob.token)
    predictions = Predictions(URL)
    assert predictions.version == 1
    assert isinstance(predictions.last_error, Damaged)
    assert damaged in str(predictions.last_error)
    assert cached_files() == {file.sha256 for file in first.files}


def test_a_damaged_cache_is_an_error_only_without_s3(output: Output, server: CountingS3) -> None:
    """It is brought anew while S3 is there; a damaged kept manifest is none."""
    output.publish(TWO_ROWS)
    Predictions(URL)
    (file,) = (cachefolder.cache_folder() / "files").iterdir()
    flip_byte(file)
    assert Predictions(URL).get("a")["prediction"] == 0.25
    flip_byte(file)
    with server.away(), pytest.raises(StoreDown):
        Predictions(URL)
    assert Predictions(URL).last_error is None
    (kept,) = (cachefolder.cache_folder() / "versions").iterdir()
    kept.write_bytes(b"{")
    assert Predictions(URL).last_error is None
    kept.write_bytes(b"{")
    with server.away(), pytest.raises(StoreDown):
        Predictions(URL)


def test_without_a_cache_the_client_works_as_well(
    output: Output,
    server: CountingS3,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says so once, and has nothing to start from when S3 is away."""
    cachefolder._warn.cache_clear()
    monkeypatch.setenv("BATCH_PREDICT_CACHE", "/dev/null/cache")
    output.publish(TWO_ROWS)
    predictions = Predictions(URL)
    output.publish(ONE_MORE)
    assert predictions.refresh()
    assert predictions.get("c")["prediction"] == 0.5
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with server.away(), pytest.raises(StoreDown):
        Predictions(URL)


def test_only_what_the_live_version_needs_outlives_a_small_limit(
    output: Output, monkeypatch: pytest.MonkeyPatch, server: CountingS3
) -> None:
    """Every version replaces the one before it, and the cache does not grow."""
    monkeypatch.setenv("BATCH_PREDICT_CACHE_GB", "0")
    output.publish(TWO_ROWS)
    predictions = Predictions(URL)
    for number in range(4):
        table = part("2013-12-02", id=["c"], prediction=[float(number)])
        manifest = output.publish(table, keep=False)
        for path in (cachefolder.cache_folder() / "files").iterdir():
            os.utime(path, (0, 0))  # Nothing is being opened just now.
        assert predictions.refresh()
    assert cached_files() == {file.sha256 for file in manifest.files}
    with server.away():
        assert Predictions(URL).get("c")["prediction"] == 3.0


# The model


def test_the_model_is_brought_once_and_stays_mapped(job: JobFolder, server: CountingS3) -> None:
    """For clients and worker processes alike; what is mapped outlives its file in the cache."""
    job.add("1.csv", [("a", 0.5, 1), ("b", 3, 0.25)])
    job.run()
    copy(open_store(str(job.output)), open_store(URL))
    server.requests.clear()
    predictions, others = Predictions(URL), Predictions(URL)
    records = [{"x": 0.5, "y": 1}]
    expected = predictions.predict(records)
    assert expected[0]["prediction"] == predictions.get("a")["prediction"]
    assert others.predict(records) == expected
    assert len(server.asked("model.joblib")) == 1
    (cachefolder.cache_folder() / "files" / predictions.manifest.model.sha256).unlink()
    assert predictions.predict(records) == expected
    assert Predictions(URL).predict(records) == expected
    assert len(server.asked("model.joblib")) == 2


def test_runs_and_clients_take_the_same_file(job: JobFolder, server: CountingS3) -> None:
    """The model comes to a host once, whoever loads it."""
    job.configure(output={"path": URL})
    for name in ("1.csv", "2.csv"):
        job.add(name, [(name, 0.5, 1)])
        job.run()
    assert Predictions(URL).predict([{"x": 0.5, "y": 1}])
    assert len(server.asked("model.joblib")) == 1


def copy(source: Store, target: Store) -> None:
    """Every object, as it is."""
    for entry in source.list().entries:
        if not entry.path.startswith("."):
            blob = source.read(entry.path)
            assert blob is not None
            target.create(entry.path, blob.data)


def wait_until(true: Any) -> None:
    """Return when it is."""
    deadline = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, URL, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


_LOOKING = """
import sys
from batch.client import Predictions

predictions = Predictions(sys.argv[1])
print(predictions.version, predictions.get(sys.argv[2])["prediction"])
"""
