"""Where versions come from: the store, or what this host has kept while the store is away."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.client.kept import keeping, newest_kept, still_in_use
from batch.client.loaded import Version, load_version
from batch.client.newest import is_newer, read_newest
from batch.errors import BadData, BatchError, NotPermitted, StoreDown
from batch.logs import log
from batch.store import open_store
from batch.store.base import Missing
from batch.store.retry import patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.output.manifest import Manifest

#: Who has something to serve need not ask again for long: the next poll will.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """A version, the token of the manifest that named it, and what was wrong with a newer one."""

    version: Version
    token: str | None
    trouble: BatchError | None = None


class Source:
    """The versions of one output, whole and verified."""

    def __init__(self, url: str, columns: Sequence[str] | None) -> None:
        self.store = open_store(url)
        self._columns = None if columns is None else tuple(columns)

    def first(self) -> Found:
        """The live version; while it cannot be had, the newest that this host has kept.

        Raises `NotPublished` where there is none, and what is wrong where nothing was kept.
        """
        kept = newest_kept(self.store.url) if self.store.is_remote else None
        try:
            with patience(_PATIENCE_SECONDS) if kept else nullcontext():
                found = read_newest(self.store)
            assert found is not None, "only a known token may answer: unchanged"
            return Found(self._load(found[0]), found[1])
        except (StoreDown, Missing, NotPermitted, BadData) as error:
            if kept is None:
                raise
            version = self._load(kept)
            log.warning("serving version %d, which this host has kept: %s", kept.version, error)
            return Found(version, None, error)

    def newer(self, current: Version, token: str | None) -> Found | None:
        """The live version, `current` itself if it is that; None while the token is the same."""
        with patience(_PATIENCE_SECONDS):
            found = read_newest(self.store, unless=token)
        if self.store.is_remote:
            still_in_use(self.store.url)
        if found is None:
            return None
        manifest, token = found
        if not is_newer(manifest, current.manifest, self.store.url):
            return Found(current, token)
        return Found(self._load(manifest, previous=current), token)

    def _load(self, manifest: Manifest, previous: Version | None = None) -> Version:
        with keeping(self.store.url, manifest) if self.store.is_remote else nullcontext():
            return load_version(self.store, manifest, columns=self._columns, previous=previous)
