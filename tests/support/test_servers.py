"""The servers are what the tests take them for, and the program tells one that will not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.errors import StoreDown
from tests.conftest import talking_to
from tests.support import servers
from tests.support.jobs import JobFolder


@pytest.fixture
def rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Bucket]:
    """An empty bucket of rclone; this process talks to that server."""
    with (
        servers.serving(servers.rclone(tmp_path)) as server,
        talking_to(server.endpoint, tmp_path, monkeypatch),
    ):
        yield server.endpoint.new_bucket()


def test_the_gateway_is_ceph_s(rgw_server: servers.Endpoint) -> None:
    """Where it is not here, this says so once for all tests that it takes."""
    answer = rgw_server.client.list_buckets()
    assert "Ceph" in answer["ResponseMetadata"]["HTTPHeaders"]["server"]


def test_a_server_without_conditions_is_refused(job: JobFolder, rclone: servers.Bucket) -> None:
    """Before the first version: later, two hosts would overwrite each other's."""
    job.add("a.csv", [["1", 0.5, 1.5]])
    job.configure(output={"path": f"{rclone.url}/out"})
    outcome = job.run()
    assert outcome.exit_code == StoreDown.exit_code
    assert "overwrites objects that it must refuse to create" in outcome.message
    assert rclone.names("out/manifest") == []
