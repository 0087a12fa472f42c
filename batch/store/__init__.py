"""Where bytes live: one port, and one adapter for each kind of place."""

from __future__ import annotations

from batch.errors import DoesNotFit
from batch.store.base import Store

__all__ = ["open_store"]


def open_store(url: str) -> Store:
    """The store of a folder or URL.

    Raises `DoesNotFit` for a kind of URL that there is no adapter for.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        from batch.store.local import LocalStore

        return LocalStore(rest or url)
    raise DoesNotFit(
        f"{url}: this version reads and writes local folders only", "give a path on a local disk"
    )
