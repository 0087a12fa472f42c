"""Loading a model: the same predictions as where it was saved, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from batch.errors import BadData, DoesNotFit, TryAgain
from batch.model import save_model
from batch.model.frames import to_batch
from batch.model.load import load_scorer
from batch.model.published import load_model, load_published, publish_model
from batch.model.recipe import Recipe, code_files
from batch.model.score import Scorer
from batch.model.sidecar import Sidecar, read_model_file, sidecar_path
from batch.records.columns import InputColumn, TextOptions
from batch.store import open_store

ROWS = 24
INDEX = np.arange(ROWS)
X = pd.DataFrame({"x": INDEX / 4, "y": INDEX[::-1] ** 2 / 16})
MIXED = pd.DataFrame({
    "s": ["a", None, "b", "c"] * 6, "c": pd.Categorical(["u", "v", None] * 8), "x": INDEX / 3,
    "n": pd.Series([1, None, 3, 4] * 6, dtype="Int64"), "w": INDEX.astype("float32"),
})  # fmt: skip
TEXTS = pd.DataFrame({"text": ["late again", "on time", "so late", "time flies"] * 6})
TWO, THREE = INDEX % 2, INDEX % 3
TEXT_OPTIONS = TextOptions(
    delimiter=",", decimal=".", encoding="utf-8", names=None, null_values=("",)
)


def mixed_pipeline() -> Any:
    """Text and categories with nulls, a masked column, float32."""
    columns = ColumnTransformer([
        ("words", OneHotEncoder(handle_unknown="ignore"), ["s", "c"]),
        ("numbers", StandardScaler(), ["x", "w"]),
    ])  # fmt: skip
    return make_pipeline(columns, LogisticRegression())


#: Name → model, what it is fitted on, its target, and its methods.
MODELS: dict[str, tuple[Any, Any, Any, tuple[Any, ...]]] = {
    "logistic regression": (
        LogisticRegression(), X, TWO, ("predict", "predict_proba", "decision_function"),
    ),
    "several classes": (LogisticRegression(), X, THREE, ("decision_function",)),
    "classes of text": (LogisticRegression(), X, np.array(["no", "yes"])[TWO], ("predict",)),
    "boolean target": (LogisticRegression(), X, TWO == 1, ("predict", "predict_proba")),
    "fitted on an array": (LogisticRegression(), X.to_numpy(), TWO, ("predict_proba",)),
    "column transformer": (mixed_pipeline(), MIXED, TWO, ("predict", "predict_proba")),
    "gradient boosting on categories": (
        HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1), MIXED[["c", "x", "n"]], TWO,
        ("predict_proba",),
    ),
    "forest": (RandomForestClassifier(3, random_state=0), X, THREE, ("predict_proba",)),
    "boosted trees": (GradientBoostingRegressor(n_estimators=3), X, INDEX, ("predict",)),
    "neighbours": (KNeighborsClassifier(3), X, TWO, ("predict", "predict_proba")),
    "brute neighbours": (KNeighborsClassifier(3, algorithm="brute"), X, TWO, ("predict",)),
    "support vectors": (SVC(), X, THREE, ("predict", "decision_function")),
    "text": (
        make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS["text"], TWO,
        ("predict_proba",),
    ),
    "clusters": (KMeans(3, n_init=1, random_state=0), X, None, ("predict", "transform")),
    "several classifiers": (
        MultiOutputClassifier(LogisticRegression()), X, np.column_stack([TWO, THREE]),
        ("predict", "predict_proba"),
    ),
    "several regressions": (Ridge(), X, X * 2, ("predict",)),
    "gaussian process": (GaussianProcessRegressor(optimizer=None), X, INDEX, ("predict",)),
    "network": (MLPRegressor(hidden_layer_sizes=(3,), max_iter=2), X, INDEX, ("predict",)),
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the model is saved."""
    return tmp_path / "model.joblib"


@pytest.fixture(autouse=True)
def same_modules() -> Iterator[None]:
    """Hook modules of one test are not there in the next."""
    modules, folders = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = folders
    for name in set(sys.modules) - set(modules):
        if not name.startswith(("sklearn", "scipy", "numpy", "pandas", "joblib", "pyarrow")):
            del sys.modules[name]


def recipe_of(path: Path, sidecar: Sidecar | None, **changes: Any) -> Recipe:
    """The recipe that a job without words of its own gives."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    said: dict[str, Any] = {
        "program": "0", "model_sha256": sha256, "key": (), "passthrough": (), "columns": (),
        "inputs": None, "features": None, "methods": ("predict",), "preprocess": None,
        "postprocess": None, "code": {}, "text": TEXT_OPTIONS,
    }  # fmt: skip
    if sidecar:
        said |= {
            "columns": sidecar.columns, "features": sidecar.features, "methods": sidecar.methods,
            "inputs": tuple(column.name for column in sidecar.columns),
            "preprocess": sidecar.preprocess, "postprocess": sidecar.postprocess,
        }  # fmt: skip
    return Recipe(**said | changes)


def loaded(
    path: Path, *, folder: Path | None = None, allow: bool = False, **changes: Any
) -> Scorer:
    """Load the model as a run does."""
    _, sidecar = read_model_file(path)
    recipe = recipe_of(path, sidecar, **changes)
    return load_scorer(path, recipe, sidecar, code_folder=folder or path.parent,
                       allow_version_mismatch=allow)  # fmt: skip


def edit_sidecar(path: Path, edit: Any) -> None:
    """Change the sidecar's JSON."""
    document = json.loads(sidecar_path(path).read_text())
    edit(document)
    sidecar_path(path).write_text(json.dumps(document))


def age(path: Path, seconds: float) -> None:
    """Make model and sidecar this old."""
    then = time.time() - seconds
    for file in (path, sidecar_path(path)):
        os.utime(file, (then, then))


# What fits


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_predicts_what_it_predicted_before(path: Path, name: str) -> None:
    """From read-only arrays mapped from the file, and from records that went through Arrow."""
    model, given, target, methods = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(given, target)
    sample = pd.DataFrame(given)
    features = "text" if name == "text" else None
    save_model(model, path, sample=sample, methods=methods, features=features)
    scorer = loaded(path)
    found = scorer.score(to_batch(sample.rename(columns=str), scorer.columns)).to_pydict()
    columns: list[Any] = []
    for method in methods:
        answer = getattr(model, method)(given)
        for array in answer if isinstance(answer, list) else [answer]:
            columns += [array] if array.ndim == 1 else list(array.T)
    assert len(found) == len(columns)
    for got, expected in zip(found.values(), columns, strict=True):
        assert got == expected.tolist()


def test_a_compressed_model_is_loaded_too(path: Path) -> None:
    """It cannot be mapped, which nobody needs to be warned of."""
    joblib.dump(LogisticRegression().fit(X, TWO), path, compress=3)
    scorer = loaded(path, columns=(InputColumn(name="y", type="float64", nullable=False),))
    assert scorer.score(pa.record_batch({"x": X["x"], "y": X["y"]})).num_rows == ROWS


def test_a_model_without_a_sidecar_knows_its_features(path: Path) -> None:
    """Their types are for the job file or the Parquet file to say; null is not allowed."""
    joblib.dump(LogisticRegression().fit(X, TWO), path)
    known = InputColumn(name="y", type="float64", nullable=True)
    scorer = loaded(path, columns=(known,))
    assert scorer.columns == (InputColumn(name="x", type=None, nullable=False), known)
    assert scorer.reference is None


def test_a_model_that_was_fitted_without_names_needs_features(path: Path) -> None:
    """The job file can name them."""
    joblib.dump(LogisticRegression().fit(X.to_numpy(), TWO), path)
    with pytest.raises(DoesNotFit, match="unknown input columns") as caught:
        loaded(path)
    assert "model.features" in caught.value.hint
    scorer = loaded(path, features=("x", "y"), inputs=("x", "y"))
    assert [column.name for column in scorer.columns] == ["x", "y"]


@pytest.mark.parametrize(
    ("fitted_on", "features", "message"),
    [
        (X, ("x",), "missing: y"),
        (X, ("y", "x"), "expected the order x, y"),
        (X, ("x", "z"), "unknown: z; missing: y"),
        (X, ("x", "y", "z"), "unknown: z"),
        (X.to_numpy(), ("x",), "found 1 column, expected 2"),
        (X.to_numpy(), ("x", "y", "z"), "found 3 columns, expected 2"),
    ],
)
def test_features_that_are_not_those_of_training_are_refused(
    path: Path, fitted_on: Any, features: tuple[str, ...], message: str
) -> None:
    """Before the first record, and not as rejects of every record."""
    joblib.dump(LogisticRegression().fit(fitted_on, TWO), path)
    with pytest.raises(
        DoesNotFit, match=f"model.features does not match .* trained on: {message}$"
    ):
        loaded(path, features=features, inputs=features)


def test_the_job_chooses_the_methods(path: Path) -> None:
    """Also others than those that were saved."""
    save_model(LogisticRegression().fit(X, TWO), path, sample=X, methods=["predict"])
    scorer = loaded(path, methods=("decision_function",))
    assert scorer.score(to_batch(X, scorer.columns)).schema.names == ["score"]


def test_nulls_and_golden_rows_of_every_kind_come_back(path: Path) -> None:
    """Not finite, null, text, boolean, dates and moments: what is saved, loads."""
    save_model(mixed_pipeline().fit(MIXED, TWO), path, sample=MIXED, postprocess=odd_predictions)
    scorer = loaded(path)
    found = scorer.score(to_batch(MIXED, scorer.columns)).to_pydict()
    assert [*found] == ["at", "day", "inf", "nan", "null", "late", "word", "whole"]


def odd_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """A postprocess hook with columns of every type."""
    return pd.DataFrame({
        "at": pd.Timestamp("2013-12-01T10:00:00.123456", tz="Europe/Berlin"),
        "day": pd.Timestamp("2013-12-01").date(), "inf": np.inf, "nan": np.nan, "null": None,
        "late": frame["prediction"] == 1, "word": "yes", "whole": 2**60 + 1,
    }, index=frame.index)  # fmt: skip


# What does not


def test_a_model_that_is_not_there(path: Path) -> None:
    """The line that makes it is said."""
    with pytest.raises(DoesNotFit, match="no such model") as caught:
        read_model_file(path)
    assert "save_model" in caught.value.hint


def test_the_pin_holds(path: Path) -> None:
    """Another model is refused, the pinned one is not."""
    save_model(LogisticRegression().fit(X, TWO), path, sample=X)
    sha256, _ = read_model_file(path)
    assert read_model_file(path, pin=sha256)[0] == sha256
    with pytest.raises(DoesNotFit, match=f"found sha256 {sha256}, but model.sha256 is {'0' * 64}"):
        read_model_file(path, pin="0" * 64)


@pytest.mark.parametrize("damage", ["another model", "half a sidecar", "no JSON"])
def test_model_and_sidecar_that_disagree(path: Path, damage: str) -> None:
    """Are being replaced while they are young; later they do not fit."""
    save_model(LogisticRegression().fit(X, TWO), path, sample=X)
    whole = sidecar_path(path).read_bytes()
    if damage == "another model":
        joblib.dump(LogisticRegression(C=9).fit(X, TWO), path)
    else:
        sidecar_path(path).write_bytes(whole[:500] if damage == "half a sidecar" else b"")
    with pytest.raises(TryAgain, match="it is being replaced") as young:
        read_model_file(path)
    age(path, 50)
    with pytest.raises(TryAgain):
        read_model_file(path)
    age(path, 61)
    with pytest.raises(DoesNotFit) as old:
        read_model_file(path)
    assert (young.value.exit_code, old.value.exit_code) == (75, 78)
    assert "save the model again" in old.value.hint


def test_a_sidecar_of_another_format_is_refused(path: Path) -> None:
    """It was written by another version of the program."""
    save_model(LogisticRegression().fit(X, TWO), path, sample=X)
    edit_sidecar(path, lambda document: document.update(format="batch-predict-model/9"))
    with pytest.raises(DoesNotFit, match="found format 'batch-predict-model/9'"):
        read_model_file(path)


def test_another_version_in_the_sidecar(path: Path) -> None:
    """Is refused with the exact install line, unless the job allows it."""
    save_model(LogisticRegression().fit(X, TWO), path, sample=X)
    edit_sidecar(path, lambda document: document["versions"].update({"scikit-learn": "0.1.2"}))
    with pytest.raises(
        DoesNotFit, match=r"saved with scikit-learn 0\.1\.2, but .* is installed"
    ) as caught:
        loaded(path)
    assert "pip install scikit-learn==0.1.2" in caught.value.hint
    assert loaded(path, allow=True).methods == ("predict", "predict_proba")


@pytest.mark.parametrize("has_sidecar", [True, False])
def test_another_version_in_the_model_itself(path: Path, *, has_sidecar: bool) -> None:
    """Is found by scikit-learn, deep in a pipeline too, and refused likewise."""
    version = sklearn.__version__.encode()
    save_model(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, TWO), path, sample=X)
    path.write_bytes(path.read_bytes().replace(version, b"0" + version[1:]))
    if has_sidecar:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        edit_sidecar(path, lambda document: document.update(sha256=sha256))
    else:
        sidecar_path(path).unlink()
    other = "0" + sklearn.__version__[1:]
    with pytest.raises(DoesNotFit, match=f"saved with scikit-learn {other}") as caught:
        loaded(path)
    assert f"pip install scikit-learn=={other}" in caught.value.hint
    assert loaded(path, allow=True).estimator.predict(X).tolist()


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x80\x04.", b"\x80\x05K\x01"])
def test_a_file_that_is_no_model(path: Path, data: bytes) -> None:
    """Whatever unpickling makes of it."""
    path.write_bytes(data)
    with pytest.raises(DoesNotFit, match="not a model that joblib can load"):
        loaded(path)


def test_a_truncated_model(path: Path) -> None:
    """Is refused like any other garbage."""
    joblib.dump(RandomForestClassifier(3).fit(X, TWO), path)
    data = path.read_bytes()
    for kept in (0.3, 0.9):
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(DoesNotFit, match="not a model that joblib can load"):
            loaded(path)


def test_a_method_that_the_model_does_not_have(path: Path) -> None:
    """Is named, with the place to change it."""
    save_model(LinearRegression().fit(X, TWO), path, sample=X)
    with pytest.raises(DoesNotFit, match=r"\(LinearRegression\) has no predict_proba") as caught:
        loaded(path, methods=("predict", "predict_proba"))
    assert "model.methods" in caught.value.hint
    joblib.dump({"not": "a model"}, path)
    sidecar_path(path).unlink()
    with pytest.raises(DoesNotFit, match=r"\(dict\) has no predict"):
        loaded(path)


# Code of the job folder

SHAPES = """
from sklearn.linear_model import LogisticRegression

class Shaped(LogisticRegression):
    pass
"""


def module(folder: Path, name: str, source: str) -> Any:
    """Write a module and import it as a training script of that folder does."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    sys.path.insert(0, str(folder))
    sys.modules.pop(name, None)
    return __import__(name)


def test_classes_come_from_the_job_folder(path: Path, tmp_path: Path) -> None:
    """Which stands before all else while the model loads, and before a module of that name."""
    shapes = module(tmp_path / "job", "shapes", SHAPES)
    save_model(shapes.Shaped().fit(X, TWO), path, sample=X)
    stranger = module(tmp_path / "elsewhere", "shapes", "nothing = 1")
    scorer = loaded(path, folder=tmp_path / "job")
    assert type(scorer.estimator).__name__ == "Shaped"
    assert sys.modules["shapes"] is stranger


def test_a_class_that_is_nowhere_is_named(path: Path, tmp_path: Path) -> None:
    """With what to do about it, whether the module is missing or the class in it."""
    shapes = module(tmp_path / "job", "shapes", SHAPES)
    save_model(shapes.Shaped().fit(X, TWO), path, sample=X)
    del sys.modules["shapes"]
    sys.path.remove(str(tmp_path / "job"))
    with pytest.raises(DoesNotFit, match="No module named 'shapes'") as caught:
        loaded(path)
    assert "move its classes into a module in the job folder" in caught.value.hint
    (tmp_path / "shapes.py").write_text("")
    with pytest.raises(DoesNotFit, match=r"cannot be imported: .*Shaped"):
        loaded(path)


HOOK = "def add(frame):\n    return frame.assign(z=frame['x'] * {factor})\n"


def save_with_hook(path: Path, folder: Path) -> None:
    """A model whose third feature the hook makes."""
    features = module(folder, "features", HOOK.format(factor=2))
    model = LinearRegression().fit(features.add(X), INDEX**2)
    save_model(model, path, sample=X, preprocess=features.add)


def test_hooks_come_from_the_job_folder(path: Path, tmp_path: Path) -> None:
    """The job's own, whatever module of that name was imported before."""
    save_with_hook(path, tmp_path / "job")
    module(tmp_path / "elsewhere", "features", HOOK.format(factor=9))
    scorer = loaded(path, folder=tmp_path / "job")
    expected = scorer.estimator.predict(X.assign(z=X["x"] * 2))
    assert scorer.score(to_batch(X, scorer.columns))["prediction"].to_pylist() == expected.tolist()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HOOK.format(factor=3), r"golden row 1: prediction is \S+ here, but was \S+ in training"),
        (HOOK.format(factor=2.001), "golden row 1: prediction"),
        ("def add(frame):\n    return frame\n", "features missing: z"),
        ("def add(frame):\n    return frame.dropna().iloc[1:].assign(z=1)\n", "preprocess hook"),
        ("def add(frame):\n    return frame.sort_values('y').assign(z=1)\n", "preprocess hook"),
        (
            "def add(frame):\n    raise KeyError('gate')\n",
            "on its own golden rows: KeyError: 'gate'",
        ),
        ("def other(frame):\n    return frame\n", "hook 'features:add': .*no attribute 'add'"),
        ("add = 5\n", "found int, expected a function"),
        ("import nowhere_at_all\n", "hook 'features:add': No module named 'nowhere_at_all'"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_hook_that_changed_since_training(
    path: Path, tmp_path: Path, source: str, message: str
) -> None:
    """Is found by the golden rows before the first record is predicted."""
    save_with_hook(path, tmp_path / "job")
    edited = tmp_path / "edited"
    edited.mkdir()
    (edited / "features.py").write_text(source)
    with pytest.raises(DoesNotFit, match=message):
        loaded(path, folder=edited)


def test_golden_rows_forgive_the_last_digits(path: Path) -> None:
    """Another processor adds up in another order; a millionth is the limit."""
    save_model(LinearRegression().fit(X, INDEX), path, sample=X)
    golden = json.loads(sidecar_path(path).read_text())["golden"]["predictions"]["prediction"]
    for change, fits in ((1 + 1e-9, True), (1 + 1e-4, False)):
        values = [value * change for value in golden]
        edit_sidecar(
            path,
            lambda document, values=values: document["golden"]["predictions"].update(
                prediction=values
            ),
        )
        if fits:
            loaded(path)
        else:
            with pytest.raises(DoesNotFit, match="golden row"):
                loaded(path)


def test_golden_rows_of_other_columns_are_refused(path: Path) -> None:
    """The postprocess hook gives others now."""
    save_model(LinearRegression().fit(X, INDEX), path, sample=X)
    edit_sidecar(path, lambda document: document["golden"]["predictions"].update(more=[1] * 20))
    with pytest.raises(
        DoesNotFit, match="give the columns prediction; in training it was prediction, more"
    ):
        loaded(path)


# The copy in OUTPUT


def published(path: Path, folder: Path, output: Path) -> Any:
    """Publish model and hooks as a run does; gives the store, the recipe and the manifest's entry."""
    _, sidecar = read_model_file(path)
    store = open_store(str(output))
    recipe = recipe_of(path, sidecar, code=code_files(folder, ["features"]))
    return store, recipe, publish_model(store, path, recipe, sidecar, code_folder=folder)


def test_the_published_model_predicts_single_records(path: Path, tmp_path: Path) -> None:
    """With its own hooks, when the job folder is long gone."""
    save_with_hook(path, tmp_path / "job")
    store, _, info = published(path, tmp_path / "job", tmp_path / "out")
    model = LinearRegression().fit(X.assign(z=X["x"] * 2), INDEX**2)
    shutil.rmtree(tmp_path / "job")
    path.unlink()
    found = load_published(store, info)
    record = {"x": 1.5, "y": 2, "more": "text"}
    expected = model.predict(pd.DataFrame({"x": [1.5], "y": [2.0], "z": [3.0]}))[0]
    assert found.score_records([record, record]) == [{"prediction": pytest.approx(expected)}] * 2
    assert found.score_records([]) == []
    assert found.estimator.coef_.tolist() == pytest.approx(model.coef_.tolist())
    for misfit in ({"x": "1.5", "y": 2}, {"x": 1.5}):
        with pytest.raises(BadData, match=r"record 1: column '[xy]'"):
            found.score_records([record, misfit])


def test_single_records_without_any_types(path: Path, tmp_path: Path) -> None:
    """Are what they are: nothing else is known of a model that only Parquet files feed."""
    joblib.dump(LogisticRegression().fit(X, TWO), path)
    store, _, info = published(path, tmp_path, tmp_path / "out")
    found = load_published(store, info)
    assert found.score_records([{"x": 1, "y": 2.5}])[0].keys() == {"prediction"}
    with pytest.raises(BadData, match="record 0: column 'x'"):
        found.score_records([{"y": 2.5}])


def test_publishing_twice_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Every run does it; what is there is what would be written."""
    save_with_hook(path, tmp_path / "job")
    store, _, info = published(path, tmp_path / "job", tmp_path / "out")
    before = {entry.path: entry.token for entry in store.list().entries}
    assert published(path, tmp_path / "job", tmp_path / "out")[2] == info
    assert {entry.path: entry.token for entry in store.list().entries} == before
    assert info.sidecar is not None
    assert {Path(name).name for name in before} == {
        "model.joblib", Path(info.sidecar).name, "features.py", "recipe.json",
    }  # fmt: skip


def test_the_same_model_saved_again_with_other_hooks(path: Path, tmp_path: Path) -> None:
    """Its bytes are the same, so it is the same model; its golden rows are not."""
    folder = tmp_path / "job"
    model = LinearRegression().fit(X, INDEX)
    for digits in (1, 2):
        source = f"def add(frame):\n    return frame.round({digits})\n"
        features = module(folder, "features", source)
        save_model(model, path, sample=X, postprocess=features.add)
        store, recipe, info = published(path, folder, tmp_path / "out")
        del sys.modules["features"]
        _, sidecar = read_model_file(path)
        scorer = load_model(
            store, recipe, sidecar, code_folder=folder, allow_version_mismatch=False
        )
        found = scorer.score(to_batch(X, scorer.columns))["prediction"].to_pylist()
        assert found == model.predict(X).round(digits).tolist()
    assert info.path in {entry.path for entry in store.list().entries}
    assert len(store.list("models").entries) == 1 + 2 * 3


def test_what_changes_while_a_run_starts_stops_it(path: Path, tmp_path: Path) -> None:
    """The recipe was made of other bytes: the next run makes another."""
    folder = tmp_path / "job"
    save_with_hook(path, folder)
    _, sidecar = read_model_file(path)
    recipe = recipe_of(path, sidecar, code=code_files(folder, ["features"]))
    store = open_store(str(tmp_path / "out"))
    (folder / "features.py").write_text(HOOK.format(factor=3))
    with pytest.raises(TryAgain, match="the hook files changed"):
        publish_model(store, path, recipe, sidecar, code_folder=folder)
    (folder / "features.py").write_text(HOOK.format(factor=2))
    publish_model(store, path, recipe, sidecar, code_folder=folder)
    (folder / "features.py").write_text(HOOK.format(factor=3))
    with pytest.raises(TryAgain, match="the hook files changed"):
        load_model(store, recipe, sidecar, code_folder=folder, allow_version_mismatch=False)
    joblib.dump(LinearRegression().fit(X, TWO), path)
    elsewhere = open_store(str(tmp_path / "elsewhere"))
    with pytest.raises(TryAgain, match="replaced while the run was starting"):
        publish_model(elsewhere, path, recipe, sidecar, code_folder=folder)
    assert elsewhere.list().entries == ()


def test_a_damaged_copy_is_named(path: Path, tmp_path: Path) -> None:
    """It is not loaded, and the next run makes it again once it is gone."""
    save_with_hook(path, tmp_path / "job")
    store, recipe, info = published(path, tmp_path / "job", tmp_path / "out")
    copy = tmp_path / "out" / info.path
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(BadData, match="sha256: found") as caught:
        load_model(store, recipe, None, code_folder=tmp_path / "job", allow_version_mismatch=False)
    assert "delete this damaged copy" in caught.value.hint
    store.delete(info.path)
    published(path, tmp_path / "job", tmp_path / "out")
    assert load_model(
        store, recipe, None, code_folder=tmp_path / "job", allow_version_mismatch=False
    )


def test_a_recipe_survives_its_own_json(path: Path) -> None:
    """Its hash names the folder, so reading it back must not change it."""
    save_model(mixed_pipeline().fit(MIXED, TWO), path, sample=MIXED)
    recipe = recipe_of(path, read_model_file(path)[1])
    again = msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe)
    assert (again, again.digest()) == (recipe, recipe.digest())
