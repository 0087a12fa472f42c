"""Open the OUTPUT of a job."""

from __future__ import annotations

from batch.job.job import Job
from batch.store import open_store
from batch.store.base import Placement, Store


def open_output(job: Job) -> Store:
    """The store that a job publishes into."""
    output = job.settings.output
    return open_store(job.output_url, Placement(output.kms_key, output.storage_class))
