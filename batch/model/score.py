"""Predict: raw columns → hooks → features → methods → named prediction columns."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator

from batch.errors import DoesNotFit
from batch.job.settings import Method
from batch.model.frames import to_frame
from batch.model.methods import ask
from batch.records.arrays import in_one
from batch.records.columns import InputColumn
from batch.records.histogram import Histogram

Hook = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Scorer:
    """A loaded model with its hooks: equal records give equal predictions, wherever it runs.

    `columns` are the raw columns, `features` what the model reads (None: all there is), a
    single string for one text column.
    """

    estimator: Any
    columns: tuple[InputColumn, ...]
    features: tuple[str, ...] | str | None
    methods: tuple[Method, ...]
    preprocess: Hook | None = None
    postprocess: Hook | None = None
    reference: Histogram | None = None

    def use_one_thread(self) -> None:
        """For as many processes or lanes as cores, which leave no cores for threads within."""
        for estimator in _estimators_within(self.estimator):
            if hasattr(estimator, "n_jobs"):
                estimator.n_jobs = 1

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row of predictions for each record, in order.

        The model's own exceptions pass through: the caller finds the records they come from.
        Raises `DoesNotFit` where a hook or the model breaks the rules for every record.
        """
        return self.score_frame(to_frame(batch, self.columns))

    def score_frame(self, frame: pd.DataFrame) -> pa.RecordBatch:
        """`score` for records that are a DataFrame already."""
        rows = len(frame)
        with _SILENCE:
            if self.preprocess:
                frame = _kept_rows("preprocess", self.preprocess(frame), rows)
            predictions = self._predict(self._select(frame), rows)
            if self.postprocess:
                predictions = _kept_rows("postprocess", self.postprocess(predictions), rows)
        return _to_arrow(predictions)

    def _select(self, frame: pd.DataFrame) -> Any:
        if self.features is None:
            return self._as_trained(frame)
        wanted = [self.features] if isinstance(self.features, str) else list(self.features)
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise DoesNotFit(
                f"the model needs the features {', '.join(missing)}; found "
                f"{', '.join(map(str, frame.columns))}",
                "add the columns under [input.columns], or name the preprocess hook that makes them",
            )
        if isinstance(self.features, str):
            return frame[self.features]
        # Choosing columns copies them.
        is_whole = list(frame.columns) == wanted
        return self._as_trained(frame if is_whole else frame[wanted])

    def _as_trained(self, frame: pd.DataFrame) -> Any:
        """An array for a model that counted its columns in training and saw no names."""
        has_names = hasattr(self.estimator, "feature_names_in_")
        has_count = hasattr(self.estimator, "n_features_in_")
        return frame.to_numpy() if has_count and not has_names else frame

    def _predict(self, features: Any, rows: int) -> pd.DataFrame:
        found: dict[str, Any] = {}
        classes = getattr(self.estimator, "classes_", None)
        for method, answer in ask(self.estimator, self.methods, features).items():
            found.update(_named(method, answer, classes))
        wrong = {name: len(values) for name, values in found.items() if len(values) != rows}
        if wrong:
            raise DoesNotFit(
                f"the model gave {wrong} predictions for {rows} records",
                'a text model reads one column: set features = "NAME"',
            )
        return pd.DataFrame(found)


class _Silence:
    """No warnings while any thread is inside.

    What fits was settled by the golden rows; under cron a warning would be a mail. Python's own
    `catch_warnings` is for one thread: what another one set meanwhile, it would set again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_SILENCE = _Silence()


def _estimators_within(estimator: Any) -> Iterator[Any]:
    """The estimator and all that it consists of; what was fitted is no parameter."""
    waiting, seen = [estimator], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        match found:
            case BaseEstimator():
                yield found
                waiting.extend(vars(found).values())
            case dict():
                waiting.extend(found.values())
            case list() | tuple():
                waiting.extend(found)
            case np.ndarray() if found.dtype == object:
                waiting.extend(found.flat)


def _kept_rows(hook: str, frame: Any, rows: int) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise DoesNotFit(f"the {hook} hook returned {type(frame).__name__}, expected a DataFrame")
    if len(frame) != rows or not frame.index.equals(pd.RangeIndex(rows)):
        raise DoesNotFit(
            f"the {hook} hook got {rows} rows and returned {len(frame)}, or changed "
            "their order or index; expected the same rows in the same order"
        )
    if frame.columns.empty:
        raise DoesNotFit(f"the {hook} hook returned no columns")
    if not frame.columns.is_unique:
        raise DoesNotFit(f"the {hook} hook returned a column more than once")
    return frame


def _named(method: str, answer: Any, classes: Any) -> Iterator[tuple[str, Any]]:
    """The columns that one method's answer becomes."""
    prefix = {
        "predict": "prediction",
        "predict_proba": "probability",
        "decision_function": "score",
        "transform": "component",
    }[method]
    if isinstance(answer, list):  # A classifier with several outputs: one array for each.
        for output, (array, labels) in enumerate(zip(answer, classes, strict=True)):
            for name, values in _columns(prefix, array, labels):
                yield f"{name}_{output}", values
        return
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    labels = classes if method in {"predict_proba", "decision_function"} else None
    yield from _columns(prefix, np.asarray(answer), labels)


def _columns(prefix: str, array: np.ndarray, labels: Sequence[Any] | None) -> Iterator[Any]:
    if array.ndim == 1 or (prefix == "prediction" and array.shape[1] == 1):
        yield prefix, array.reshape(-1)
        return
    count = array.shape[1]
    names = labels if labels is not None and len(labels) == count else range(count)
    for index, name in enumerate(names):
        yield f"{prefix}_{name}", array[:, index]


def _to_arrow(predictions: pd.DataFrame) -> pa.RecordBatch:
    arrays = [_array(predictions[name]) for name in predictions.columns]
    return pa.RecordBatch.from_arrays(arrays, [str(name) for name in predictions.columns])


def _array(series: pd.Series[Any]) -> pa.Array:
    array = pa.array(series, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = in_one(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if pa.types.is_integer(array.type):
        array = array.cast(pa.int64())
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us", "UTC"), safe=False)
    return array
