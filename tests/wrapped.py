"""A store that something happens in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from batch.store.base import Blob, Entry, Listing, Store


class Wrapped:
    """A store that does something before one of its verbs."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        self._store, self._before = store, before

    @property
    def url(self) -> str:
        """The place underneath."""
        return self._store.url

    @property
    def is_remote(self) -> bool:
        """As underneath."""
        return self._store.is_remote

    def list(self, prefix: str = "") -> Listing:
        self._before("list", prefix)
        return self._store.list(prefix)

    def stat(self, path: str) -> Entry:
        self._before("stat", path)
        return self._store.stat(path)

    def read(self, path: str, *, unless: str | None = None) -> Blob | None:
        self._before("read", path)
        return self._store.read(path, unless=unless)

    def fetch(self, path: str, *, token: str | None = None) -> AbstractContextManager[Path]:
        self._before("fetch", path)
        return self._store.fetch(path, token=token)

    def create(self, path: str, data: bytes) -> None:
        self._before("create", path)
        self._store.create(path, data)
        self._before("created", path)

    def upload(self, path: str) -> AbstractContextManager[Path]:
        self._before("upload", path)
        return self._store.upload(path)

    def replace(self, path: str, data: bytes, *, token: str | None) -> None:
        self._before("replace", path)
        self._store.replace(path, data, token=token)

    def delete(self, path: str) -> None:
        self._before("delete", path)
        self._store.delete(path)

    def settle(self, paths: Iterable[str]) -> None:
        self._before("settle", "")
        self._store.settle(paths)

    def sweep(self) -> None:
        self._before("sweep", "")
        self._store.sweep()
