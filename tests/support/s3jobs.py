"""A job folder whose data, model and output are on S3; tests see the mirror of them on disk.

What a test does to the files of the folder is carried to the bucket before a command, and what the
command did is carried back after it. So one test serves for both kinds of place.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from batch.run.outcome import RunResult
from tests.support.jobs import JobFolder
from tests.support.servers import Bucket

#: What of the job folder lies in the bucket.
_MIRRORED = ("data", "out", "model.joblib", "model.joblib.json")


@dataclass
class S3JobFolder(JobFolder):
    """As a job folder, but the program sees only URLs."""

    bucket: Bucket = field(kw_only=True)
    _known: dict[str, bytes] = field(default_factory=dict, kw_only=True)

    def copy_from(self, other: Self) -> None:
        """In the bucket of the other one, where most of it lies already."""
        super().copy_from(other)
        self.bucket = other.bucket
        self.configure()
        self._known = self.bucket.read_all("a job/", known=other._known)

    def configure(self, **sections: dict[str, Any]) -> None:
        """Paths of the job folder become URLs."""
        defaults = {
            "input": {"path": "data/*.csv"},
            "model": {"path": "model.joblib"},
            "output": {"path": self.out},
        }
        for section, keys in defaults.items():
            sections[section] = keys | sections.get(section, {})
            sections[section]["path"] = self.url(sections[section]["path"])
        super().configure(**sections)

    def configure_as_is(self, **sections: dict[str, Any]) -> None:
        """Paths stay what they are."""
        super().configure(**sections)

    def url(self, path: str) -> str:
        """Where something of the job folder lies."""
        inside = Path(path).is_relative_to(self.folder) or not Path(path).is_absolute()
        relative = os.path.relpath(path, self.folder) if Path(path).is_absolute() else path
        return f"{self.bucket.url}/a job/{relative}" if inside else path

    @property
    def output_url(self) -> str:
        return self.url(self.out)

    def run(self, **options: Any) -> RunResult:
        with self.mirrored():
            return super().run(**options)

    def command(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        with self.mirrored():
            return super().command(*arguments, **options)

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        self._push()
        try:
            yield
        finally:
            self._pull()

    def _push(self) -> None:
        present = dict(self._files())
        for name in self._known.keys() - present.keys():
            self.bucket.delete(f"a job/{name}")
        for name, data in present.items():
            if self._known.get(name) != data:
                self.bucket.put(f"a job/{name}", data)
        self._known = present

    def _pull(self) -> None:
        found = self.bucket.read_all("a job/", known=self._known)
        for name in self._known.keys() - found.keys():
            path = self.folder / name
            path.unlink()
            while not any(path.parent.iterdir()):  # Nor are there empty folders.
                path = path.parent
                path.rmdir()
        for name, data in found.items():
            path = self.folder / name
            if not path.exists() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        self._known = found

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for start in (self.folder / name for name in _MIRRORED):
            for path in [start, *start.rglob("*")] if start.is_dir() else [start]:
                if path.is_file():
                    yield path.relative_to(self.folder).as_posix(), path.read_bytes()
