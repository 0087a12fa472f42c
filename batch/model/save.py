"""Save a model: the file, and the sidecar that lets a run check that it matches."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import msgspec
import numpy as np
import pandas as pd

from batch.errors import BatchError, DoesNotFit
from batch.job.settings import Method
from batch.model.frames import describe_columns, to_batch
from batch.model.score import Hook, Scorer
from batch.model.sidecar import (
    SIDECAR_FORMAT,
    GoldenRows,
    Sidecar,
    as_scalar,
    installed_versions,
    sidecar_path,
)
from batch.records.columns import Scalar
from batch.records.documents import encode
from batch.records.histogram import Histogram, reference_histogram
from batch.store.files import hash_file, replacing

if TYPE_CHECKING:
    import pyarrow as pa

GOLDEN_ROWS = 20
REFERENCE_ROWS = 100_000


def save_model(  # noqa: PLR0913  # All but two are optional, and keyword-only.
    model: Any,
    path: str | Path,
    *,
    sample: pd.DataFrame,
    preprocess: Hook | None = None,
    postprocess: Hook | None = None,
    methods: Sequence[Method] | None = None,
    features: Sequence[str] | str | None = None,
) -> Path:
    """Write a fitted model to `path`, then its sidecar `path + ".json"`. Returns the path.

    `sample` holds raw records as they will arrive, before `preprocess`, with exactly the columns
    the model or the hook reads. Pass the whole training frame: types, nulls, categories and the
    reference distribution of the predictions are taken from it. `methods` default to predict, and
    predict_proba if the model has it; `features` to the model's own.

    Raises `DoesNotFit` for a model or hook that another process could not load, and for a model
    that cannot predict the sample.
    """
    path, sample = Path(path), _plain_records(sample)
    scorer = Scorer(
        estimator=model,
        columns=describe_columns(sample),
        features=_features(model, features),
        methods=tuple(methods) if methods else _methods(model),
        preprocess=preprocess,
        postprocess=postprocess,
    )
    # All checks before the first write: if one fails, the existing files stay in use.
    sidecar = _describe(scorer, sample)
    with replacing(path) as temporary:
        joblib.dump(model, temporary)
    # The model first: a sidecar always describes a model that exists.
    data = encode(msgspec.structs.replace(sidecar, sha256=hash_file(path)))
    with replacing(sidecar_path(path)) as temporary:
        temporary.write_bytes(data)
    return path


def _describe(scorer: Scorer, sample: pd.DataFrame) -> Sidecar:
    """Everything a run must know about the model, except the hash of the file, not written yet."""
    model = scorer.estimator
    modules, preprocess = _modules_of(model), _hook_name(scorer.preprocess)
    postprocess = _hook_name(scorer.postprocess)
    reference, golden = _predictions(scorer, sample)
    return Sidecar(
        format=SIDECAR_FORMAT,
        sha256="",
        saved_at=datetime.now(UTC),
        class_name=f"{type(model).__module__}.{type(model).__qualname__}",
        versions=installed_versions(),
        columns=scorer.columns,
        features=scorer.features,
        methods=scorer.methods,
        preprocess=preprocess,
        postprocess=postprocess,
        modules=modules,
        reference=reference,
        golden=golden,
    )


def _plain_records(sample: Any) -> pd.DataFrame:
    if not isinstance(sample, pd.DataFrame):
        raise DoesNotFit(
            f"sample: found {type(sample).__name__}, expected a DataFrame of raw records"
        )
    if sample.empty:
        raise DoesNotFit("the sample has no rows", "pass the raw training records")
    return sample.reset_index(drop=True).rename(columns=str)


def _features(model: Any, features: Sequence[str] | str | None) -> tuple[str, ...] | str | None:
    if features is None:
        own = getattr(model, "feature_names_in_", None)
        return None if own is None else tuple(map(str, own))
    return features if isinstance(features, str) else tuple(features)


def _methods(model: Any) -> tuple[Method, ...]:
    if hasattr(model, "predict_proba"):
        return ("predict", "predict_proba")
    return ("predict",) if hasattr(model, "predict") else ("transform",)


def _predictions(scorer: Scorer, sample: pd.DataFrame) -> tuple[Histogram | None, GoldenRows]:
    """The model's predictions for its own training records."""
    spread = _spread(sample, REFERENCE_ROWS).reset_index(drop=True)
    try:
        return reference_histogram(scorer.score_frame(spread)), _golden_rows(scorer, sample)
    except BatchError:
        raise
    except Exception as error:
        # A hook or model may raise anything; keep its traceback for debugging.
        raise DoesNotFit(
            f"the model cannot predict the sample: {type(error).__name__}: {error}",
            'pass the raw training records; a text model reads one column: features="NAME"',
        ) from error


def _golden_rows(scorer: Scorer, sample: pd.DataFrame) -> GoldenRows:
    """A few records, including a null for every column with nulls, and their predictions."""
    # JSON has no infinite numbers.
    usable = sample[~sample.isin([np.inf, -np.inf]).any(axis="columns")]
    positions = {int(position) for position in _spread(usable, GOLDEN_ROWS).index}
    nulls = [usable[name].isna().to_numpy() for name in usable.columns]
    positions |= {int(usable.index[int(column.argmax())]) for column in nulls if column.any()}
    batch = to_batch(usable.loc[sorted(positions)], scorer.columns)
    if not batch.num_rows:
        return GoldenRows(records=(), predictions={})
    predictions = _plain(scorer.score(batch))
    return GoldenRows(
        records=tuple(_plain(batch)),
        predictions={name: tuple(row[name] for row in predictions) for name in predictions[0]},
    )


def _plain(batch: pa.RecordBatch) -> list[dict[str, Scalar]]:
    records = batch.to_pylist()
    return [{name: as_scalar(value) for name, value in record.items()} for record in records]


def _spread(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` rows, evenly spread over the frame."""
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(count, len(frame))).astype(int))]


class _ModuleRecorder(pickle.Pickler):
    """Discards the pickle, and records the module of every class and function in it."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.names: dict[str, str] = {}

    def persistent_id(self, obj: Any) -> None:
        if isinstance(obj, type) or callable(obj):
            module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
            if isinstance(module, str) and isinstance(name, str):
                self.names[module] = name


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        # A large array is passed as a PickleBuffer, which has no len().
        return memoryview(data).nbytes


def _modules_of(model: Any) -> tuple[str, ...]:
    """Every module that must be importable to load the model. `__main__` is refused."""
    recorder = _ModuleRecorder(_Nowhere())
    try:
        recorder.dump(model)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DoesNotFit(
            f"the model cannot be saved: {error}",
            "define its functions at the top level of a module: no lambdas",
        ) from None
    if "__main__" in recorder.names:
        _refuse_main(recorder.names["__main__"])
    return tuple(sorted(recorder.names))


def _hook_name(hook: Hook | None) -> str | None:
    if hook is None:
        return None
    module, name = hook.__module__, getattr(hook, "__qualname__", repr(hook))
    if module == "__main__":
        _refuse_main(name)
    if not name.isidentifier():
        raise DoesNotFit(f"the hook {module}:{name} is not a top-level function of a module")
    return f"{module}:{name}"


def _refuse_main(name: str) -> None:
    raise DoesNotFit(
        f"{name} is defined in the main script (__main__): other processes cannot load it",
        "move it into a module in the job folder and import it from there",
    )
