"""Find the output for a read-only command: that of a job, or one given by its path or URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batch.errors import NoInput
from batch.job.job_file import Job, load_job
from batch.output import layout
from batch.output.manifest import Manifest
from batch.output.read import newest_manifest, open_output
from batch.store import open_store
from batch.store.base import Store
from batch.wording import command


@dataclass(frozen=True)
class Target:
    """The output of a read-only command, and its job if one was given."""

    store: Store
    job: Job | None

    @property
    def name(self) -> str:
        return self.job.name if self.job else self.store.url


def find_target(name: str) -> Target:
    """The output that NAME refers to: an OUTPUT folder or URL, or that of a job."""
    folder = Path(name)
    is_output = (folder / layout.POINTER).is_file() or (folder / layout.MANIFESTS).is_dir()
    if is_output or "://" in name:
        return Target(open_store(name), None)
    job = load_job(name)
    return Target(open_output(job), job)


def require_published(target: Target) -> Manifest:
    """The live version. Raises `NoInput` before the first one."""
    manifest = newest_manifest(target.store)
    if manifest is None:
        raise NoInput(
            f"{target.store.url}: nothing is published yet",
            command("run", target.job.reference) if target.job else "run its job first",
        )
    return manifest
