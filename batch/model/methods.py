"""Call several methods of a model without repeating the work they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from batch.job.settings import Method

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
