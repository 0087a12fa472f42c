"""Load a model: refuse a mismatch before the first record, with the reason in one sentence."""

from __future__ import annotations

import errno
import importlib
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
from sklearn.exceptions import InconsistentVersionWarning

from batch.errors import DoesNotFit, StoreDown
from batch.model.recipe import Recipe
from batch.model.score import Hook, Scorer
from batch.model.sidecar import GoldenRows, Sidecar, as_scalar, installed_versions
from batch.records.cast import cast_values
from batch.records.columns import InputColumn, Scalar
from batch.wording import counted

GOLDEN_RTOL = 1e-6
#: Errors of the disk or of this process's limits, not of the model file.
_NOT_THE_FILE = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def load_scorer(
    path: Path,
    recipe: Recipe,
    sidecar: Sidecar | None,
    *,
    code_folder: Path,
    allow_version_mismatch: bool = False,
) -> Scorer:
    """The model at `path` with its hooks, verified by its golden rows.

    Raises `DoesNotFit` for a different scikit-learn version, a class or hook that cannot be
    imported, a missing method or feature, and golden rows with other predictions than in training.
    """
    if sidecar and not allow_version_mismatch:
        _require_version(sidecar.versions.get("scikit-learn"))
    with _importing_from(code_folder):
        estimator = _unpickle(path, allow_version_mismatch)
        preprocess, postprocess = _hook(recipe.preprocess), _hook(recipe.postprocess)
        if sidecar:
            _require_golden_rows(estimator, sidecar)
    _require_methods(estimator, recipe)
    features = recipe.features or _own_features(estimator)
    _require_features(estimator, features)
    return Scorer(
        estimator=estimator,
        columns=_raw_columns(recipe, features),
        features=features,
        methods=recipe.methods,
        preprocess=preprocess,
        postprocess=postprocess,
        reference=sidecar.reference if sidecar else None,
    )


def records_to_batch(
    records: Sequence[dict[str, Scalar]], columns: Sequence[InputColumn]
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """JSON records as a typed batch, and for each mismatching record the column that causes it."""
    arrays, misfits = [], {}
    for column in columns:
        values, bad = cast_values([record.get(column.name) for record in records], column)
        arrays.append(values)
        misfits.update(dict.fromkeys(bad, column.name))
        if not column.nullable and values.null_count:
            nulls = [index for index in range(len(values)) if not values[index].is_valid]
            misfits.update(dict.fromkeys(nulls, column.name))
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns]), misfits


def _require_version(saved: str | None) -> None:
    installed = installed_versions().get("scikit-learn")
    if saved and saved != installed:
        raise DoesNotFit(
            f"saved with scikit-learn {saved}, but {installed} is installed",
            f"run `pip install scikit-learn=={saved}`, or retrain, or set "
            "model.allow_version_mismatch = true",
        )


def _unpickle(path: Path, allow_version_mismatch: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A compressed file cannot be memory-mapped: that is fine.
        if not allow_version_mismatch:
            warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return joblib.load(path, mmap_mode="r")
        except InconsistentVersionWarning as warning:
            _require_version(warning.original_sklearn_version)
            raise
        except (ImportError, AttributeError) as error:
            raise DoesNotFit(
                f"{path.name}: the model needs code that cannot be imported: {error}",
                "move its classes into a module in the job folder, or install the package; then "
                "save the model again",
            ) from None
        except Exception as error:  # noqa: BLE001
            if isinstance(error, OSError) and error.errno in _NOT_THE_FILE:
                raise StoreDown(
                    f"{path}: {os.strerror(error.errno).lower()}",
                    "repair the disk, or raise the limit of open files (ulimit -n), and rerun",
                ) from None
            # Unpickling runs code from the file, so it may raise anything.
            raise DoesNotFit(
                f"{path}: not a model that joblib can load: {type(error).__name__}: {error}",
                "save the model again with save_model",
            ) from None


def _hook(name: str | None) -> Hook | None:
    if name is None:
        return None
    module, _, function = name.partition(":")
    try:
        hook = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DoesNotFit(
            f"hook {name!r}: {error}",
            f"add {module}.py with the function {function} to the job folder",
        ) from None
    except Exception as error:  # noqa: BLE001  # A module may raise anything on import.
        raise DoesNotFit(
            f"hook {name!r}: importing {module} raised {type(error).__name__}: {error}",
            f"correct {module}.py in the job folder",
        ) from None
    if not callable(hook):
        raise DoesNotFit(f"hook {name!r}: found {type(hook).__name__}, expected a function")
    return hook  # type: ignore[no-any-return]  # A hook's signature is checked when it is called.


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import from `folder` first; modules of the same names are unloaded meanwhile."""
    names = {file.stem for file in folder.glob("*.py")}
    names |= {file.parent.name for file in folder.glob("*/__init__.py")}
    displaced = {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in names
        and name != "__main__"
        and not _inside(getattr(module, "__file__", None), folder)
    }
    for name in displaced:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.update(displaced)


def _inside(file: str | None, folder: Path) -> bool:
    return file is not None and Path(file).resolve().is_relative_to(folder.resolve())


def _require_methods(estimator: Any, recipe: Recipe) -> None:
    missing = [method for method in recipe.methods if not hasattr(estimator, method)]
    if missing:
        raise DoesNotFit(
            f"the model ({type(estimator).__name__}) has no {', '.join(missing)}",
            "correct model.methods in the job file",
        )


def _require_features(estimator: Any, features: tuple[str, ...] | str | None) -> None:
    """Without this check the model would raise on every record, and no input would be readable."""
    own, count = _own_features(estimator), getattr(estimator, "n_features_in_", None)
    if not isinstance(features, tuple) or features == own:
        return
    if own:
        unknown = [name for name in features if name not in own]
        missing = [name for name in own if name not in features]
        problems = [("unknown", unknown), ("missing", missing)]
        details = [f"{problem}: {', '.join(names)}" for problem, names in problems if names]
        detail = "; ".join(details) or f"expected the order {', '.join(own)}"
    elif count not in {None, len(features)}:
        detail = f"found {counted(len(features), 'column')}, expected {count}"
    else:
        return
    raise DoesNotFit(
        f"model.features does not match the features the model was trained on: {detail}",
        "correct model.features in the job file, or remove it",
    )


def _own_features(estimator: Any) -> tuple[str, ...] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))


def _raw_columns(recipe: Recipe, features: tuple[str, ...] | str | None) -> tuple[InputColumn, ...]:
    """The columns to read for the model, in order."""
    names = recipe.inputs or ((features,) if isinstance(features, str) else features)
    if names is None:
        raise DoesNotFit(
            "unknown input columns: the model was fitted without feature names",
            "set model.features in the job file, or save the model with save_model",
        )
    known = {column.name: column for column in recipe.columns}
    return tuple(
        known.get(name) or InputColumn(name=name, type=None, nullable=False) for name in names
    )


def _require_golden_rows(estimator: Any, sidecar: Sidecar) -> None:
    """Raise unless the model predicts the same as in training, with the hooks it was saved with."""
    golden = sidecar.golden
    if not golden.records:
        return
    batch, misfits = records_to_batch(golden.records, sidecar.columns)
    if misfits:
        raise DoesNotFit(
            f"the sidecar's golden rows do not match its columns: {misfits}",
            "save the model again with save_model",
        )
    saved_as = Scorer(
        estimator,
        sidecar.columns,
        sidecar.features,
        sidecar.methods,
        _hook(sidecar.preprocess),
        _hook(sidecar.postprocess),
    )
    try:
        predictions = saved_as.score(batch).to_pydict()
    except DoesNotFit:
        raise
    except Exception as error:  # noqa: BLE001
        # A hook or model may raise anything; here it only matters that it raises.
        raise DoesNotFit(
            f"the model raises on its own golden rows: {type(error).__name__}: {error}",
            "retrain and save it in this environment",
        ) from None
    _compare(golden, predictions)


def _compare(golden: GoldenRows, predictions: dict[str, list[Any]]) -> None:
    if predictions.keys() != golden.predictions.keys():
        raise DoesNotFit(
            f"the golden rows give the columns {', '.join(predictions)}; in training it was "
            f"{', '.join(golden.predictions)}",
            "the hook files changed since training: save the model again",
        )
    for name, expected in golden.predictions.items():
        for row, (wanted, got) in enumerate(zip(expected, predictions[name], strict=True)):
            if not _same(wanted, as_scalar(got)):
                raise DoesNotFit(
                    f"golden row {row}: {name} is {got!r} here, but was {wanted!r} in training",
                    "the hook files or a library changed since training: retrain and save the model "
                    "in this environment",
                )


def _same(wanted: Scalar, got: Scalar) -> bool:
    if isinstance(wanted, int | float) and isinstance(got, int | float):
        return math.isclose(wanted, got, rel_tol=GOLDEN_RTOL, abs_tol=1e-12)
    return wanted == got
