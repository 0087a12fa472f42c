"""The second thing people write: the same loop in as many processes as there are cores. MODEL INPUT OUTPUT."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import joblib

from scripts.benchmark.contenders.frames import predict_file


@cache
def load(path: Path) -> Any:
    """The model, once for each process."""
    return joblib.load(path)


def work(model_path: Path, path: Path, output: Path) -> None:
    """One file."""
    predict_file(load(model_path), path, output)


if __name__ == "__main__":
    # Workers import the function from its module; as part of __main__ it would not be cached there.
    from scripts.benchmark.contenders.joblib_files import work

    model, source, target = map(Path, sys.argv[1:])
    joblib.Parallel(n_jobs=-1)(
        joblib.delayed(work)(model, path, target) for path in sorted(source.iterdir())
    )
