"""What is measured with: random features in Parquet, and a model of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from batch.model import save_model

FEATURES = [f"x{number:02d}" for number in range(20)]


def write_parquet(folder: Path, *, rows: int, files: int) -> list[Path]:
    """`rows` of 20 float64 features and an int64 key, spread over `files`."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    each, paths = rows // files, []
    for number in range(files):
        columns = {name: random.normal(size=each) for name in FEATURES}
        keys = np.arange(number * each, (number + 1) * each)
        paths.append(folder / f"{number:05d}.parquet")
        pq.write_table(pa.table({"key": keys, **columns}), paths[-1])
    return paths


def save_linear(path: Path) -> None:
    """Standard scaling and a logistic regression."""
    random = np.random.default_rng(11)
    sample = pd.DataFrame({name: random.normal(size=1_000) for name in FEATURES})
    target = sample["x00"] + random.normal(size=1_000) > 0
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(sample, target)
    save_model(model, path, sample=sample.head(100))
