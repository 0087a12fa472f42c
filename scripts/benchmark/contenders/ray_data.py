"""Ray Data: `map_batches` as tasks, which it joins with reading and writing. MODEL INPUT OUTPUT."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import ray

from scripts.benchmark.contenders.frames import CHUNK_ROWS, answer

if TYPE_CHECKING:
    import pandas as pd


@cache
def load(path: str) -> Any:
    """The model, once for each process."""
    return joblib.load(path)


def predict(frame: pd.DataFrame, path: str) -> pd.DataFrame:
    """One batch."""
    return answer(load(path), frame)


if __name__ == "__main__":
    # Workers import the function from its module; as part of __main__ it would not be cached there.
    from scripts.benchmark.contenders.ray_data import predict

    model_path, source, target = (str(Path(path).absolute()) for path in sys.argv[1:])
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.read_parquet(source).map_batches(
        predict, fn_kwargs={"path": model_path}, batch_size=CHUNK_ROWS, batch_format="pandas"
    ).write_parquet(target)
