"""Daft: a function over batches. MODEL INPUT OUTPUT."""

from __future__ import annotations

import sys
from pathlib import Path

import daft
import joblib
import pyarrow as pa
from daft import DataType, col

from scripts.benchmark.contenders.frames import CHUNK_ROWS, answer

ANSWER = DataType.struct(
    {"prediction": DataType.int64(), "probability_0": DataType.float64(), "probability_1": DataType.float64()}
)  # fmt: skip


@daft.udf(return_dtype=ANSWER, batch_size=CHUNK_ROWS)
class Predictor:
    """Holds the model."""

    def __init__(self, path: str) -> None:
        self._model = joblib.load(path)

    def __call__(self, key: daft.Series, *features: daft.Series) -> pa.Array:
        columns = {series.name(): series.to_arrow() for series in (key, *features)}
        answers = answer(self._model, pa.table(columns).to_pandas())
        return pa.array(pa.Table.from_pandas(answers.drop(columns="key")).to_struct_array())


if __name__ == "__main__":
    model_path, source, target = (str(Path(path).absolute()) for path in sys.argv[1:])
    frame = daft.read_parquet(f"{source}/*.parquet")
    predictor = Predictor.with_init_args(path=model_path)  # type: ignore[attr-defined]
    answers = frame.select("key", predictor(*map(col, frame.column_names)).alias("answer"))
    names = ["prediction", "probability_0", "probability_1"]
    answers.select("key", *[col("answer").struct.get(name) for name in names]).write_parquet(target)
