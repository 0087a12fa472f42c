"""Requests to S3 that go wrong: the bench on a server behind a proxy, and what strikes there."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from batch.store import retry, s3client
from batch.store.retry import Persistence
from tests.faults.bench import Bench, Folder, Round, Scenario, in_memory
from tests.support import servers
from tests.support.proxy import Fault, Proxy
from tests.support.servers import Bucket
from tests.support.wire import Request

BUCKET = "bench"
OUTPUT_URL = f"s3://{BUCKET}/out"
#: All requests, not a sample of them.
TORTURE = bool(os.environ.get("BATCH_PREDICT_TORTURE"))
#: No scenario takes so many requests, repetitions included.
ENDLESS = 500
#: The requests whose answers hold the bytes of an object.
OBJECTS = r"^GET (?!.*[?&]list-type)"


@dataclass
class S3Folder(Folder):
    """A job folder whose inputs and output are on S3; here are copies, for the oracle."""

    bucket: Bucket = field(kw_only=True)
    _objects: dict[str, bytes] = field(default_factory=dict, kw_only=True)

    def configure(self, **sections: dict[str, Any]) -> None:
        """With the places on S3."""
        places = {"input": f"s3://{BUCKET}/data/*.csv", "output": OUTPUT_URL}
        changed = {name: sections.get(name, {}) | {"path": place} for name, place in places.items()}
        super().configure(**(sections | changed))

    def write(self, name: str, data: bytes) -> Path:
        """Here and there."""
        self.bucket.put(f"data/{name}", data)
        return super().write(name, data)

    def save(self, saved: Path) -> None:
        super().save(saved)
        self._objects = self.bucket.read_all()

    def restore(self, saved: Path) -> None:
        super().restore(saved)
        self.bucket.restore(self._objects)

    def mirror(self) -> None:
        self.output.mkdir(exist_ok=True)
        spool = self.output / ".tmp"
        assert not spool.exists() or not list(spool.iterdir()), "nothing is left in the spool"
        self.bucket.mirror("out/", self.output)
        spool.mkdir(exist_ok=True)


class S3Bench(Bench):
    """Puts scenarios to their start on a server, behind a proxy."""

    def __init__(self, root: Path, model: Path, bucket: Bucket, proxy: Proxy) -> None:
        super().__init__(root, partial(S3Folder.make, model=model, bucket=bucket))
        self.bucket, self.proxy = bucket, proxy

    @classmethod
    @contextmanager
    def open(cls, model: Path, server: servers.Endpoint) -> Iterator[S3Bench]:
        """On this server, which this process talks to from here on."""
        with (
            in_memory() as root,
            Proxy.start(server.url) as proxy,
            pytest.MonkeyPatch.context() as patch,
        ):
            settings = servers.Endpoint(proxy.url).environment() | {
                "BATCH_PREDICT_STATE": str(root / "state"),
                "BATCH_PREDICT_CACHE": str(root / "cache"),
                "BATCH_PREDICT_SPOOL": str(root / "place" / "out" / ".tmp"),
            }
            for name, value in settings.items():
                patch.setenv(name, value)
            s3client.disconnect()
            with retry.persisting(Persistence(3, 0.001, 0.002)):
                server.client.create_bucket(Bucket=BUCKET)
                yield cls(root, model, Bucket(server, BUCKET), proxy)
        s3client.disconnect()

    def start(self, scenario: Scenario) -> Round:
        """A fresh copy of the scenario's start; from here on the proxy counts."""
        self.proxy.reset()
        # Only the last one is kept: inputs that are put again have another time, which is planned.
        if scenario not in self.started:
            self.started.clear()
            self.bucket.restore({})
        begun = super().start(scenario)
        self.proxy.reset()
        return begun


@dataclass(frozen=True)
class Trouble:
    """A fault at one request, at every repetition of that request, or at all that follow.

    `only` is a pattern of the requests that it can strike; `codes` are the exit codes that tell
    the truth about it.
    """

    name: str
    fault: Fault
    lasts: Literal["once", "request", "store"] = "once"
    codes: frozenset[int] = frozenset({0})
    only: str = ""


@dataclass
class Strike:
    """Decides for the proxy: trouble at the N-th request, counted from 1."""

    trouble: Trouble
    at: int
    count: int = 0
    first: str = ""
    is_endless: bool = False

    def __call__(self, request: Request) -> Fault | None:
        """What becomes of a request; who never gives up is let go, to be found out."""
        self.is_endless = self.is_endless or self.count > ENDLESS
        if self.is_endless or not re.search(self.trouble.only, request.name):
            return None
        self.count += 1
        if self.count == self.at:
            self.first = request.name
            return self.trouble.fault
        lasts = self.trouble.lasts
        again = lasts == "store" or (lasts == "request" and request.name == self.first)
        return self.trouble.fault if self.first and again else None


class Mixture:
    """Decides for the proxy: any of these faults at a share of the requests."""

    def __init__(self, faults: Sequence[Fault], share: float, seed: int) -> None:
        self._faults, self._share, self._random = faults, share, random.Random(seed)

    def __call__(self, request: Request) -> Fault | None:
        """What becomes of a request."""
        fault = self._random.choice(self._faults)
        strikes = self._random.random() < self._share
        # Nothing tells a listing with a flipped bit from another one: only TLS guards that.
        if fault.kind == "flip" and not re.search(OBJECTS, request.name):
            return None
        return fault if strikes else None
