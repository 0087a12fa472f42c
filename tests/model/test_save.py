"""Handing over a model: the file, what its sidecar says, and what is refused."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from batch.errors import DoesNotFit
from batch.model import save_model
from batch.model.sidecar import Sidecar, read_model_file, sidecar_path
from batch.store.files import hash_file

ROOT = Path(__file__).parents[2]
SAMPLE = pd.DataFrame({"x": np.arange(10) / 4, "y": np.arange(10)[::-1] / 2})
TARGET = np.arange(10) % 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the model is saved."""
    return tmp_path / "new folder" / "model.joblib"


def classifier() -> Any:
    """A fitted model of two features."""
    return LogisticRegression().fit(SAMPLE, TARGET)


def saved(path: Path, model: Any = None, **options: Any) -> Sidecar:
    """Save a model and read its sidecar."""
    save_model(model or classifier(), path, **{"sample": SAMPLE} | options)
    _, sidecar = read_model_file(path)
    assert sidecar is not None
    return sidecar


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would, from its folder."""
    file = folder / "train_it.py"
    file.write_text(script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, file.name], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=60, check=False)  # fmt: skip


def add_sum(frame: pd.DataFrame) -> pd.DataFrame:
    """A hook of a module."""
    return frame.assign(sum=frame["x"] + frame["y"])


def add_days(frame: pd.DataFrame) -> pd.DataFrame:
    """A hook that gives dates, moments and numbers that are not finite."""
    first = pd.Timestamp("2013-12-01", tz="UTC")
    values = [math.inf, -math.inf, math.nan]
    return frame.assign(
        at=[first + timedelta(days=row) for row in range(len(frame))],
        day=[date(2013, 12, 1)] * len(frame),
        odd=[values[row % 3] for row in range(len(frame))],
    )


def drop_some(frame: pd.DataFrame) -> pd.DataFrame:
    """A hook that breaks the rules."""
    return frame[frame["x"] > 1]


def turn_round(frame: pd.DataFrame) -> pd.DataFrame:
    """Another one."""
    return frame.iloc[::-1]


# What the sidecar says


def test_a_model_with_large_arrays_is_saved(path: Path) -> None:
    """A forest of realistic size holds arrays that pickle hands over as buffers."""
    random = np.random.default_rng(0)
    sample = pd.DataFrame({"x": random.normal(size=4_000), "y": random.normal(size=4_000)})
    forest = RandomForestClassifier(n_estimators=1, random_state=0)
    target = random.integers(2, size=4_000)
    assert saved(path, forest.fit(sample, target), sample=sample).class_name.endswith("Classifier")


def test_the_sidecar_lies_beside_the_model(path: Path) -> None:
    """With its hash, its class, the versions, and nothing else in the folder."""
    sidecar = saved(path)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "model.joblib",
        "model.joblib.json",
    ]
    assert sidecar.sha256 == hash_file(path)
    assert sidecar.class_name == "sklearn.linear_model._logistic.LogisticRegression"
    assert {"python", "scikit-learn", "numpy", "pandas"} <= {*sidecar.versions}
    assert datetime.now(UTC) - sidecar.saved_at < timedelta(minutes=1)
    assert joblib.load(path).predict(SAMPLE).tolist() == classifier().predict(SAMPLE).tolist()


def test_the_sidecar_names_columns_features_and_methods(path: Path) -> None:
    """In the order of training; predict_proba where the model has it."""
    sidecar = saved(path)
    assert [(column.name, column.type, column.nullable) for column in sidecar.columns] == [
        ("x", "float64", False), ("y", "float64", False),
    ]  # fmt: skip
    assert sidecar.features == ("x", "y")
    assert sidecar.methods == ("predict", "predict_proba")
    regressor = saved(path, LinearRegression().fit(SAMPLE, TARGET))
    assert regressor.methods == ("predict",)
    scaler = saved(path, StandardScaler().fit(SAMPLE))
    assert scaler.methods == ("transform",)
    chosen = saved(path, methods=["decision_function"])
    assert chosen.methods == ("decision_function",)


def test_the_sidecar_knows_types_nulls_and_categories(path: Path) -> None:
    """As the sample has them, whatever the hook makes of them."""
    sample = pd.DataFrame({
        "n": pd.Series([1, 2, 3], dtype="int32"), "f": [0.5, None, 1.0], "s": ["a", "b", None],
        "c": pd.Series(["u", "v", "u"], dtype=pd.CategoricalDtype(["v", "u", "w"], ordered=True)),
        "b": [True, False, True], "t": pd.to_datetime(["2013-12-01"] * 3),
        "d": pd.Series([date(2013, 12, 1)] * 3, dtype=object),
    })  # fmt: skip
    model = HistGradientBoostingRegressor(max_iter=1).fit(sample[["n", "f"]], [1, 2, 3])
    sidecar = saved(path, model, sample=sample)
    found = {column.name: column for column in sidecar.columns}
    types = {name: (column.type, column.nullable) for name, column in found.items()}
    assert types == {
        "n": ("int64", False), "f": ("float64", True), "s": ("string", True),
        "c": ("category", False), "b": ("bool", False), "t": ("timestamp", False),
        "d": ("date", False),
    }  # fmt: skip
    assert (found["c"].categories, found["c"].ordered) == (("v", "u", "w"), True)
    assert found["n"].dtype == "int32"
    assert sidecar.features == ("n", "f")


def test_golden_rows_are_raw_records_with_their_predictions(path: Path) -> None:
    """Spread over the sample, hooks included, and one with a null of each column that has any."""
    many = pd.DataFrame({"x": np.arange(1000.0), "y": np.arange(1000.0)})
    many.loc[777, "y"] = np.nan
    model = HistGradientBoostingRegressor(max_iter=2).fit(add_sum(many), np.arange(1000))
    golden = saved(path, model, sample=many, preprocess=add_sum).golden
    assert 20 <= len(golden.records) <= 21
    assert {"x": 777.0, "y": None} in golden.records
    records = pd.DataFrame(list(golden.records), dtype=float)
    assert records["x"].max() == 999
    assert golden.predictions == {"prediction": tuple(model.predict(add_sum(records)).tolist())}


def test_golden_rows_hold_only_what_json_can_hold(path: Path) -> None:
    """No record with an infinite number, and moments as text."""
    sample = SAMPLE.assign(x=[math.inf, *SAMPLE["x"][1:]])
    model = HistGradientBoostingRegressor(max_iter=1).fit(sample, TARGET)
    golden = saved(path, model, sample=sample, postprocess=add_days).golden
    assert len(golden.records) == 9
    assert golden.predictions["at"][1] == "2013-12-02T00:00:00+00:00"
    assert golden.predictions["day"][0] == "2013-12-01"
    assert golden.predictions["odd"][:3] == ("inf", "-inf", None)
    json.loads(sidecar_path(path).read_text(), parse_constant=pytest.fail)
    nothing = SAMPLE.assign(x=math.inf)
    assert saved(path, model, sample=nothing).golden.records == ()


def test_the_reference_is_the_histogram_of_the_sample(path: Path) -> None:
    """Of the last probability, else of the prediction; text has none."""
    reference = saved(path).reference
    assert reference is not None
    assert reference.column == "probability_1"
    assert sum(reference.counts) == len(SAMPLE)
    words = LogisticRegression().fit(SAMPLE, ["no", "yes"] * 5)
    assert saved(path, words, methods=["predict"]).reference is None


def test_the_modules_are_all_that_loading_needs(path: Path) -> None:
    """Of the model's own functions too."""
    model = make_pipeline(FunctionTransformer(add_sum), LinearRegression()).fit(SAMPLE, TARGET)
    modules = saved(path, model).modules
    assert {__name__, "sklearn.linear_model._base", "sklearn.pipeline"} <= {*modules}
    assert "__main__" not in modules


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (classifier(), True),
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(SAMPLE, TARGET), True),
        (make_pipeline(FunctionTransformer(np.abs), LinearRegression()).fit(SAMPLE, TARGET), True),
        (make_pipeline(FunctionTransformer(add_sum), LinearRegression()).fit(SAMPLE, TARGET), False),
    ],
    ids=["estimator", "pipeline", "numpy function", "own function"],
)  # fmt: skip
def test_only_what_is_scikit_learns_own_is_called_by_several_threads(
    path: Path, model: Any, *, expected: bool
) -> None:
    """Nobody knows whether a function of somebody's may be."""
    assert saved(path, model).is_thread_safe is expected


def test_a_sample_without_names_is_numbered(path: Path) -> None:
    """A model that was fitted on an array reads the columns in their order."""
    model = LogisticRegression().fit(SAMPLE.to_numpy(), TARGET)
    sidecar = saved(path, model, sample=pd.DataFrame(SAMPLE.to_numpy()))
    assert [column.name for column in sidecar.columns] == ["0", "1"]
    assert sidecar.features is None


def test_the_index_of_the_sample_does_not_matter(path: Path) -> None:
    """Training frames are filtered and shuffled."""
    shuffled = SAMPLE.sample(frac=1, random_state=0).set_index(pd.Index(["a"] * 10))
    assert len(saved(path, sample=shuffled, preprocess=None).golden.records) == 10


def test_saving_again_replaces_model_and_sidecar(path: Path) -> None:
    """They fit each other afterwards, and nobody saw half a file."""
    saved(path)
    first = path.stat().st_ino
    sidecar = saved(path, LogisticRegression(C=9).fit(SAMPLE, TARGET))
    assert sidecar.sha256 == hash_file(path)
    assert path.stat().st_ino != first
    assert len([*path.parent.iterdir()]) == 2


# What is refused


@pytest.mark.parametrize(
    ("definition", "model"),
    [
        ("class Mine(LogisticRegression):\n    pass\n", "Mine()"),
        ("def double(frame):\n    return frame * 2\n",
         "make_pipeline(FunctionTransformer(double), LogisticRegression())"),
    ],
)  # fmt: skip
def test_what_the_script_itself_defines_is_refused(
    tmp_path: Path, definition: str, model: str
) -> None:
    """No other process could load it; the message names it and says where to put it."""
    script = (
        "import pandas as pd\nfrom batch.model import save_model\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
        f"{definition}\n"
        "sample = pd.DataFrame({'x': [1.0, 2.0, 3.0]})\n"
        f"model = {model}.fit(sample, [0, 1, 0])\n"
        "try:\n    save_model(model, 'model.joblib', sample=sample)\n"
        "except Exception as error:\n    print(type(error).__name__, error, error.hint)\n"
    )
    found = python(script, tmp_path)
    assert found.stdout.startswith("DoesNotFit"), found.stderr
    assert "(__main__): other processes cannot load it" in found.stdout
    assert "move it into a module in the job folder" in found.stdout
    assert not (tmp_path / "model.joblib").exists()


def test_a_hook_of_the_script_itself_is_refused(tmp_path: Path) -> None:
    """As a class is, before anything is written."""
    script = (
        "import pandas as pd\nfrom batch.model import save_model\n"
        "from sklearn.linear_model import LinearRegression\n"
        "def same(frame):\n    return frame\n"
        "sample = pd.DataFrame({'x': [1.0, 2.0, 3.0]})\n"
        "model = LinearRegression().fit(sample, [0, 1, 0])\n"
        "save_model(model, 'model.joblib', sample=sample, postprocess=same)\n"
    )
    found = python(script, tmp_path)
    assert "DoesNotFit: same is defined in the main script" in found.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["train_it.py"]


def test_functions_without_a_name_are_refused(path: Path) -> None:
    """In the model and as hooks, before anything is written."""
    model = make_pipeline(FunctionTransformer(lambda frame: frame), LinearRegression())
    with pytest.raises(DoesNotFit, match="cannot be saved") as caught:
        saved(path, model.fit(SAMPLE, TARGET))
    assert "no lambdas" in caught.value.hint
    with pytest.raises(DoesNotFit, match=r"the hook .*<lambda> is not a top-level function"):
        saved(path, preprocess=lambda frame: frame)

    def local(frame: pd.DataFrame) -> pd.DataFrame:
        return frame

    for hook in (local, partial(add_sum)):
        with pytest.raises(DoesNotFit, match="not a top-level function"):
            saved(path, preprocess=hook)
    assert not path.exists()


@pytest.mark.parametrize("hook", [drop_some, turn_round])
def test_a_hook_that_moves_rows_is_refused(path: Path, hook: Any) -> None:
    """At once, in the hands of who wrote it."""
    with pytest.raises(DoesNotFit, match="expected the same rows in the same order"):
        saved(path, preprocess=hook)
    assert not path.exists()


def test_a_model_that_does_not_predict_the_sample_is_refused(path: Path) -> None:
    """The cause is told, and that the sample holds raw records."""
    with pytest.raises(DoesNotFit, match=r"cannot predict the sample: ValueError: .*NaN") as caught:
        saved(path, sample=SAMPLE.assign(x=np.nan))
    assert "raw training records" in caught.value.hint
    with pytest.raises(DoesNotFit, match="features missing: y; found x"):
        saved(path, sample=SAMPLE[["x"]])
    assert not path.exists()


def test_a_text_model_needs_to_know_its_column(path: Path) -> None:
    """The hint says how; with the name it is fine."""
    texts = pd.DataFrame({"text": ["late again", "on time"] * 5})
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts["text"], TARGET)
    with pytest.raises(DoesNotFit, match="predictions for 10 records") as caught:
        saved(path, model, sample=texts)
    assert 'features = "NAME"' in caught.value.hint
    assert saved(path, model, sample=texts, features="text").features == "text"


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (SAMPLE.head(0), "the sample has no rows"),
        (pd.concat([SAMPLE, SAMPLE], axis="columns"), "duplicate columns in the sample: x, y"),
        (SAMPLE.assign(z=[[1]] * 10), "column 'z' of the sample: found values of list"),
    ],
)
def test_a_sample_that_says_too_little_is_refused(
    path: Path, sample: pd.DataFrame, message: str
) -> None:
    """Empty, ambiguous, or of values that no input can hold."""
    with pytest.raises(DoesNotFit, match=message):
        saved(path, sample=sample)
    assert not path.exists()


def test_what_fails_leaves_the_old_model(path: Path) -> None:
    """And no temporary file."""
    before = saved(path)
    with pytest.raises(DoesNotFit):
        saved(path, preprocess=drop_some)
    _, sidecar = read_model_file(path)
    assert sidecar == before
    assert len([*path.parent.iterdir()]) == 2


def test_naming_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    """scikit-learn and pandas are imported by who saves a model, not by who looks at the module."""
    found = python(
        "import sys\nimport batch.model\n"
        "print([name for name in ('sklearn', 'pandas', 'numpy', 'pyarrow') if name in sys.modules])\n"
        "from batch.model import save_model\nprint('sklearn' in sys.modules, save_model.__name__)\n"
        "try:\n    batch.model.nothing\nexcept AttributeError as error:\n    print(error)\n",
        tmp_path,
    )
    assert found.stdout.splitlines() == [
        "[]",
        "True save_model",
        "module 'batch.model' has no attribute 'nothing'",
    ]
