"""The demo job on the real flights, and the plain pandas script that it must equal."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from tests.support import oracle
from tests.support.jobs import JobFolder

DEMO = Path(__file__).parents[2] / "jobs" / "flight_delays"


def train(folder: Path) -> Path:
    """A copy of the demo job with its model, and December laid out."""
    shutil.copytree(
        DEMO, folder, ignore=shutil.ignore_patterns("data", "predictions", "model*", "__pycache__")
    )
    for script in (["train.py"], ["lay_out.py", "--first", "1", "--last", "31"]):
        subprocess.run([sys.executable, *script], cwd=folder, check=True, capture_output=True)
    return folder


def copy(trained: Path, folder: Path) -> JobFolder:
    """The demo job with the first two weeks of December; the rest comes day by day."""
    shutil.copytree(trained, folder)
    later = folder / "later"
    later.mkdir()
    for day in range(15, 32):
        (folder / "data" / name_of(day)).rename(later / name_of(day))
    return JobFolder(folder, out="predictions")


def name_of(day: int) -> str:
    """The input of a day in December."""
    return f"2013-12-{day:02}.csv"


def arrive(job: JobFolder, day: int) -> None:
    """A day's input is there."""
    (job.folder / "later" / name_of(day)).rename(job.data / name_of(day))


def by_pandas(job: JobFolder, models: Mapping[str, Path] | None = None) -> pd.DataFrame:
    """What people would write instead: read each file, drop what cannot be predicted, predict.

    `models` are those of single inputs; the others are predicted by the job's own.
    """
    spec = importlib.util.spec_from_file_location("plain_features", job.folder / "features.py")
    assert spec is not None
    assert spec.loader is not None
    features = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(features)
    frames = []
    for path in sorted(job.data.glob("*.csv")):
        model = _load(job, (models or {}).get(path.name, job.folder / "model.joblib"))
        frame = pd.read_csv(path, dtype={"flight_id": str})
        frame["_input"], frame["_row"] = path.name, range(len(frame))
        frame = frame.dropna(subset=["dep_delay"]).reset_index(drop=True)
        ready = features.add_features(frame)[list(model.feature_names_in_)]
        frame["prediction"] = model.predict(ready)
        frame["probability_True"] = model.predict_proba(ready)[:, 1]
        frames.append(frame)
    return pd.concat(frames).sort_values(["_input", "_row"], ignore_index=True)


def require_equal(job: JobFolder, models: Mapping[str, Path] | None = None) -> None:
    """The published rows are those of the plain script, each once."""
    oracle.judge(job.output)
    found = pd.DataFrame(job.rows()).sort_values(["_input", "_row"], ignore_index=True)
    wanted = by_pandas(job, models)
    for name in ("_input", "_row", "flight_id", "carrier", "origin", "dest", "prediction"):
        assert (found[name] == wanted[name]).all(), name
    np.testing.assert_allclose(
        found["probability_True"], wanted["probability_True"], rtol=1e-12, atol=0
    )


def _load(job: JobFolder, model: Path) -> Any:
    sys.path.insert(0, str(job.folder))
    try:
        return joblib.load(model)
    finally:
        sys.path.remove(str(job.folder))
