"""Read what the program wrote: whole objects, and JSON documents among them."""

from __future__ import annotations

from batch.output.manifest import AnyDocument, decode
from batch.store.base import Blob, Store


def read_whole(store: Store, path: str) -> Blob:
    """An object whatever its token. Raises `Missing`."""
    blob = store.read(path)
    assert blob is not None, "only a given token may be answered with None"
    return blob


def read_document(store: Store, path: str, kind: type[AnyDocument]) -> AnyDocument:
    """A JSON document. Raises `Missing`, and `Damaged` that names the object and the field."""
    return decode(read_whole(store, path).data, kind, source=f"{store.url}/{path}")
