"""What every test needs: a state folder of its own, a five-row model, and S3 servers."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from joblib.externals.loky import reusable_executor

from batch.logs import log
from batch.store import s3client
from tests.faults.s3_strikes import S3Bench
from tests.support import flights as flight_jobs
from tests.support import servers
from tests.support.damaged import live_three_versions
from tests.support.jobs import JobFolder, save_tiny_model
from tests.support.s3jobs import S3JobFolder


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of its own for every test."""
    folder = tmp_path / "state"
    monkeypatch.setenv("BATCH_PREDICT_STATE", str(folder))
    monkeypatch.setenv("BATCH_PREDICT_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """The command line sets them for its process; a test is no process of its own."""
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic regression on columns x and y, saved with its sidecar; made once per process."""
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.joblib")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module that names several `PLACES` run in each of them.

    On the gateway only where there is one.
    """
    if "storage" in metafunc.fixturenames:
        local_only = metafunc.definition.get_closest_marker("local_only")
        places = getattr(metafunc.module, "PLACES", ("local",))
        if "local" in places and servers.RGW not in os.environ:
            places = [place for place in places if place != "rgw"]
        metafunc.parametrize("storage", ("local",) if local_only else places)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with many cases, every fourth is tried on moto; all of them elsewhere."""
    seen: Counter[str] = Counter()

    def is_kept(item: pytest.Item) -> bool:
        name, _, case = item.name.partition("[")
        if not case.startswith("moto") or not item.get_closest_marker("sampled"):
            return True
        seen[name] += 1
        return seen[name] % 4 == 1

    items[:] = filter(is_kept, items)


@pytest.fixture
def job(
    storage: str, tmp_path: Path, tiny_model: Path, request: pytest.FixtureRequest
) -> JobFolder:
    """A job that takes in data/*.csv at once, by the tiny model."""
    if storage == "local":
        return JobFolder.make(tmp_path / "job", tiny_model)
    return S3JobFolder.make(tmp_path / "job", tiny_model, bucket=request.getfixturevalue(storage))


@pytest.fixture(scope="session")
def lives() -> dict[str, JobFolder]:
    """What `published` starts from, by the place; each is made once per process."""
    return {}


@pytest.fixture
def published(
    job: JobFolder, storage: str, lives: dict[str, JobFolder],
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
) -> JobFolder:  # fmt: skip
    """A job with three versions: shared parts, rejects, an input that changed; another host's."""
    if storage not in lives:
        elsewhere = tmp_path_factory.mktemp(f"lived-{storage}")
        with monkeypatch.context() as patch:
            patch.setenv("BATCH_PREDICT_STATE", str(elsewhere / "state"))
            live_three_versions(job)
        lives[storage] = dataclasses.replace(job, folder=elsewhere)
        lives[storage].copy_from(job)
    job.copy_from(lives[storage])
    return job


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Endpoint]:
    """Moto, once per process of pytest."""
    with servers.serving(servers.moto(tmp_path_factory.mktemp("moto"))) as server:
        yield server.endpoint


@pytest.fixture(scope="session")
def rgw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Endpoint]:
    """The Ceph object gateway, once per process of pytest."""
    where = os.environ.get(servers.RGW)
    if not where:
        pytest.skip(f"THE CEPH OBJECT GATEWAY IS NOT TESTED HERE: {servers.HOW_TO_GET_RGW}")
    if "://" in where:
        yield servers.Endpoint(where)
        return
    folder = tmp_path_factory.mktemp("rgw")
    with servers.serving(servers.rgw(Path(where), folder)) as server:
        yield server.endpoint


@pytest.fixture(scope="module")
def s3(tiny_model: Path, moto_server: servers.Endpoint) -> Iterator[S3Bench]:
    """A proxy before moto, for all tests of a module."""
    with S3Bench.open(tiny_model, moto_server) as opened:
        yield opened


@pytest.fixture
def moto(
    moto_server: servers.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[servers.Bucket]:
    """An empty bucket of moto; this process talks to that server."""
    with talking_to(moto_server, tmp_path, monkeypatch):
        yield moto_server.new_bucket()


@pytest.fixture
def rgw(
    rgw_server: servers.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[servers.Bucket]:
    """An empty bucket of the Ceph object gateway; this process talks to that server."""
    with talking_to(rgw_server, tmp_path, monkeypatch):
        yield rgw_server.new_bucket()


@contextmanager
def talking_to(
    server: servers.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have this process and its children talk to one server, with a spool folder of their own."""
    for name in _aws_settings():
        monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BATCH_PREDICT_SPOOL", str(tmp_path / "spool"))
    # A client knows the settings that there were when it was made, which takes long.
    if _last_settings != _aws_settings():
        s3client.disconnect()
    _end_idle_workers()
    yield
    _last_settings.clear()
    _last_settings.update(_aws_settings())
    _end_idle_workers()


#: With which the test before talked to its server, when it was over.
_last_settings: dict[str, str] = {}


def _aws_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def _end_idle_workers() -> None:
    """They know the settings, and the folders, of the test that started them."""
    if reusable_executor._executor:
        reusable_executor._executor.shutdown(kill_workers=True)


@pytest.fixture(scope="session")
def trained_flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo job with its model; see tests/support/flights.py."""
    return flight_jobs.train(tmp_path_factory.mktemp("flights") / "flight_delays")


@pytest.fixture
def flights(trained_flights: Path, tmp_path: Path) -> JobFolder:
    """The demo job with the first two weeks of December."""
    return flight_jobs.copy(trained_flights, tmp_path / "flight_delays")
