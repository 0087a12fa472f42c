"""Dask: `map_partitions` in the threads of one process. MODEL INPUT OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import dask.dataframe as dd
import joblib

from scripts.benchmark.contenders.frames import answer

META = {
    "key": "int64",
    "prediction": "int64",
    "probability_0": "float64",
    "probability_1": "float64",
}

if __name__ == "__main__":
    model_path, source, target = (Path(path).absolute() for path in sys.argv[1:])
    model = joblib.load(model_path)
    frames = dd.read_parquet(source)
    answers = frames.map_partitions(partial(answer, model), meta=META)
    answers.to_parquet(target, write_index=False)
