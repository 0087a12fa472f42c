from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import pytest

from tests.support.proxy import Fault, Proxy, Rule

LARGE = bytes(range(256)) * 1000


class Shelf(BaseHTTPRequestHandler):
    """A server that keeps what is put, and notes what it heard."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    heard: list[tuple[str, dict[str, str], bytes]]

    def do_PUT(self) -> None:
        """Keep the body, in chunks if it comes in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while line := self.rfile.readline().strip():
                body += self.rfile.read(int(line, 16) + 2)[:-2] if int(line, 16) else b""
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.objects[self.path] = body
        self._say(200, b"")

    def do_GET(self) -> None:
        """What was put, or 404."""
        found = self.objects.get(self.path)
        self._say(404 if found is None else 200, found or b"")

    def do_HEAD(self) -> None:
        """Its length."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _say(self, status: int, body: bytes) -> None:
        self.heard.append((self.command, dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Place:
    """The proxy before a shelf, and a client."""

    def __init__(self, proxy: Proxy, shelf: type[Shelf]) -> None:
        self.proxy, self.shelf = proxy, shelf

    def connect(self, timeout: float = 10) -> http.client.HTTPConnection:
        """A connection to the proxy."""
        host, _, port = self.proxy.url.removeprefix("http://").partition(":")
        return http.client.HTTPConnection(host, int(port), timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def strike(self, fault: Fault, **rule: Any) -> None:
        """Let something go wrong."""
        self.proxy.rules.append(Rule(fault, **rule))


@pytest.fixture
def place() -> Iterator[Place]:
    """A proxy through which nothing goes wrong yet."""
    own = type("Own", (Shelf,), {"objects": {"/there": b"what is there"}, "heard": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), own)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    with Proxy.start(f"http://127.0.0.1:{server.server_port}") as proxy:
        yield Place(proxy, own)
    server.shutdown()
    thread.join()
    server.server_close()


NO_ANSWER = (ConnectionError, http.client.HTTPException)


def test_what_comes_is_handed_on_and_counted(place: Place) -> None:
    """The Host header is the client's: it is part of what is signed."""
    assert place.ask("PUT", "/new?x=1", b"data", {"Host": "bucket.example"}) == (200, b"")
    assert place.ask("GET", "/new?x=1") == (200, b"data")
    assert place.shelf.heard[0][1]["Host"] == "bucket.example"
    assert [request.name for request in place.proxy.requests] == ["PUT /new?x=1", "GET /new?x=1"]


def test_connections_stay(place: Place) -> None:
    """Also after answers without a body."""
    connection = place.connect()
    for method, path, status in (("HEAD", "/there", 200), ("GET", "/gone", 404)) * 2:
        connection.request(method, path)
        first = connection.sock
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, connection.sock) == (status, first)
    connection.close()


def test_bodies_in_chunks_arrive(place: Place) -> None:
    """As clients send them that do not know the length before the end."""
    connection = place.connect()
    connection.request("PUT", "/chunks", iter([b"one", b"two"]), encode_chunked=True)
    assert connection.getresponse().read() == b""
    assert place.shelf.objects["/chunks"] == b"onetwo"
    connection.close()


def test_who_expects_to_be_told_to_continue_is_told(place: Place) -> None:
    """Before the body is sent."""
    connection = place.connect()
    connection.putrequest("PUT", "/asked")
    connection.putheader("Content-Length", "4")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"body")
    assert connection.getresponse().status == 200
    assert place.shelf.objects["/asked"] == b"body"
    connection.close()


@pytest.mark.parametrize("status", [200, 403, 409, 412, 500, 503])
def test_a_status_is_answered_without_asking_the_server(place: Place, status: int) -> None:
    """With what S3 says; once, and to HEAD without a body."""
    place.strike(Fault("answer", status), times=2)
    found, body = place.ask("PUT", "/new", b"data")
    assert found == status
    assert body.startswith(b"<?xml")
    assert place.ask("HEAD", "/there") == (status, b"")
    assert not place.shelf.heard
    assert place.ask("GET", "/there")[0] == 200


def test_closed_before_it_is_handed_on(place: Place) -> None:
    """The server hears nothing."""
    place.strike(Fault("close"))
    with pytest.raises(NO_ANSWER):
        place.ask("PUT", "/new", b"data")
    assert not place.shelf.heard


def test_a_lost_answer(place: Place) -> None:
    """It was done, and nobody says so."""
    place.strike(Fault("lose"))
    with pytest.raises(NO_ANSWER):
        place.ask("PUT", "/new", b"data")
    assert place.shelf.objects["/new"] == b"data"


def test_half_an_answer(place: Place) -> None:
    """The length is the true one."""
    place.strike(Fault("truncate"), method="GET")
    with pytest.raises(http.client.IncompleteRead) as caught:
        place.ask("GET", "/there")
    assert caught.value.partial == b"what i"
    assert caught.value.expected == len(b"s there")


def test_an_answer_that_is_cut_off_in_its_head(place: Place) -> None:
    """Clients that do not look take it for one with an empty body."""
    place.strike(Fault("behead"))
    assert place.ask("GET", "/there") == (200, b"")


def test_a_flipped_bit(place: Place) -> None:
    """Of the right length."""
    place.strike(Fault("flip"))
    assert place.ask("GET", "/there") == (200, b"what ir there")


def test_a_stalled_answer(place: Place) -> None:
    """Begins, and does not go on."""
    place.strike(Fault("stall", seconds=60))
    connection = place.connect(timeout=0.2)
    connection.request("GET", "/there")
    with pytest.raises(TimeoutError):
        connection.getresponse().read()
    connection.close()


def test_a_delayed_request(place: Place) -> None:
    """Comes to the same."""
    place.strike(Fault("delay", seconds=0.2))
    before = time.monotonic()
    assert place.ask("GET", "/there")[0] == 200
    assert time.monotonic() - before >= 0.2


def test_a_request_that_is_held_is_delivered_when_it_is_released(place: Place) -> None:
    """The client has long given it up."""
    place.strike(Fault("hold"))
    with pytest.raises(NO_ANSWER):
        place.ask("PUT", "/late", b"data")
    assert place.ask("GET", "/late")[0] == 404
    assert place.proxy.release() == [200]
    assert place.ask("GET", "/late") == (200, b"data")
    assert place.proxy.release() == []


def test_a_request_that_is_held_is_delivered_after_its_time(place: Place) -> None:
    """Nobody has to release it."""
    place.strike(Fault("hold", seconds=0.1))
    with pytest.raises(NO_ANSWER):
        place.ask("PUT", "/late", b"data")
    deadline = time.monotonic() + 5
    while "/late" not in place.shelf.objects and time.monotonic() < deadline:
        time.sleep(0.01)
    assert place.shelf.objects["/late"] == b"data"
    assert place.proxy.release() == []


def test_somebody_acts_before_the_request_is_handed_on(place: Place) -> None:
    """Also by requests of their own."""
    place.strike(Fault("call", act=lambda: place.ask("PUT", "/there", b"theirs")))
    assert place.ask("GET", "/there") == (200, b"theirs")


def test_the_rate_is_shared_by_all_connections(place: Place) -> None:
    """Two together take as long as one after the other, bodies of both directions counted."""
    place.shelf.objects["/large"] = LARGE
    place.proxy.rate = 4 * len(LARGE)
    asks = [
        threading.Thread(target=place.ask, args=args)
        for args in (("GET", "/large"), ("PUT", "/copy", LARGE))
    ]
    before = time.monotonic()
    for thread in asks:
        thread.start()
    for thread in asks:
        thread.join()
    assert 0.45 <= time.monotonic() - before <= 3
    assert place.shelf.objects["/copy"] == LARGE


def test_a_rule_strikes_what_it_names(place: Place) -> None:
    """Method, path and header; after as many as are skipped, as often as it says."""
    place.strike(
        Fault("answer", 503), method="GET", path="^/th.re$", headers={"If-Match": "^a"},
        skip=1, times=2,
    )  # fmt: skip
    match = {"If-Match": "abc"}
    asked = [place.ask("GET", "/there", headers=match)[0] for _ in range(4)]
    assert asked == [200, 503, 503, 200]
    place.proxy.rules[0].seen = 1
    assert place.ask("HEAD", "/there", headers=match)[0] == 200
    assert place.ask("GET", "/there/too", headers=match)[0] == 404
    assert place.ask("GET", "/there")[0] == 200
    assert place.ask("GET", "/there", headers={"If-Match": "xyz"})[0] == 200
    assert place.ask("GET", "/there", headers=match)[0] == 503
    assert len(place.proxy.struck) == 3


def test_what_belongs_to_the_test_is_left_alone(place: Place) -> None:
    """Nothing goes wrong there, and nothing is counted."""
    place.strike(Fault("close"), times=None)
    with place.proxy.quiet():
        assert place.ask("GET", "/there")[0] == 200
    assert place.proxy.requests == []
    with pytest.raises(NO_ANSWER):
        place.ask("GET", "/there")
