"""Models to predict with, of a realistic size: trained on 20,000 rows for a binary target."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from batch.model import save_model
from scripts.benchmark.data import CATEGORIES, FEATURES, Data, table_of

_ROWS = 20_000


def _linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _boosting() -> Any:
    return HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)


def _forest() -> Any:
    # With all cores, as it is usually written: a loop over files profits as well.
    return RandomForestClassifier(n_estimators=100, max_depth=12, n_jobs=-1, random_state=0)


def _columns() -> Any:
    few, many = ["country", "city"], ["product"]
    numbers = make_pipeline(StandardScaler(), "passthrough")
    known = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_pipeline(
        make_column_transformer(
            (numbers, FEATURES), (OneHotEncoder(handle_unknown="ignore"), few), (known, many)
        ),
        LogisticRegression(max_iter=1000),
    )


MODELS: dict[str, Callable[[], Any]] = {
    "linear": _linear, "boosting": _boosting, "forest": _forest, "columns": _columns,
}  # fmt: skip


def save(name: str, folder: Path) -> Path:
    """Train the model of that name and save it in a new folder."""
    folder.mkdir(parents=True)
    frame = table_of(Data("parquet", _ROWS, categories=name == "columns"), 0, _ROWS).to_pandas()
    sample = frame[[*FEATURES, *(CATEGORIES if name == "columns" else ())]]
    noise = np.random.default_rng(11).normal(size=_ROWS)
    score = sample["x00"] + sample["x01"] * sample["x02"] + np.sin(3 * sample["x03"]) + noise
    model = MODELS[name]().fit(sample, (score > 0).astype(int))
    path = folder / "model.joblib"
    save_model(model, path, sample=sample)
    return path


if __name__ == "__main__":
    save(sys.argv[1], Path(sys.argv[2]))
