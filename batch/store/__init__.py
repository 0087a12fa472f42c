"""Where bytes are kept: one port, and one adapter for each kind of place.

boto3 is imported only here, and nothing here knows what the bytes mean.
"""

from __future__ import annotations

from batch.errors import DoesNotFit
from batch.store.base import AS_IS, Placement, Store


def open_store(url: str, placement: Placement = AS_IS) -> Store:
    """The store of a folder or URL.

    Raises `DoesNotFit` for a kind of URL that there is no adapter for.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        from batch.store.local import LocalStore

        return LocalStore(rest or url)
    if scheme == "s3":
        from batch.store.s3 import S3Store

        return S3Store(url, placement)
    raise DoesNotFit(f"{url}: there is no store for {scheme}://", "give a folder, or an s3:// URL")
