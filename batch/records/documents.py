"""JSON documents: typed, readable by people, and refused with the name of the bad field."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from batch.errors import Damaged


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything the program writes as JSON; unknown fields are ignored."""


AnyDocument = TypeVar("AnyDocument", bound=Document)


def encode(document: Document) -> bytes:
    """The document as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(data: bytes, kind: type[AnyDocument], *, source: str) -> AnyDocument:
    """Read a document; raises `Damaged` that names the source and the field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{source}: {error}", "restore the file; nothing was changed") from None
