"""The first thing people write: a loop over the files. MODEL INPUT OUTPUT."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib

from scripts.benchmark.contenders.frames import predict_file

if __name__ == "__main__":
    model_path, source, target = map(Path, sys.argv[1:])
    model = joblib.load(model_path)
    for path in sorted(source.iterdir()):
        predict_file(model, path, target)
