"""What is measured with, made once for each scratch folder: data, models, published outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from scripts.benchmark.data import Data
from scripts.benchmark.lineup import Output

ROOT = Path(__file__).parents[2]
_UNUSUAL = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "OMP_NUM_THREADS"}
#: Libraries that count who uses them need not do so here.
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
path = "{folder}/out"
[run]
{settings}
"""


@dataclass(frozen=True)
class Material:
    """A scratch folder."""

    folder: Path

    def data(self, data: Data) -> Path:
        """The folder of the inputs."""
        return self._made(
            data.name, lambda folder: _start("making", "data", json.dumps(asdict(data)), folder)
        )

    def model(self, name: str) -> Path:
        """The model's file."""
        made = self._made(
            f"model-{name}", lambda folder: _start("making", "model", name, folder)
        )  # fmt: skip
        return made / "model.joblib"

    def published(self, output: Output) -> Path:
        """A job's folder after its runs: `job.toml`, `out`, `state`."""
        data, model = self.data(output.data), self.model(output.model)

        def publish(folder: Path) -> None:
            folder.mkdir()
            job = str(write_job(folder, data=(output.data, data), model=model))
            again = ["backfill", "--yes", "--input", "*", job]
            for command in [["run", job], *[again] * (output.versions - 1)]:
                subprocess.run(
                    [sys.executable, "-m", "batch", *command], check=True, cwd=ROOT,
                    env=environment(folder),
                )  # fmt: skip
            # It names its own folder, which is about to be moved.
            home = self.folder / output.name
            write_job(folder, data=(output.data, data), model=model, home=home)

        return self._made(output.name, publish)

    def work(self, name: str) -> Path:
        """A fresh folder for one command."""
        folder = self.place(name)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        return folder

    def place(self, name: str) -> Path:
        """Where that folder is; nobody else's who measures with the same scratch folder."""
        return self.folder / f"work-{os.getpid()}" / name

    def clean(self) -> None:
        """What commands wrote is no longer needed."""
        shutil.rmtree(self.place(""), ignore_errors=True)

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        folder = self.folder / name
        if not folder.exists():
            click.echo(f"making {name}", err=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(folder)
        return folder


def write_job(
    folder: Path,
    *,
    data: tuple[Data, Path],
    model: Path,
    settings: Mapping[str, int | str] | None = None,
    home: Path | None = None,
) -> Path:
    """A job file in `folder`, for an output in `home`, by default there too."""
    described, source = data
    lines = [f"{name} = {json.dumps(value)}" for name, value in (settings or {}).items()]
    path = folder / "job.toml"
    path.write_text(
        _JOB.format(
            data=source, format=described.format, model=model, folder=home or folder,
            key_type="string" if described.string_keys else "int64", settings="\n".join(lines),
        )
    )  # fmt: skip
    return path


def environment(folder: Path) -> dict[str, str]:
    """For a command that works in `folder`: a host's state of its own."""
    # Where modules are compiled at every start, nothing else can be seen.
    inherited = {name: value for name, value in os.environ.items() if name not in _UNUSUAL}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        **_QUIET,
        "BATCH_PREDICT_STATE": str(folder / "state"),
        "BATCH_PREDICT_SPOOL": str(folder / "spool"),
    }


def _start(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", f"scripts.benchmark.{module}", *map(str, arguments)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment(ROOT))
