"""An S3 server in this process that counts what it is asked, and can be away."""

from __future__ import annotations

import os
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from batch.store import s3client

BUCKET = "counted"


@dataclass(frozen=True)
class Request:
    """One request, what it was answered, and how many bytes of body."""

    method: str
    path: str
    status: int
    size: int


class CountingS3:
    """A real server on a port of its own; what it holds survives `stop` and `start`.

    `answer` may return a status to answer instead, or take its time.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[str, str], int | None] = lambda _method, _path: None
        self._application = DomainDispatcherApplication(create_backend_app)
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer again, at the same address."""
        self._server = make_server(
            "127.0.0.1", self._port, self._count, threaded=True, request_handler=_Quiet
        )
        self._port = self._server.port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, it cannot be reached."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def empty(self) -> None:
        """Hold nothing but an empty bucket, answer everything, and have been asked nothing."""
        self.answer = lambda _method, _path: None
        urllib.request.urlopen(f"{self.url}/moto-api/reset", data=b"").close()
        s3client.client().create_bucket(Bucket=BUCKET)
        self.requests.clear()

    def asked(self, part_of_path: str, method: str = "GET") -> list[Request]:
        """The requests for paths that hold this text."""
        return [
            request
            for request in self.requests
            if part_of_path in request.path and request.method == method
        ]

    def _count(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        instead = self.answer(method, path)
        if instead:
            self.requests.append(Request(method, path, instead, 0))
            start_response(f"{instead} Refused", [("Content-Length", "0")])
            return []
        statuses: list[str] = []

        def start(status: str, headers: Any, *rest: Any) -> Any:
            statuses.append(status)
            return start_response(status, headers, *rest)

        body = b"".join(self._application(environ, start))
        self.requests.append(Request(method, path, int(statuses[0].split()[0]), len(body)))
        return [body]


class _Quiet(MotoRequestHandler):
    def log(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[CountingS3]:
    """A server that this process and its children find by their environment."""
    server = CountingS3()
    s3client.disconnect()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            environment.setenv(name, os.devnull)
        environment.setenv("AWS_REGION", "us-east-1")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server
    server.stop()
    s3client.disconnect()
