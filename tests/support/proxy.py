"""A proxy between a client and an S3 server that lets requests go wrong on purpose.

It hands on the head of a request as it came, the Host header too: signatures stay valid.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.support.wire import (
    BODILESS,
    Answer,
    Request,
    chunks,
    flipped,
    headers_of,
    own_head,
    read_answer,
    refusal,
)

Kind = Literal[
    "answer", "close", "lose", "truncate", "behead", "flip", "stall", "delay", "hold", "call"
]  # fmt: skip

_BLOCK = 64 << 10
_NAP_SECONDS = 0.005
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What becomes of a request.

    answer: by `status`, and never forwarded. close: the connection is closed, nothing forwarded.
    lose: forwarded, and closed without an answer. truncate: half of the answer, then closed.
    behead: closed within the head of the answer, just before the length of the body.
    flip: one bit of the answer's body. stall: half of the answer, then silence for `seconds`.
    delay: forwarded after `seconds`. hold: closed as if it was lost, and delivered after `seconds`
    (0: by `Proxy.release`). call: `act` is called in a thread before it is forwarded.
    """

    kind: Kind
    status: int = 503
    seconds: float = 0.0
    act: Callable[[], object] = lambda: None


@dataclass
class Rule:
    """Strikes the requests that match, `times` times (None: for good) after `skip` of them.

    A request that a rule before it strikes does not come to it.
    `path` and the values of `headers` are patterns that are searched for.
    """

    fault: Fault
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int | None = 1
    seen: int = 0

    def strikes(self, request: Request) -> bool:
        """Whether it is the turn of this request; counts those that match."""
        if not self._matches(request):
            return False
        self.seen += 1
        return self.skip < self.seen and (self.times is None or self.seen <= self.skip + self.times)

    def _matches(self, request: Request) -> bool:
        return (
            self.method in {"", request.method}
            and re.search(self.path, request.path) is not None
            and all(
                re.search(value, request.headers.get(name.lower(), "")) and
                name.lower() in request.headers
                for name, value in self.headers.items()
            )
        )  # fmt: skip


_NONE = Fault("delay")


class Proxy:
    """Set `rules` or `decide` at any time; `requests` and `struck` are what came and what was hit.

    `rate` limits all connections together, in bytes per second (0: not at all).
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.removeprefix("http://").partition(":")
        self._server = host, int(port)
        self.rules: list[Rule] = []
        self.decide: Callable[[Request], Fault | None] = self._by_rules
        self.requests: list[Request] = []
        self.struck: list[tuple[Fault, Request]] = []
        self.rate = 0.0
        self.url = ""
        self._held: list[Request] = []
        self._free_at = 0.0
        self._loop = asyncio.new_event_loop()

    @classmethod
    @contextmanager
    def start(cls, server: str) -> Iterator[Proxy]:
        """In a thread, before the server at a URL, at a free port."""
        proxy = cls(server)
        listening = proxy._loop.run_until_complete(
            asyncio.start_server(proxy._serve, "127.0.0.1", 0, limit=_LIMIT)
        )
        proxy.url = "http://{}:{}".format(*listening.sockets[0].getsockname())
        thread = threading.Thread(target=proxy._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(_end(listening), proxy._loop).result()
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
            thread.join()
            proxy._loop.close()

    def reset(self) -> None:
        """Nothing goes wrong any more, and nothing was counted or is held."""
        self.rules, self.decide, self.rate = [], self._by_rules, 0.0
        self.requests, self.struck, self._held = [], [], []

    def release(self) -> list[int]:
        """Deliver what is held, in its order; the server's statuses, which no client sees."""
        held, self._held = self._held, []
        return [
            asyncio.run_coroutine_threadsafe(self._ask(request), self._loop).result().status
            for request in held
        ]

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """In here nothing goes wrong and nothing is counted: for what belongs to the test."""
        decide, requests = self.decide, self.requests
        self.decide, self.requests = (lambda _: None), []
        try:
            yield
        finally:
            self.decide, self.requests = decide, requests

    def _by_rules(self, request: Request) -> Fault | None:
        return next((rule.fault for rule in self.rules if rule.strikes(request)), None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await self._read_request(reader, writer)
                self.requests.append(replace(request, body=b""))
                fault = self.decide(request)
                if fault:
                    self.struck.append((fault, request))
                if not await self._act(fault or _NONE, request, writer):
                    break
        writer.close()

    async def _read_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.decode("latin-1").partition("\r\n")
        method, path, _ = line.split(" ")
        headers = headers_of(rest)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, path, headers, head, await self._read_body(reader, headers))

    async def _act(self, fault: Fault, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer, or do not; whether the connection stays."""
        match fault.kind:
            case "close":
                return False
            case "hold":
                self._held.append(request)
                if fault.seconds:
                    self._loop.call_later(fault.seconds, self._deliver, request)
                return False
            case "answer":
                return await self._send(refusal(fault.status, request), writer)
            case "delay":
                await asyncio.sleep(fault.seconds)
            case "call":
                await asyncio.to_thread(fault.act)
        return await self._hand_back(fault, await self._ask(request), writer)

    async def _hand_back(self, fault: Fault, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        match fault.kind:
            case "lose":
                return False
            case "truncate" | "stall":
                await self._pay(len(answer.half), writer, answer.half)
                await asyncio.sleep(fault.seconds)
                return False
            case "behead":
                await self._pay(len(answer.start), writer, answer.start)
                return False
            case "flip":
                answer = replace(answer, body=flipped(answer.body))
        return await self._send(answer, writer)

    def _deliver(self, request: Request) -> None:
        if request in self._held:
            self._held.remove(request)
            self._late = self._loop.create_task(self._ask(request))

    async def _ask(self, request: Request) -> Answer:
        """What the server says; a connection for each request."""
        reader, writer = await asyncio.open_connection(*self._server, limit=_LIMIT)
        try:
            head = re.sub(rb"(?i)\r\n(connection|expect):[^\r]*", b"", request.head)
            writer.write(head[:-2] + b"Connection: close\r\n\r\n" + request.body)
            await writer.drain()
            found = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = found.decode("latin-1").partition("\r\n")
            status, headers = int(line.split(" ")[1]), headers_of(rest)
            if request.method == "HEAD" or status in BODILESS:
                return Answer(status, own_head(found), b"")
            body = await read_answer(reader, headers)
            return Answer(status, own_head(found, length=len(body)), body)
        finally:
            writer.close()

    async def _read_body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        """As it was sent: in chunks, if it came in chunks."""
        body, left = bytearray(), int(headers.get("content-length", 0))
        if "chunked" in headers.get("transfer-encoding", ""):
            async for framed, chunk in chunks(reader):
                body += framed
                await self._pay(len(chunk))
        while left:
            block = await reader.readexactly(min(left, _BLOCK))
            body, left = body + block, left - len(block)
            await self._pay(len(block))
        return bytes(body)

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        data = answer.head + answer.body
        for start in range(0, len(data), _BLOCK):
            block = data[start : start + _BLOCK]
            await self._pay(len(block), writer, block)
        return True

    async def _pay(
        self, size: int, writer: asyncio.StreamWriter | None = None, block: bytes = b""
    ) -> None:
        """Wait for our share of the rate, and then send."""
        if self.rate and size:
            self._free_at = max(self._free_at, self._loop.time()) + size / self.rate
            due = self._free_at - self._loop.time()
            if due > _NAP_SECONDS:  # A shorter sleep would last longer than it should.
                await asyncio.sleep(due)
        if writer:
            writer.write(block)
            await writer.drain()


async def _end(listening: asyncio.Server) -> None:
    """Close, with the connections that are open and the requests that are not delivered yet."""
    listening.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
