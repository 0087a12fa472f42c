"""A job in a temporary folder: write inputs, run it, compare with the plain model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression

from batch.job.job_file import Job, load_job
from batch.logs import utc_now
from batch.model import save_model
from batch.output.manifest import Manifest
from batch.output.plan import PACKING, Packing
from batch.output.read import RETENTION, Retention, open_output
from batch.run.outcome import RunResult
from batch.run.runner import Options, run
from batch.store import open_store
from batch.store.base import Store
from batch.upkeep.rollback import look_back, roll_back, unpause
from tests.support import oracle
from tests.support.wrapped import Wrapped

SAMPLE = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 4.0], "y": [1.0, 0.0, 1.0, 0.5, 2.0]})
LATE = ["no", "no", "yes", "no", "yes"]
#: Old enough for every min_age.
AN_HOUR_AGO = time.time() - 3600


def save_tiny_model(path: Path, *, strength: float = 1.0, **options: Any) -> Path:
    """Fit and hand over a logistic regression; another strength makes another model."""
    model = LogisticRegression(C=strength).fit(SAMPLE, LATE)
    save_model(model, path, sample=SAMPLE, **options)
    return path


@dataclass
class JobFolder:
    """A job folder with its data beside it."""

    folder: Path
    out: str = "out"
    packing: Packing = PACKING
    retention: Retention = RETENTION

    @classmethod
    def make(cls, folder: Path, model: Path, **options: Any) -> Self:
        folder.mkdir(parents=True)
        made = cls(folder, **options)
        for file in (model, model.with_name(model.name + ".json")):
            shutil.copy2(file, folder)
        made.data.mkdir()
        made.configure()
        return made

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def output(self) -> Path:
        return self.folder / self.out

    def copy_from(self, other: Self) -> None:
        """Let data and output be as those of another one, with their times of modification."""
        for name in ("data", self.out):
            shutil.copytree(other.folder / name, self.folder / name, dirs_exist_ok=True)

    def configure(self, **sections: dict[str, Any]) -> None:
        """Write job.toml: the defaults below, with the keys of these sections changed."""
        settings: dict[str, dict[str, Any]] = {
            "input": {"path": "data/*.csv", "key": ["id"]},
            "model": {"path": "model.joblib", "methods": ["predict", "predict_proba"]},
            "output": {"path": "out"},
        }
        for section, keys in sections.items():
            settings[section] = settings.get(section, {}) | keys
        lines = [
            f"{section}.{key} = {_toml(value)}"
            for section, keys in settings.items()
            for key, value in keys.items()
        ]
        (self.folder / "job.toml").write_text("\n".join(lines))

    def add(self, name: str, rows: Sequence[Sequence[object]], header: str = "id,x,y") -> Path:
        """Write a CSV input of these rows, old enough to be taken in."""
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        return self.write(name, "".join(f"{line}\n" for line in lines).encode())

    def write(self, name: str, data: bytes) -> Path:
        """Write an input of these bytes; every call gives it another time of modification."""
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        touch(path)
        return path

    def run(self, **options: Any) -> RunResult:
        """Run in this process."""
        return run(load_job(str(self.folder)), self.options(**options))

    def options(
        self, *, before: Callable[[str, str], None] | None = None, **options: Any
    ) -> Options:
        """What runs and backfills of this job get from their callers.

        `before` is called with the verb and the path of each operation on the output.
        """
        if before:
            options["open_output"] = lambda job: Wrapped(open_output(job), before)
        return Options(packing=self.packing, retention=self.retention, **options)

    def roll_back(self, to: int | None = None, reason: str = "a bad model") -> Manifest:
        """Roll back as the command does."""
        with self.mirrored():
            store, job = self.opened()
            way = look_back(store, job, to=to)
            return roll_back(
                store, job, way, reason=reason, clock=utc_now, retention=self.retention
            )

    def unpause(self) -> Manifest | None:
        """Unpause as the command does."""
        with self.mirrored():
            return unpause(*self.opened(), clock=utc_now, retention=self.retention)

    def opened(self) -> tuple[Store, Job]:
        """The output, and the job as its file says it."""
        return open_store(self.output_url), load_job(str(self.folder))

    def command(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `batch-predict` for real, without a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "batch", *arguments],
            text=True,
            capture_output=True,
            timeout=100,
            check=False,
            **options,
        )

    @contextmanager
    def mirrored(self) -> Iterator[None]:
        """Whoever starts the command in another way does it inside this."""
        yield

    @property
    def output_url(self) -> str:
        """OUTPUT as the job file names it."""
        return str(self.output)

    def judge(self) -> dict[str, Any]:
        """Let the oracle decide, with the plain model's predictions for every record."""
        return oracle.judge(self.output, expected=self.expected)

    def expected(self, name: str, row: int) -> dict[str, Any]:
        """What the plain model predicts for a record of a CSV input as it is now."""
        frame = pd.read_csv(self.data / name, dtype={"id": str})
        model = joblib.load(self.folder / "model.joblib")
        features = frame.iloc[[row]][["x", "y"]].astype(float)
        no, yes = model.predict_proba(features)[0]
        return {
            "id": frame["id"][row],
            "prediction": model.predict(features)[0],
            "probability_no": no,
            "probability_yes": yes,
        }

    def rows(self) -> list[dict[str, Any]]:
        """The live rows."""
        manifest = oracle.newest(self.output)
        return oracle.rows_of(self.output, manifest) if manifest else []


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


_clock = iter(range(1, 1_000_000))


def touch(path: Path) -> None:
    """Give a file a time of modification of its own, an hour ago."""
    moment = AN_HOUR_AGO + next(_clock) / 1000
    os.utime(path, (moment, moment))
