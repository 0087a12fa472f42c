"""Where bytes live: one port, and one adapter for each kind of place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.errors import DoesNotFit
from batch.store.base import AS_IS, Placement, Store

if TYPE_CHECKING:  # Applications that only read do without pydantic.
    from batch.job.settings import Job

__all__ = ["open_output", "open_store"]


def open_output(job: Job) -> Store:
    """The store that a job publishes into."""
    output = job.settings.output
    return open_store(job.output_url, Placement(output.kms_key, output.storage_class))


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
