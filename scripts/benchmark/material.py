"""Data, models and published outputs to measure with, made once for each scratch folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from scripts.benchmark.data import Data

ROOT = Path(__file__).parents[2]
_UNUSUAL = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "OMP_NUM_THREADS"}
#: Libraries that count their users need not do so here.
_QUIET = {
    "DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled",
    "SCARF_NO_ANALYTICS": "true", "DAFT_ANALYTICS_ENABLED": "0",
}  # fmt: skip
_JOB = """\
name = "benchmark"
[input]
path = "{data}/*.{format}"
key = ["key"]
min_age = "0s"
[input.columns]
key = "{key_type}"
[model]
path = "{model}"
methods = ["predict", "predict_proba"]
[output]
path = "out"
[run]
{settings}
"""


@dataclass(frozen=True)
class Material:
    """A scratch folder. Unless it `makes` what is missing, it only says where that would be."""

    folder: Path
    makes: bool = True

    def data(self, data: Data) -> Path:
        """The folder of the inputs."""
        return self._made(data.name, partial(_start, "data", json.dumps(asdict(data))))

    def model(self, name: str) -> Path:
        """The model's file."""
        return self._made(f"model-{name}", partial(_start, "models", name)) / "model.joblib"

    def job(self, data: Data, model: str, **settings: int | str) -> str:
        """The text of a job file whose output is the folder `out` beside it."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        key_type = "string" if data.string_keys else "int64"
        return _JOB.format(
            data=self.data(data), format=data.format, model=self.model(model), key_type=key_type,
            settings="\n".join(lines),
        )  # fmt: skip

    def published(self, data: Data, *, versions: int = 1) -> Path:
        """A job's folder after its runs: `job.toml`, `out`, `state`.

        With `versions` = 2, everything was predicted a second time.
        """
        job = self.job(data, "linear")

        def publish(folder: Path) -> None:
            folder.mkdir()
            (folder / "job.toml").write_text(job)
            again = ["backfill", "--yes", "--input", "*", "job.toml"]
            for arguments in [["run", "job.toml"], *[again] * (versions - 1)]:
                command = [sys.executable, "-m", "batch", *arguments]
                subprocess.run(command, check=True, cwd=folder, env=environment(folder))

        return self._made(f"output-{data.name}-linear-{versions}", publish)

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        folder = self.folder / name
        if self.makes and not folder.exists():
            click.echo(f"making {name}", err=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
        return folder


def environment(folder: Path) -> dict[str, str]:
    """For a command that works in `folder`: a host's state of its own."""
    # Compiling modules at every start would drown everything else.
    inherited = {name: value for name, value in os.environ.items() if name not in _UNUSUAL}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        **_QUIET,
        "BATCH_PREDICT_STATE": str(folder / "state"),
        "BATCH_PREDICT_SPOOL": str(folder / "spool"),
    }


def _start(module: str, what: str, folder: Path) -> None:
    """Make something in a process of its own.

    The one that measures stays small: what it holds in memory would be copied, mapped and counted
    with every process that it starts.
    """
    command = [sys.executable, "-m", f"scripts.benchmark.{module}", what, str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment(ROOT))
