"""The floor of the model: it alone, on rows already in memory, with all cores.

MODEL INPUT OUTPUT. Prints the seconds without imports and reading. Chunks run in as many threads as
there are cores, each with one thread of OpenMP and BLAS, or one by one with the model's own
threads: what is faster for the first chunks is taken for all.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from scripts.benchmark.contenders.frames import CHUNK_ROWS, read_frames

Scored = list[tuple[np.ndarray, np.ndarray]]


def score(model: Any, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Both answers of the model."""
    return model.predict(frame), model.predict_proba(frame)


def in_threads(model: Any, frames: Sequence[pd.DataFrame]) -> Scored:
    """One chunk for each core at a time."""
    # OpenMP keeps its number of threads for each thread apart, so each one sets it.
    with ThreadPoolExecutor(os.cpu_count(), initializer=partial(threadpool_limits, 1)) as pool:
        return list(pool.map(partial(score, model), frames))


def one_by_one(model: Any, frames: Sequence[pd.DataFrame]) -> Scored:
    """As the model does it by itself."""
    return [score(model, frame) for frame in frames]


def seconds(way: Callable[..., Scored], model: Any, frames: Sequence[pd.DataFrame]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    way(model, frames)
    return time.perf_counter() - start


def single(model: Any) -> Any:
    """The model without threads of its own."""
    names = [name for name in model.get_params() if name.split("__")[-1] == "n_jobs"]
    return model.set_params(**dict.fromkeys(names, 1))


def chunks(source: Path, features: list[str]) -> list[pd.DataFrame]:
    """The rows of every input, in frames of at most 100,000."""
    frames = [frame[features] for path in sorted(source.iterdir()) for frame in read_frames(path)]
    if len(frames[0]) < CHUNK_ROWS:
        frames = [pd.concat(frames, ignore_index=True)]
    cut = [range(0, len(frame), CHUNK_ROWS) for frame in frames]
    return [
        frame.iloc[start : start + CHUNK_ROWS].copy()
        for frame, starts in zip(frames, cut, strict=True)
        for start in starts
    ]


if __name__ == "__main__":
    model_path, folder = map(Path, sys.argv[1:3])
    own, alone = joblib.load(model_path), single(joblib.load(model_path))
    rows = chunks(folder, list(own.feature_names_in_))
    few = rows[: os.cpu_count()]
    seconds(one_by_one, own, rows[:1])
    faster = seconds(in_threads, alone, few) < seconds(one_by_one, own, few)
    way, model = (in_threads, alone) if faster else (one_by_one, own)
    found = seconds(way, model, rows)
    print(json.dumps({"wall_seconds": found, "in_threads": int(faster)}))
