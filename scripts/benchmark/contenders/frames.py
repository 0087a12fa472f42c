"""Shared by the scripts: reading a file, and predicting a frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

CHUNK_ROWS = 100_000


def read_frames(path: Path) -> Iterator[pd.DataFrame]:
    """A Parquet file whole, text in chunks, as the documentation of pandas recommends."""
    if path.suffix == ".parquet":
        yield pd.read_parquet(path)
    elif path.suffix == ".csv":
        yield from pd.read_csv(path, chunksize=CHUNK_ROWS)
    else:
        yield from pd.read_json(path, lines=True, chunksize=CHUNK_ROWS)


def answer(model: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """Key, prediction and probabilities."""
    features = frame[list(model.feature_names_in_)]
    answers = frame[["key"]].copy()
    answers["prediction"] = model.predict(features)
    answers[["probability_0", "probability_1"]] = model.predict_proba(features)
    return answers


def predict_file(model: Any, path: Path, output: Path) -> None:
    """A file of answers for each frame of the input."""
    for number, frame in enumerate(read_frames(path)):
        answer(model, frame).to_parquet(output / f"{path.stem}-{number}.parquet", index=False)
