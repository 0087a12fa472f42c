"""The sidecar: the description of a model file, in `MODEL.json` next to it."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from batch.errors import BatchError, Damaged, DoesNotFit, TryAgain, reading
from batch.job.settings import Method
from batch.records.columns import InputColumn, Scalar
from batch.records.documents import Document, decode
from batch.records.histogram import Histogram
from batch.store import open_store
from batch.store.base import Missing
from batch.store.files import hash_file

SIDECAR_FORMAT = "batch-predict-model/1"
REPLACED_WITHIN_SECONDS = 60
_THREAD_SAFE = {"builtins", "collections", "copyreg", "functools", "joblib", "numpy", "scipy",
                "sklearn"}  # fmt: skip
_PURE_PYTHON = "sklearn.feature_extraction"
_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")


class GoldenRows(Document, frozen=True):
    """Raw training records and the model's predictions for them."""

    records: tuple[dict[str, Scalar], ...]
    predictions: dict[str, tuple[Scalar, ...]]


class Sidecar(Document, frozen=True):
    """The model as `save_model` saw it: versions, raw columns, features, reference and golden rows.

    `modules` are the modules of all its classes and functions.
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
        """Whether several threads may call the model concurrently, and benefit.

        True for scikit-learn's own estimators, except text vectorisers, which work in Python; other
        classes are unknown.
        """
        foreign = {name for name in self.modules if name.partition(".")[0] not in _THREAD_SAFE}
        slow = {name for name in self.modules if name.startswith(_PURE_PYTHON)}
        return not (foreign or slow)


def sidecar_path(model_path: Path) -> Path:
    """The sidecar's path, next to the model file."""
    return model_path.with_name(model_path.name + ".json")


def read_model_file(
    model_path: Path, *, pin: str | None = None, source: str = ""
) -> tuple[str, Sidecar | None]:
    """The sha256 of a model file, and its sidecar if it has one.

    `source` is the origin of the file, for messages. Raises `TryAgain` while model and sidecar are
    being replaced, `DoesNotFit` if there is no model, if it does not match the sidecar for longer
    than that, and if it does not match the pin.
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
    except Damaged as error:  # It is only partly written.
        raise _disagreement(model_path, error.message) from None
    if sidecar and sidecar.sha256 != sha256:
        message = f"{source}: found sha256 {sha256}, but the sidecar is for {sidecar.sha256}"
        raise _disagreement(model_path, message)
    if pin and pin != sha256:
        raise DoesNotFit(
            f"{source}: found sha256 {sha256}, but model.sha256 is {pin}",
            "restore that model, or change model.sha256 in the job file",
        )
    return sha256, sidecar


def as_scalar(value: object) -> Scalar:
    """A value as JSON: dates and times as text, NaN as null, infinities as text."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value  # type: ignore[return-value]  # Arrow's to_pylist returns no other values.


def installed_versions() -> dict[str, str]:
    """The installed versions that decide whether a saved model can be loaded."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@contextmanager
def model_file(url: str) -> Iterator[Path]:
    """A path of the model file, with its sidecar next to it if there is one; neither need exist."""
    folder, _, name = url.rpartition("/")
    store = open_store(folder)
    if not store.is_remote:
        yield Path(url)
        return
    from batch.store.spool import spooled

    with spooled() as place:
        place.mkdir()
        model = place / name
        # The sidecar first: `save_model` writes the model before it, so its model exists already.
        for file in (sidecar_path(model), model):
            with suppress(Missing), store.fetch(file.name) as copy:
                copy.rename(file)
        yield model


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


def _disagreement(model_path: Path, message: str) -> BatchError:
    newest = max(path.stat().st_mtime for path in (model_path, sidecar_path(model_path)))
    if time.time() - newest < REPLACED_WITHIN_SECONDS:
        return TryAgain(f"{message}: it is being replaced", "the next run uses the new model")
    return DoesNotFit(message, "save the model again with save_model, or remove the sidecar")
