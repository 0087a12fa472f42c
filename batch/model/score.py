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
from sklearn.pipeline import Pipeline

from batch.errors import DoesNotFit
from batch.job.settings import Method
from batch.model.frames import to_frame
from batch.records.arrays import in_one
from batch.records.columns import InputColumn
from batch.records.histogram import Histogram
from batch.wording import counted

Hook = Callable[[pd.DataFrame], pd.DataFrame]
#: Classifiers whose `predict` is, by definition, the most probable class.
_OF_TREES = {
    ("sklearn.ensemble", name)
    for name in (
        "ExtraTreesClassifier", "GradientBoostingClassifier", "HistGradientBoostingClassifier",
        "RandomForestClassifier",
    )
}  # fmt: skip
#: Between probabilities closer than this, rounding may decide.
_CLEAR = 1e-6


@dataclass(frozen=True)
class Scorer:
    """A loaded model with its hooks: equal records give equal predictions on every host.

    `columns` are the raw columns, `features` those the model reads (None: all), a single string
    for one text column.
    """

    estimator: Any
    columns: tuple[InputColumn, ...]
    features: tuple[str, ...] | str | None
    methods: tuple[Method, ...]
    preprocess: Hook | None = None
    postprocess: Hook | None = None
    reference: Histogram | None = None

    def use_one_thread(self) -> None:
        """Set every `n_jobs` to 1: processes or threads already use all cores."""
        for estimator in _estimators_within(self.estimator):
            if hasattr(estimator, "n_jobs"):
                estimator.n_jobs = 1

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row of predictions for each record, in order.

        The model's own exceptions pass through, and the caller finds the records that cause them.
        Raises `DoesNotFit` if a hook or the model breaks a rule for every record.
        """
        return self.score_frame(to_frame(batch, self.columns))

    def score_frame(self, frame: pd.DataFrame) -> pa.RecordBatch:
        """`score` for records that are already a DataFrame."""
        rows = len(frame)
        with _SILENCE:
            if self.preprocess:
                frame = _require_same_rows("preprocess", self.preprocess(frame), rows)
            predictions = self._predict(self._select(frame), rows)
            if self.postprocess:
                predictions = _require_same_rows("postprocess", self.postprocess(predictions), rows)
        return _to_arrow(predictions)

    def _select(self, frame: pd.DataFrame) -> Any:
        if self.features is None:
            return self._as_trained(frame)
        wanted = [self.features] if isinstance(self.features, str) else list(self.features)
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise DoesNotFit(
                f"features missing: {', '.join(missing)}; found "
                f"{', '.join(map(str, frame.columns))}",
                "add the columns under [input.columns], or set the preprocess hook that computes them",
            )
        if isinstance(self.features, str):
            return frame[self.features]
        # Selecting columns copies them.
        is_whole = list(frame.columns) == wanted
        return self._as_trained(frame if is_whole else frame[wanted])

    def _as_trained(self, frame: pd.DataFrame) -> Any:
        """An array for a model that was trained without column names."""
        has_names = hasattr(self.estimator, "feature_names_in_")
        has_count = hasattr(self.estimator, "n_features_in_")
        return frame.to_numpy() if has_count and not has_names else frame

    def _predict(self, features: Any, rows: int) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        classes = getattr(self.estimator, "classes_", None)
        for method, answer in ask(self.estimator, self.methods, features).items():
            columns.update(_named(method, answer, classes))
        wrong = {name: len(values) for name, values in columns.items() if len(values) != rows}
        if wrong:
            raise DoesNotFit(
                f"the model returned {wrong} predictions for {counted(rows, 'record')}",
                'a text model reads one column: set features = "NAME"',
            )
        return pd.DataFrame(columns)


class _Silence:
    """No warnings while any thread is inside.

    The golden rows have shown that the model works here; under cron a warning would become a mail.
    Python's own `catch_warnings` is for one thread: it would undo what another one has set meanwhile.
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


def ask(estimator: Any, methods: Sequence[Method], features: Any) -> dict[Method, Any]:
    """The result of each method, bit for bit.

    For every method a pipeline applies the same earlier steps, so they run once. Trees are
    evaluated once for the probabilities and the class.
    """
    estimator, features = _at_its_last_step(estimator, methods, features)
    if {"predict", "predict_proba"} <= {*methods} and _is_of_trees(estimator):
        probabilities = estimator.predict_proba(features)
        if isinstance(probabilities, np.ndarray):  # Not a list, one for each of several outputs.
            results = {
                "predict_proba": probabilities,
                "predict": _most_probable(estimator, probabilities, features),
            }
            others = {name: getattr(estimator, name)(features) for name in {*methods} - {*results}}
            return {method: (results | others)[method] for method in methods}
    return {method: getattr(estimator, method)(features) for method in methods}


def _estimators_within(estimator: Any) -> Iterator[Any]:
    """The estimator and all estimators in it, including fitted ones, which are not parameters."""
    pending, seen = [estimator], set[int]()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        match item:
            case BaseEstimator():
                yield item
                pending.extend(vars(item).values())
            case dict():
                pending.extend(item.values())
            case list() | tuple():
                pending.extend(item)
            case np.ndarray() if item.dtype == object:
                pending.extend(item.flat)


def _require_same_rows(hook: str, frame: Any, rows: int) -> pd.DataFrame:
    if not isinstance(frame, pd.DataFrame):
        raise DoesNotFit(f"the {hook} hook returned {type(frame).__name__}, expected a DataFrame")
    if len(frame) != rows or not frame.index.equals(pd.RangeIndex(rows)):
        raise DoesNotFit(
            f"the {hook} hook got {counted(rows, 'row')} and returned {len(frame):,}, or changed "
            "their order or index; expected the same rows in the same order"
        )
    if frame.columns.empty:
        raise DoesNotFit(f"the {hook} hook returned no columns")
    if not frame.columns.is_unique:
        raise DoesNotFit(f"the {hook} hook returned duplicate columns")
    return frame


def _named(method: str, answer: Any, classes: Any) -> Iterator[tuple[str, Any]]:
    """The prediction columns for one method's result."""
    prefix = {
        "predict": "prediction",
        "predict_proba": "probability",
        "decision_function": "score",
        "transform": "component",
    }[method]
    if isinstance(answer, list):  # A classifier with several outputs: one array per output.
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


def _at_its_last_step(estimator: Any, methods: Sequence[Method], features: Any) -> tuple[Any, Any]:
    is_shared = type(estimator) is Pipeline and len(methods) > 1 and len(estimator.steps) > 1
    last = estimator.steps[-1][1] if is_shared else None
    if last is None or not all(hasattr(last, method) for method in methods):
        return estimator, features
    return last, estimator[:-1].transform(features)


def _is_of_trees(estimator: Any) -> bool:
    kind = type(estimator)
    return (".".join(kind.__module__.split(".")[:2]), kind.__name__) in _OF_TREES


def _most_probable(estimator: Any, probabilities: np.ndarray, features: Any) -> np.ndarray:
    """The most probable classes; near a tie the model itself decides."""
    labels: np.ndarray = estimator.classes_.take(probabilities.argmax(axis=1))
    if probabilities.shape[1] == 1:
        return labels
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    unclear = ~(first - second > _CLEAR)
    if unclear.any():
        labels[unclear] = estimator.predict(features[unclear])
    return labels
