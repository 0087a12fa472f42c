"""The store port: ten verbs, which are everything that can fail underneath a run.

Paths are relative to the store's URL and `/`-separated on every platform.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from batch.errors import BatchError, StoreDown, TryAgain


class Missing(BatchError):
    """The object does not exist. Never raised for a store that does not answer."""

    exit_code = StoreDown.exit_code  # The operator finds an output that is not whole.


class Exists(TryAgain):
    """`create` or `upload` found the name taken; what is there stays as it was."""


class Changed(TryAgain):
    """The object is no longer the one that was listed or read."""


class Unknown(TryAgain):
    """Whether it was written is not known: nothing may be undone, and nothing tried instead."""


@dataclass(frozen=True)
class Placement:
    """How S3 is to keep objects: encrypted by this KMS key, files in this storage class."""

    kms_key: str | None = None
    storage_class: str | None = None

    @property
    def encryption(self) -> dict[str, str]:
        """Arguments of a put."""
        if self.kms_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}

    @property
    def all(self) -> dict[str, str]:
        """Those of the put of a large file."""
        return self.encryption | (
            {"StorageClass": self.storage_class} if self.storage_class else {}
        )


#: As the bucket says.
AS_IS = Placement()


# A listing has one for each of very many inputs: a struct is made in a tenth of a dataclass's time,
# and holds nothing that the garbage collector has to look at.
class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object of a listing; `token` tells one content of it from another."""

    path: str
    size: int
    token: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects below a prefix, sorted by path, and the store's own time of the listing."""

    entries: tuple[Entry, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """A small object in memory, with the token of exactly these bytes."""

    data: bytes
    token: str


class Source(Protocol):
    """Where inputs are read from."""

    def fetch(
        self, path: str, *, token: str | None = None, size: int = 0
    ) -> AbstractContextManager[Path]:
        """A local path to read the object from, inside the `with`.

        With `token`, raises `Changed` when the object is another one before or after the reading.
        With its `size`, a large object may come in pieces. Raises `Missing`.
        """


class Store(Source, Protocol):
    """What every place promises. All errors are `BatchError`s that name the object."""

    @property
    def url(self) -> str:
        """The place as the operator wrote it, absolute."""

    @property
    def is_remote(self) -> bool:
        """Whether objects appear whole, and `fetch` brings a copy that the caller may keep.

        Otherwise they are files, which others may be writing to, and `fetch` gives the file.
        """

    def list(self, prefix: str = "") -> Listing:
        """Every object whose path starts with the folder `prefix`; an absent folder is empty."""

    def stat(self, path: str) -> Entry:
        """What a listing would say of the object now. Raises `Missing`."""

    def read(self, path: str, *, unless: str | None = None) -> Blob | None:
        """The object in one piece, never a mixture of two contents.

        None when its token is still `unless`. Raises `Missing`.
        """

    def create(self, path: str, data: bytes) -> None:
        """Write the object whole and durably, only if the name is free.

        Of any number of callers exactly one returns; the others get `Exists`. After an unknown
        outcome it is safe to repeat: read back, and compare what is there with what was sent.
        """

    def upload(self, path: str) -> AbstractContextManager[Path]:
        """A local path to write a large file to; leaving the `with` makes it durable at `path`.

        The name must be fresh (`Exists` otherwise). Leaving with an exception writes nothing.
        """

    def replace(self, path: str, data: bytes, *, token: str | None) -> None:
        """Swap the object for `data` if its token is still `token` (None: if it is absent).

        Readers see the old bytes or the new ones. Raises `Changed` otherwise.
        """

    def delete(self, path: str) -> None:
        """Remove the object; one that is already gone is fine."""

    def settle(self, paths: Iterable[str]) -> None:
        """Make the names of these objects survive a power cut, whoever made them.

        A process that was killed may have left a name that it had not made durable yet.
        """

    def sweep(self) -> None:
        """Remove what processes of this host that are no more left unfinished; nothing named."""


def read_whole(store: Store, path: str) -> Blob:
    """An object whatever its token. Raises `Missing`."""
    blob = store.read(path)
    assert blob is not None, "only a given token may be answered with None"
    return blob
