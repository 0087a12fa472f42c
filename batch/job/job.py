"""A job file that was read, and the folders and URLs that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from batch.job.pattern import InputPattern
from batch.job.settings import JobSettings


@dataclass(frozen=True)
class Job:
    """A job file that was read: its settings, with paths relative to the file's folder."""

    file: Path
    settings: JobSettings

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def name(self) -> str:
        return self.settings.name or self.folder.name

    @property
    def reference(self) -> str:
        """JOB for a command line: it means this job file from every folder."""
        return str(self.folder if self.file.name == "job.toml" else self.file)

    @cached_property
    def pattern(self) -> InputPattern:
        return InputPattern(self._locate(self.settings.input.path))

    @property
    def model_url(self) -> str:
        return self._locate(self.settings.model.path)

    @property
    def output_url(self) -> str:
        return self._locate(self.settings.output.path)

    def with_workers(self, workers: int) -> Job:
        """The same job in so many processes."""
        run = self.settings.run.model_copy(update={"workers": workers})
        return replace(self, settings=self.settings.model_copy(update={"run": run}))

    def _locate(self, path: str) -> str:
        if "://" in path:
            return path
        # "../data/" is the folder above, to whoever reads a message or a manifest.
        whole = os.path.normpath(self.folder / path)
        return f"{whole}/" if path.endswith("/") else whole
