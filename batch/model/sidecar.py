"""The sidecar: what a model file needs said about it, in `MODEL.json` beside it."""

from __future__ import annotations

import math
import platform
import time
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from batch.errors import BatchError, Damaged, DoesNotFit, TryAgain, reading
from batch.job.settings import Method
from batch.records.columns import InputColumn, Scalar
from batch.records.documents import Document, decode
from batch.records.histogram import Histogram
from batch.store.digest import hash_file

SIDECAR_FORMAT = "batch-predict-model/1"
REPLACED_WITHIN_SECONDS = 60
_THREAD_SAFE = {"builtins", "collections", "copyreg", "functools", "joblib", "numpy", "scipy",
                "sklearn"}  # fmt: skip
_PURE_PYTHON = "sklearn.feature_extraction"
_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")


class GoldenRows(Document, frozen=True):
    """Raw records of training and the predictions that the model gave for them then."""

    records: tuple[dict[str, Scalar], ...]
    predictions: dict[str, tuple[Scalar, ...]]


class Sidecar(Document, frozen=True):
    """What `save_model` knew: versions, raw columns, features, reference and golden rows.

    `modules` are all modules that the model's classes and functions come from.
    """

    format: str
    sha256: str
    saved_at: datetime
    class_name: str
    versions: dict[str, str]
    columns: tuple[InputColumn, ...]
    features: tuple[str, ...] | str | None
    methods: tuple[Method, ...]
    preprocess: str | None
    postprocess: str | None
    modules: tuple[str, ...]
    reference: Histogram | None
    golden: GoldenRows

    @property
    def is_thread_safe(self) -> bool:
        """Whether several threads may ask the model at once, and gain by it.

        Estimators of scikit-learn's own do, but those that take text apart in Python; of other
        classes nobody knows.
        """
        foreign = {name for name in self.modules if name.partition(".")[0] not in _THREAD_SAFE}
        slow = {name for name in self.modules if name.startswith(_PURE_PYTHON)}
        return not (foreign or slow)


def sidecar_path(model_path: Path) -> Path:
    """Where the sidecar of a model file lies: beside it."""
    return model_path.with_name(model_path.name + ".json")


def read_model_file(
    model_path: Path, *, pin: str | None = None, source: str = ""
) -> tuple[str, Sidecar | None]:
    """The sha256 of a model file, and its sidecar if it has one.

    `source` is where the file comes from, for messages. Raises `TryAgain` while model and sidecar
    are being replaced, `DoesNotFit` where there is no model, and when they disagree for longer
    than that or with the pin.
    """
    source = source or str(model_path)
    try:
        with reading(model_path):
            sha256 = hash_file(model_path)
    except FileNotFoundError:
        raise DoesNotFit(
            f"{source}: no such model", "train it and save it there with batch.model.save_model"
        ) from None
    try:
        sidecar = _read_sidecar(sidecar_path(model_path))
    except Damaged as error:  # Half of it is there.
        raise _disagreement(model_path, error.message) from None
    if sidecar and sidecar.sha256 != sha256:
        found = f"{source}: found sha256 {sha256}, its sidecar says {sidecar.sha256}"
        raise _disagreement(model_path, found)
    if pin and pin != sha256:
        raise DoesNotFit(
            f"{source}: found sha256 {sha256}, the job file pins {pin}",
            "put the pinned model back, or change model.sha256 in the job file",
        )
    return sha256, sidecar


def as_scalar(value: object) -> Scalar:
    """A value as JSON can hold it: moments as text, NaN as null, infinities as text."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value  # type: ignore[return-value]  # Arrow's to_pylist gives no other values.


def installed_versions() -> dict[str, str]:
    """The versions that decide whether a saved model can be loaded, of this environment."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _read_sidecar(path: Path) -> Sidecar | None:
    try:
        with reading(path):
            data = path.read_bytes()
    except FileNotFoundError:
        return None
    sidecar = decode(data, Sidecar, source=str(path))
    if sidecar.format != SIDECAR_FORMAT:
        raise DoesNotFit(
            f"{path}: found format {sidecar.format!r}, expected {SIDECAR_FORMAT!r}",
            "save the model again with this version of batch-predict",
        )
    return sidecar


def _disagreement(model_path: Path, found: str) -> BatchError:
    newest = max(path.stat().st_mtime for path in (model_path, sidecar_path(model_path)))
    if time.time() - newest < REPLACED_WITHIN_SECONDS:
        return TryAgain(f"{found}: it is being replaced", "the next run takes the new model")
    return DoesNotFit(found, "save the model again with save_model, or remove the sidecar")
