"""Real S3 servers for tests: each is a process of its own, on the loopback interface only.

- moto keeps objects in memory, starts in a second, and knows conditions. It looks first and writes
  then, so it proves nothing about races, and it believes every signature.
- The Ceph object gateway (RGW) is the real thing. `tests/support/rgw` builds what it runs in.
- rclone ignores conditions: it stands for every server that a job must not be given.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

#: Where the gateway is: a root that `tests/support/rgw/build` made, or the URL of one that is running.
RGW = "BATCH_PREDICT_TEST_RGW"
_WHERE = os.environ.get(RGW)
#: The fixtures of what keeps the contract of a store, and of what keeps it when many write at once.
SERVERS = ["moto", "rgw"] if _WHERE else ["moto"]
ATOMIC = ["rgw"] if _WHERE else []
HOW_TO_GET_RGW = f"scripts/test-s3 builds one, as root; or set {RGW} to its URL"
_REGION = "us-east-1"
_START_SECONDS = 120.0
#: However pytest ends, no server is left behind.
_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
_SERVE = Path(__file__).parent / "rgw" / "serve"


@dataclass(frozen=True)
class User:
    """Somebody with keys, of 20 characters at least, as some servers want them."""

    key: str
    secret: str


OWNER = User("TESTTESTTESTTESTTEST", "test-secret-test-secret")
#: A user of the gateway who may do nothing with what belongs to the owner.
STRANGER = User("STRANGERSTRANGERSTRA", "another-secret-another-secret")


@dataclass(frozen=True)
class Endpoint:
    """An S3 server that answers."""

    url: str

    def environment(self, user: User = OWNER) -> dict[str, str]:
        """What a process needs to talk to this server, and to no other."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": user.key,
            "AWS_SECRET_ACCESS_KEY": user.secret,
            "AWS_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }

    @property
    def client(self) -> Any:
        """A client of the owner that is none of ours."""
        return _client(self.url)

    def new_bucket(self) -> Bucket:
        """An empty bucket."""
        name = f"test-{secrets.token_hex(8)}"
        self.client.create_bucket(Bucket=name)
        return Bucket(self, name)


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server."""

    server: Endpoint
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def client(self) -> Any:
        return self.server.client

    def put(self, key: str, data: bytes) -> None:
        """Write as a stranger to the program would: whatever is there."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def names(self, prefix: str = "") -> list[str]:
        """The keys that start so, sorted."""
        return list(self.etags(prefix))

    def etags(self, prefix: str = "") -> dict[str, str]:
        """The keys that start so, sorted, each with what tells its content."""
        pages = self.client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.name, Prefix=prefix)
        items = [item for page in found for item in page.get("Contents", ())]
        return {item["Key"]: item["ETag"].strip('"') for item in items}

    def delete(self, key: str) -> None:
        """Remove it, as anybody may."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def read_all(self, prefix: str = "", *, known: Mapping[str, bytes] = {}) -> dict[str, bytes]:
        """Every object below a prefix, by the rest of its key; what is known is not read again."""
        found = {}
        for key, etag in self.etags(prefix).items():
            name = key.removeprefix(prefix)
            data = known.get(name)
            found[name] = data if data is not None and _md5(data) == etag else self.read(key)
        return found

    def restore(self, objects: Mapping[str, bytes]) -> None:
        """Let exactly these be there; what is so already keeps its time."""
        etags = self.etags()
        for key in etags.keys() - objects.keys():
            self.delete(key)
        for key, data in objects.items():
            if etags.get(key) != _md5(data):
                self.put(key, data)

    def mirror(self, prefix: str, folder: Path) -> None:
        """Copy all objects below a prefix to a folder, and remove other files there."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        here = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        there = self.read_all(prefix, known=here)
        for name in here.keys() - there.keys():
            (folder / name).unlink()
        for name, data in there.items():
            if here.get(name) != data:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)

    def complete_upload(self) -> None:
        """Give the object its name whose large upload is under way."""
        (upload,) = self.client.list_multipart_uploads(Bucket=self.name)["Uploads"]
        which = {"Bucket": self.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        parts = self.client.list_parts(**which)["Parts"]
        pieces = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
        self.client.complete_multipart_upload(**which, MultipartUpload={"Parts": pieces})

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def uploads(self) -> list[str]:
        """The keys of large uploads that are neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in found.get("Uploads", ())]


class Server:
    """A server as a process; what it keeps on a disk outlives `kill`, and so does its URL."""

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self.endpoint = Endpoint(f"http://127.0.0.1:{port}")
        self._command, self._port, self._log = command, port, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_WITH_US, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self._command[:3]} does not answer:\n{self._said()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a warning, as a power cut would end its machine."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            while self._answers():  # Its children go a moment later.
                time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """A server that runs inside the `with`."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def moto(folder: Path) -> Server:
    """What is put there is gone with it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    return Server(command, port, folder / "moto.log")


def rclone(folder: Path) -> Server:
    """Buckets are the folders below `folder`."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program, "rclone is not installed: scripts/setup test"
    port = free_port()
    (folder / "objects").mkdir()
    command = [program, "serve", "s3", "--config", os.devnull, "--addr", f"127.0.0.1:{port}",
               "--auth-key", f"{OWNER.key},{OWNER.secret}", str(folder / "objects")]  # fmt: skip
    return Server(command, port, folder / "rclone.log")


def rgw(root: Path, folder: Path) -> Server:
    """A Ceph object gateway that keeps its objects below `folder`; takes root."""
    ports = [free_port(), free_port()]
    users = [f"{user.key}:{user.secret}" for user in (OWNER, STRANGER)]
    command = [str(_SERVE), str(root), str(folder / "rgw"), *map(str, ports), *users]
    return Server(command, ports[0], folder / "rgw.log")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@cache
def _client(url: str) -> Any:
    session = boto3.session.Session(OWNER.key, OWNER.secret, region_name=_REGION)
    return session.client("s3", endpoint_url=url, config=Config(s3={"addressing_style": "path"}))
