"""Open the OUTPUT of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.store.base import Placement, Store

if TYPE_CHECKING:  # Applications that only read do without pydantic.
    from batch.job.job import Job
from batch.store import open_store


def open_output(job: Job) -> Store:
    """The store that a job publishes into."""
    output = job.settings.output
    return open_store(job.output_url, Placement(output.kms_key, output.storage_class))
