"""HTTP messages as the proxy of the tests sees them, byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate

#: What S3 says, by the status; with 200 it has begun to answer before it found out.
_CODES = {200: "InternalError", 403: "AccessDenied", 404: "NoSuchKey",
          409: "ConditionalRequestConflict", 412: "PreconditionFailed", 500: "InternalError",
          503: "SlowDown"}  # fmt: skip
BODILESS = {204, 304}


@dataclass(frozen=True)
class Request:
    """One request: `path` with its query, names of headers in small letters, the body as sent."""

    method: str
    path: str
    headers: dict[str, str]
    head: bytes
    body: bytes = b""

    @property
    def name(self) -> str:
        """The same for every repetition."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """One answer, as it is sent."""

    status: int
    head: bytes
    body: bytes

    @property
    def half(self) -> bytes:
        """The first half of the body; of the head, if that is all there is."""
        if self.body:
            return self.head + self.body[: len(self.body) // 2]
        return self.head[: len(self.head) // 2]

    @property
    def start(self) -> bytes:
        """The head without its end, in which clients learn how long the body is."""
        return re.sub(rb"(?i)\r\ncontent-length:[^\r]*", b"", self.head)[:-2]


def headers_of(text: str) -> dict[str, str]:
    """By their names in small letters."""
    pairs = (line.partition(":") for line in text.split("\r\n") if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Each chunk as it was framed, and what it holds; last the end with its trailer."""
    while size := int((line := await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        chunk = await reader.readexactly(size)
        yield line + chunk + await reader.readexactly(2), chunk
    while not line.endswith(b"\r\n\r\n"):
        line += await reader.readuntil(b"\r\n")
    yield line, b""


async def read_answer(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Whatever way the server tells its length."""
    if "chunked" in headers.get("transfer-encoding", ""):
        return b"".join([chunk async for _, chunk in chunks(reader)])
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


def own_head(head: bytes, *, length: int | None = None) -> bytes:
    """The server's, for a connection that stays."""
    dropped = rb"connection|transfer-encoding" + (b"|content-length" if length is not None else b"")
    head = re.sub(rb"(?i)\r\n(" + dropped + rb"):[^\r]*", b"", head)
    head = re.sub(rb"^HTTP/1\.0", b"HTTP/1.1", head)
    return head if length is None else head[:-2] + b"Content-Length: %d\r\n\r\n" % length


def refusal(status: int, request: Request) -> Answer:
    """What S3 says when it refuses."""
    code = _CODES.get(status, "Refused")
    if status == 404 and "uploadId=" in request.path:
        code = "NoSuchUpload"
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
        "<Message>by the proxy</Message></Error>"
    )
    shown = b"" if request.method == "HEAD" or status in BODILESS else body.encode()
    moment = formatdate(usegmt=True)
    head = (
        f"HTTP/1.1 {status} Refused\r\nDate: {moment}\r\n"
        f"Content-Type: application/xml\r\nContent-Length: {len(shown)}\r\n\r\n"
    )
    return Answer(status, head.encode(), shown)


def flipped(body: bytes) -> bytes:
    """With one bit changed, in the middle."""
    middle = len(body) // 2
    return body and body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
