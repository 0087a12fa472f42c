"""How many rows a contender wrote, and what their probabilities add up to. FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

COLUMNS = ["key", "prediction", "probability_0", "probability_1"]


def total(folder: Path) -> dict[str, float]:
    """Over all Parquet files below the folder but those that the program keeps beside its parts."""
    found = {"rows": 0.0, "predictions": 0.0, "probabilities": 0.0}
    # Daft writes into a folder by another name than it was given, Ray into one per file.
    kept = {"ledger", "rejects"}
    for path in folder.rglob("*.parquet"):
        if kept.isdisjoint(path.relative_to(folder).parts):
            table = pq.ParquetFile(path).read(COLUMNS)
            found["rows"] += table.num_rows
            found["predictions"] += pc.sum(table["prediction"]).as_py() or 0
            found["probabilities"] += pc.sum(table["probability_1"]).as_py() or 0
    return found


if __name__ == "__main__":
    print(json.dumps(total(Path(sys.argv[1]))))
