"""Many at once on a real S3 server, and a server that is killed: a few rounds, or many.

`scripts/test-s3` runs them at length. Moto is left out: it looks first and writes then.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batch.store import open_store
from batch.store.base import Changed, Exists
from tests.conftest import talking_to
from tests.faults.hosts import Host, at_once, several
from tests.support import servers
from tests.support.jobs import JobFolder
from tests.support.racing import race
from tests.support.s3jobs import S3JobFolder
from tests.support.servers import Bucket

WRITERS = 16
HOSTS = 4
ROUNDS = int(os.environ.get("BATCH_PREDICT_S3_ROUNDS", "20"))
MEETINGS = max(2, ROUNDS // 4)
KILLS = max(1, ROUNDS // 20)
SEED = int(os.environ.get("BATCH_PREDICT_S3_SEED", "1"))
PLACES = ("rgw",)
pytestmark = pytest.mark.timeout(3600)


def test_every_race_to_create_has_one_winner(rgw: Bucket) -> None:
    """And what is there afterwards is his."""
    store = open_store(f"{rgw.url}/out")
    for round_ in range(ROUNDS):
        path = f"manifests/{round_:010d}.json"

        def create(number: int, path: str = path) -> None:
            store.create(path, b"%d" % number * 4000)

        won = race(create, Exists, writers=WRITERS)
        blob = store.read(path)
        assert blob is not None
        assert [blob.data] == [b"%d" % number * 4000 for number in won], f"round {round_}"


def test_every_race_to_move_the_pointer_has_one_winner(rgw: Bucket) -> None:
    """Of those that saw the same version; none is lost, none is overwritten."""
    store = open_store(f"{rgw.url}/out")
    store.replace("manifest.json", b"first", token=None)
    for round_ in range(ROUNDS):
        before = store.read("manifest.json")
        assert before is not None

        def move(number: int, token: str = before.token, round_: int = round_) -> None:
            store.replace("manifest.json", b"%d of %d" % (number, round_), token=token)

        won = race(move, Changed, writers=WRITERS)
        after = store.read("manifest.json")
        assert after is not None
        assert [after.data] == [b"%d of %d" % (number, round_) for number in won], f"round {round_}"


def test_runs_of_several_hosts_at_once_predict_everything_once(
    job: JobFolder, tmp_path: Path
) -> None:
    """Each publishes, or finds its work done, or leaves it to the next; and the next finishes it."""
    with several(HOSTS, tmp_path) as hosts:
        for round_ in range(MEETINGS):
            add(job, round_)
            with job.mirrored():
                ends = at_once(hosts, "run", str(job.folder))
                codes = {ended.code for ended in ends}
                assert 0 in codes, (round_, ends)
                assert codes <= {0, 75}, (round_, ends)
                if 75 in codes:
                    assert hosts[0].run("run", str(job.folder)).code == 0
            require_all(job, hosts)


def test_a_run_goes_on_after_the_server_was_killed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of it, without a warning; what was acknowledged is still there."""
    root = Path(os.environ.get(servers.RGW, "none"))
    if not root.is_dir():
        pytest.skip("A SERVER THAT IS KILLED IS NOT TESTED HERE: scripts/test-s3 does it, as root")
    pick = random.Random(SEED)
    with (
        servers.serving(servers.rgw(root, tmp_path)) as server,
        talking_to(server.endpoint, tmp_path, monkeypatch),
        several(2, tmp_path) as hosts,
    ):
        bucket = server.endpoint.new_bucket()
        job = S3JobFolder.make(tmp_path / "job", tiny_model, bucket=bucket)
        add(job, 0)
        with job.mirrored():
            began = time.monotonic()
            assert hosts[0].run("run", str(job.folder)).code == 0
            takes = time.monotonic() - began
        for round_ in range(1, KILLS + 1):
            before = require_all(job, hosts)["version"]
            add(job, round_)
            with job.mirrored():
                hosts[0].prepare(["run", str(job.folder)])
                hosts[0].let_go()
                time.sleep(pick.uniform(0, takes))
                server.kill()
                server.start()
                assert hosts[0].wait().code in {0, 69, 75}
                assert hosts[1].run("run", str(job.folder)).code == 0
            assert before < require_all(job, hosts)["version"] <= before + 2


def add(job: JobFolder, round_: int) -> None:
    """Two inputs that are new in this round."""
    for number in range(2):
        rows = [[f"{round_}-{number}-{row}", row + 0.5, round_ % 5] for row in range(3)]
        job.add(f"{round_:04}-{number}.csv", rows)


def require_all(job: JobFolder, hosts: Sequence[Host]) -> dict[str, Any]:
    """Everything that was added is predicted once, as by the plain model; no spool is in use."""
    manifest = job.judge()
    assert manifest["totals"]["inputs"] == len(list(job.data.iterdir()))
    assert not [path for host in hosts for path in host.spool.glob("*")]
    return manifest
