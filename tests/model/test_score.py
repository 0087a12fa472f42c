"""What the model sees and what becomes of its answers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from batch.errors import DoesNotFit
from batch.model.frames import describe_columns, to_batch, to_frame
from batch.model.score import Scorer
from batch.records.columns import InputColumn

ROWS = 12
NUMBERS = pd.DataFrame({"x": np.arange(ROWS) / 4, "y": np.arange(ROWS)[::-1] ** 2 / 8.0})
TWO = np.arange(ROWS) % 2
THREE = np.arange(ROWS) % 3
WORDS = np.array(["no", "yes"])[TWO]


def scorer_of(model: Any, sample: pd.DataFrame, *methods: Any, **options: Any) -> Scorer:
    """A scorer for records like the sample."""
    names = getattr(model, "feature_names_in_", None)
    features = options.pop("features", None if names is None else tuple(names))
    return Scorer(model, describe_columns(sample), features, methods or ("predict",), **options)


def score(model: Any, sample: pd.DataFrame, *methods: Any, **options: Any) -> dict[str, Any]:
    """Column by column, what the records of the sample get."""
    scorer = scorer_of(model, sample, *methods, **options)
    found = scorer.score(to_batch(sample, scorer.columns))
    assert found.num_rows == len(sample)
    return dict(found.to_pydict())


# What the model sees

moments = pd.Series([datetime(2013, 12, 1, 10, 30), datetime(1999, 1, 1), None])  # noqa: DTZ001
SEEN_IN_TRAINING = {
    "int8": pd.Series([1, -128, 127], dtype="int8"),
    "int32": pd.Series([1, 2, 3], dtype="int32"),
    "int64": pd.Series([1, 2**53 + 1, -(2**62)], dtype="int64"),
    "uint8": pd.Series([1, 2, 255], dtype="uint8"),
    "Int64 with nulls": pd.Series([1, None, 2**53 + 1], dtype="Int64"),
    "Int8": pd.Series([1, 2, 3], dtype="Int8"),
    "UInt16 with nulls": pd.Series([1, None, 65535], dtype="UInt16"),
    "float32": pd.Series([0.5, None, 0.1], dtype="float32"),
    "float64": pd.Series([0.5, None, 0.1], dtype="float64"),
    "Float64": pd.Series([0.5, None, 0.1], dtype="Float64"),
    "Float32": pd.Series([0.5, None, 0.25], dtype="Float32"),
    "bool": pd.Series([True, False, True], dtype="bool"),
    "boolean with nulls": pd.Series([True, None, False], dtype="boolean"),
    "bool objects with nulls": pd.Series([True, np.nan, False], dtype="object"),
    "bool objects": pd.Series([True, False, False], dtype="object"),
    "str": pd.Series(["a", "", "ü"]),
    "str with nulls": pd.Series(["a", None, "ü"]),
    "str objects with nulls": pd.Series(["a", np.nan, "ü"], dtype="object"),
    "str objects": pd.Series(["a", "b", "ü"], dtype="object"),
    "string with nulls": pd.Series(["a", None, "ü"], dtype="string"),
    "category": pd.Series(["b", "a", "b"], dtype=pd.CategoricalDtype(["b", "a", "c"])),
    "category with nulls": pd.Series(["b", None, "b"], dtype=pd.CategoricalDtype(["b", "a"])),
    "ordered category": pd.Series(["S", None, "L"], dtype=pd.CategoricalDtype(["S", "L"], ordered=True)),
    "whole category": pd.Series([7, None, 2**53 + 1], dtype=pd.CategoricalDtype([2**53 + 1, 7])),
    "datetime64[ns]": moments.astype("datetime64[ns]"),
    "datetime64[us]": moments.astype("datetime64[us]"),
    "datetime64[s]": moments.astype("datetime64[s]"),
    "datetime64[ns, UTC]": moments.astype("datetime64[ns]").dt.tz_localize("UTC"),
    "datetime64[us, Berlin]": moments.astype("datetime64[us]").dt.tz_localize("Europe/Berlin"),
    "dates": pd.Series([date(2013, 12, 1), date(1, 1, 1), None], dtype="object"),
    "int64[pyarrow]": pd.Series([1, None, 2**53 + 1], dtype="int64[pyarrow]"),
    "string[pyarrow]": pd.Series(["a", None, "ü"], dtype=pd.ArrowDtype(pa.string())),
    "bool[pyarrow]": pd.Series([True, None, False], dtype="bool[pyarrow]"),
    "double[pyarrow]": pd.Series([0.5, None, 0.1], dtype="double[pyarrow]"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN_IN_TRAINING)
def test_the_model_sees_the_dtypes_of_training(name: str) -> None:
    """The values too, and the dtype does not depend on what a chunk happens to hold."""
    frame = pd.DataFrame({"c": SEEN_IN_TRAINING[name]})
    columns = describe_columns(frame)
    assert columns[0].nullable == frame["c"].isna().any()
    for chunk in (frame, frame.iloc[:1], frame.dropna(), frame.iloc[[1, 1]]):
        expected = chunk.reset_index(drop=True)
        pd.testing.assert_frame_equal(to_frame(to_batch(expected, columns), columns), expected)


@pytest.mark.parametrize("name", ["int8", "uint8", "Int8", "UInt16 with nulls", "int32"])
def test_a_number_that_the_dtype_of_training_cannot_hold_raises(name: str) -> None:
    """NumPy would make another number of it without a word."""
    frame = pd.DataFrame({"c": SEEN_IN_TRAINING[name]})
    too_large = pa.record_batch({"c": pa.array([1, 2**40], pa.int64())})
    with pytest.raises(OverflowError, match="column 'c': a number is too large for"):
        to_frame(too_large, describe_columns(frame))


def test_nulls_that_training_did_not_see() -> None:
    """Become what pandas makes of them: NaN among floats and objects."""
    frame = pd.DataFrame({"i": [1], "b": [True], "f": [0.5], "s": ["a"]})
    columns = describe_columns(frame)
    types = {"i": pa.int64(), "b": pa.bool_(), "f": pa.float64(), "s": pa.string()}
    nulls = pa.record_batch({name: pa.nulls(1, kind) for name, kind in types.items()})
    found = to_frame(nulls, columns)
    assert found.isna().all(axis=None)
    assert [str(found[name].dtype) for name in "ibf"] == ["float64", "object", "float64"]
    assert type(found["b"][0]) is float


def test_without_training_dtypes_follow_the_types() -> None:
    """As the job file or the Parquet file states them."""
    kinds: dict[str, tuple[Any, pa.Array]] = {
        "str": ("string", pa.array(["a"])),
        "int64": ("int64", pa.array([1])),
        "float64": ("float64", pa.array([0.5])),
        "bool": ("bool", pa.array([True])),
        "datetime64[us]": ("date", pa.array([1], pa.date32())),
        "datetime64[us, UTC]": ("timestamp", pa.array([1], pa.timestamp("us", "UTC"))),
    }
    columns = [
        InputColumn(name=name, type=kind, nullable=True) for name, (kind, _) in kinds.items()
    ]
    batch = pa.record_batch({name: values for name, (_, values) in kinds.items()})
    for known in (columns, [InputColumn(name=name, type=None, nullable=True) for name in kinds]):
        found = to_frame(batch, known)
        assert [str(dtype) for dtype in found.dtypes] == [*found.columns] == [*kinds]


def test_a_category_that_training_never_saw_is_null() -> None:
    """Among text and among numbers."""
    frame = pd.DataFrame({"s": pd.Categorical(["a"]), "n": pd.Categorical([1])})
    batch = pa.record_batch({"s": ["a", "z", None], "n": [9, 1, None]})
    found = to_frame(batch, describe_columns(frame))
    assert found["s"].tolist()[0] == "a"
    assert found["s"].isna().tolist() == [False, True, True]
    assert found["n"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.Series([1, "a"], dtype=object), "found values of int, str"),
        (pd.Series([[1], [2]]), "found values of list"),
        (pd.to_timedelta(pd.Series([1, 2])), "found values of Timedelta"),
        (pd.Series(pd.Categorical([0.5, 1.0])), "found the category 0.5"),
        (pd.Series(pd.Categorical([True])), "found the category True"),
    ],
)
def test_samples_of_other_values_are_refused(values: Any, message: str) -> None:
    """With the column and what was found in it."""
    with pytest.raises(DoesNotFit, match=f"'odd'.*{message}"):
        describe_columns(pd.DataFrame({"odd": values}))


# What becomes of its answers


def test_a_binary_classifier() -> None:
    """One prediction, a probability for each class, one score."""
    model = LogisticRegression().fit(NUMBERS, WORDS)
    found = score(model, NUMBERS, "predict", "predict_proba", "decision_function")
    assert [*found] == ["prediction", "probability_no", "probability_yes", "score"]
    assert found["prediction"] == model.predict(NUMBERS).tolist()
    assert found["probability_yes"] == model.predict_proba(NUMBERS)[:, 1].tolist()
    assert found["score"] == model.decision_function(NUMBERS).tolist()


def test_a_classifier_of_several_classes() -> None:
    """A score for each of them."""
    model = LogisticRegression().fit(NUMBERS, THREE)
    found = score(model, NUMBERS, "predict", "decision_function", "predict_proba")
    names = [f"{kind}_{label}" for kind in ("score", "probability") for label in range(3)]
    assert [*found] == ["prediction", *names]
    assert found["score_2"] == model.decision_function(NUMBERS)[:, 2].tolist()


def test_a_boolean_target() -> None:
    """Stays boolean."""
    model = LogisticRegression().fit(NUMBERS, TWO == 1)
    found = score(model, NUMBERS, "predict", "predict_proba")
    assert [*found] == ["prediction", "probability_False", "probability_True"]
    assert {type(value) for value in found["prediction"]} == {bool}


def test_several_outputs_are_numbered() -> None:
    """Of classifiers, whose probabilities are numbered too, and of regressors."""
    targets = np.column_stack([TWO, THREE])
    forest = RandomForestClassifier(3, random_state=0).fit(NUMBERS, targets)
    found = score(forest, NUMBERS, "predict", "predict_proba")
    assert [*found] == [
        "prediction_0", "prediction_1", "probability_0_0", "probability_1_0", "probability_0_1",
        "probability_1_1", "probability_2_1",
    ]  # fmt: skip
    assert found["probability_2_1"] == forest.predict_proba(NUMBERS)[1][:, 2].tolist()
    regressor = LinearRegression().fit(NUMBERS, targets)
    assert [*score(regressor, NUMBERS)] == ["prediction_0", "prediction_1"]


def test_a_regressor_with_a_column_as_target() -> None:
    """Has one prediction."""
    model = LinearRegression().fit(NUMBERS, TWO.reshape(-1, 1))
    assert [*score(model, NUMBERS)] == ["prediction"]


def test_components_of_a_transformer() -> None:
    """Are numbered, sparse or not."""
    means = KMeans(3, n_init=1, random_state=0).fit(NUMBERS)
    found = score(means, NUMBERS, "predict", "transform")
    assert [*found] == ["prediction", "component_0", "component_1", "component_2"]
    one_hot = OneHotEncoder().fit(pd.DataFrame({"s": WORDS}))
    assert score(one_hot, pd.DataFrame({"s": WORDS}), "transform")["component_1"] == TWO.tolist()
    as_frame = PCA(1).set_output(transform="pandas").fit(NUMBERS)
    assert [*score(as_frame, NUMBERS, "transform")] == ["component_0"]


def test_a_model_fitted_on_an_array() -> None:
    """Gets an array, of all columns or of those that the job names, in that order."""
    model = LogisticRegression().fit(NUMBERS.to_numpy(), TWO)
    expected = model.predict(NUMBERS.to_numpy()).tolist()
    assert score(model, NUMBERS)["prediction"] == expected
    more = NUMBERS.assign(z=1.0)[["z", "y", "x"]]
    assert score(model, more, features=("x", "y"))["prediction"] == expected


class Picked(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step that picks a column by its name, and counts and names none, as many do."""

    def fit(self, X: Any, y: Any = None) -> Picked:  # noqa: ARG002, N803
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return X[["x"]].to_numpy()


def test_a_model_that_says_nothing_of_its_columns() -> None:
    """Gets a frame, as its first step is likely to be one of the user's own."""
    model = make_pipeline(Picked(), LinearRegression()).fit(NUMBERS, TWO)
    expected = model.predict(NUMBERS).tolist()
    assert score(model, NUMBERS)["prediction"] == expected
    assert score(model, NUMBERS[["y", "x"]], features=("y", "x"))["prediction"] == expected


def test_features_come_in_the_order_of_training() -> None:
    """Whatever the order of the columns and whatever else is there."""
    model = LogisticRegression().fit(NUMBERS, TWO)
    more = NUMBERS.assign(z="text")[["z", "y", "x"]]
    assert score(model, more)["prediction"] == model.predict(NUMBERS).tolist()


def test_a_missing_feature_is_named() -> None:
    """With what is there, and how to mend it."""
    model = LogisticRegression().fit(NUMBERS, TWO)
    with pytest.raises(DoesNotFit, match=r"features missing: y; found x") as caught:
        score(model, NUMBERS[["x"]])
    assert "input.columns" in caught.value.hint


TEXTS = pd.DataFrame({"text": ["late again", "on time", "late", "time"] * 3})


def test_a_text_model_reads_one_column() -> None:
    """As a Series; without it the rows do not come out right, and the hint says what to do."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS["text"], TWO)
    found = score(model, TEXTS, features="text")
    assert found["prediction"] == model.predict(TEXTS["text"]).tolist()
    vectorizer = TfidfVectorizer().fit(TEXTS["text"])
    vectorizer.feature_names_in_ = np.array(["text"])  # Like a wrapper that passes frames on.
    with pytest.raises(DoesNotFit, match="predictions for 12 records") as caught:
        score(vectorizer, TEXTS, "transform")
    assert 'features = "NAME"' in caught.value.hint


def test_equal_records_get_equal_predictions_in_any_chunk() -> None:
    """For a pipeline over text, categories, booleans and nulls, down to single records."""
    frame = pd.DataFrame({
        "s": pd.Series(["a", None, "b"] * 4), "c": pd.Categorical(["u", "v", None] * 4),
        "b": pd.Series([True, None, False] * 4, dtype=object), "x": [0.5, None, 1.0] * 4,
        "i": np.arange(ROWS, dtype="int32"),
    })  # fmt: skip
    encoded = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("text", encoded, ["s", "c", "b"])], remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1))
    model.set_params(columntransformer__sparse_threshold=0).fit(frame, THREE)
    scorer = scorer_of(model, frame, "predict_proba")
    batch = to_batch(frame, scorer.columns)
    whole = scorer.score(batch).to_pylist()
    assert whole[0] == dict(zip(whole[0], model.predict_proba(frame)[0].tolist(), strict=True))
    for size in (1, 2, 5):
        pieces = [batch.slice(start, size) for start in range(0, ROWS, size)]
        assert [row for piece in pieces for row in scorer.score(piece).to_pylist()] == whole


# Hooks


@pytest.mark.parametrize(
    "steps",
    [
        [StandardScaler(), LogisticRegression()],
        [StandardScaler(), PCA(1), RandomForestClassifier(5, random_state=0)],
        ["passthrough", HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=2)],
        [make_pipeline(StandardScaler(), PCA(1)), KNeighborsClassifier(3)],
    ],
)
def test_methods_of_a_pipeline_give_what_each_gives_alone(steps: list[Any]) -> None:
    """They share the steps before the last one, and not a bit of their answers is another."""
    model = make_pipeline(*steps).fit(NUMBERS, TWO)
    found = score(model, NUMBERS, "predict", "predict_proba")
    assert found["prediction"] == model.predict(NUMBERS).tolist()
    assert found["probability_1"] == model.predict_proba(NUMBERS)[:, 1].tolist()


@pytest.mark.parametrize("target", [TWO, THREE, WORDS])
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(2, random_state=3),
        ExtraTreesClassifier(4, max_depth=2, random_state=0),
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3),
        GradientBoostingClassifier(n_estimators=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_trees_say_the_class_that_they_say_alone(model: Any, target: Any) -> None:
    """Also where two classes are equally probable, as two trees that disagree have it."""
    numbers = pd.concat([NUMBERS, NUMBERS / 2, NUMBERS - 1], ignore_index=True)
    model = clone(model).fit(NUMBERS, target)
    found = score(model, numbers, "predict", "predict_proba")
    assert found["prediction"] == model.predict(numbers).tolist()
    alone = score(model, numbers, "predict_proba")
    assert {name: found[name] for name in alone} == alone
    assert list(found) == ["prediction", *alone]


def test_a_forest_that_knows_one_class_says_it() -> None:
    """There is no second probability to compare with."""
    model = RandomForestClassifier(2).fit(NUMBERS, np.zeros(ROWS))
    assert set(score(model, NUMBERS, "predict", "predict_proba")["prediction"]) == {0.0}


def test_several_outputs_of_a_forest_are_asked_one_by_one() -> None:
    """Each has probabilities of its own."""
    both = np.column_stack([TWO, THREE])
    model = RandomForestClassifier(3, random_state=0).fit(NUMBERS, both)
    found = score(model, NUMBERS, "predict", "predict_proba")
    assert found["prediction_1"] == model.predict(NUMBERS)[:, 1].tolist()


def test_a_frame_of_floats_is_what_it_would_be_column_by_column() -> None:
    """Types, nulls, names and index; whatever stands beside them."""
    floats = pd.DataFrame({"x": [1.5, np.nan, -0.0], "y": [np.inf, 2.0, 1e-300]})
    columns = describe_columns(floats)
    beside = describe_columns(floats.assign(z=["a", "b", "c"]))
    alone = to_frame(to_batch(floats, columns), columns)
    mixed = to_frame(to_batch(floats.assign(z=["a", "b", "c"]), beside), beside)
    pd.testing.assert_frame_equal(alone, mixed[["x", "y"]])
    pd.testing.assert_frame_equal(alone, floats)


def test_several_threads_may_score_at_once_and_warn_nobody() -> None:
    """And afterwards warnings are what they were."""

    class Talkative(LinearRegression):
        def predict(self, features: Any) -> Any:
            time.sleep(0.001)
            warnings.warn("under cron this would be a mail", stacklevel=1)
            return super().predict(features)

    scorer = scorer_of(Talkative().fit(NUMBERS, TWO), NUMBERS)
    batch, before = to_batch(NUMBERS, scorer.columns), list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(8) as threads:
        warnings.simplefilter("always")
        inside = list(warnings.filters)
        list(threads.map(scorer.score, [batch] * 50))
        assert warnings.filters == inside
    assert caught == []
    assert warnings.filters == before


def test_hooks_stand_before_and_after_the_model() -> None:
    """Preprocess makes features of raw columns, postprocess has the last word on the columns."""
    model = LogisticRegression().fit(NUMBERS.assign(z=NUMBERS.x * 2), TWO)
    found = score(
        model,
        NUMBERS,
        "predict_proba",
        preprocess=lambda frame: frame.assign(z=frame.x * 2),
        postprocess=lambda frame: pd.DataFrame({
            "late": frame["probability_1"] > 0.5, "why": "because", "at": pd.Timestamp("2013-12-01"),
            "nothing": None, "small": np.int8(3), "kind": pd.Categorical(["u"] * len(frame)),
        }),
    )  # fmt: skip
    expected = model.predict(NUMBERS.assign(z=NUMBERS.x * 2)) == 1
    assert found["late"] == expected.tolist()
    moment = datetime(2013, 12, 1, tzinfo=UTC)
    rest = {"why": "because", "at": moment, "nothing": None, "small": 3, "kind": "u"}
    assert {name: values[0] for name, values in found.items() if name != "late"} == rest


def test_parts_have_few_types() -> None:
    """Text, 64-bit whole numbers, floats, and moments in microseconds UTC."""

    def after(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({
            "text": ["a"] * len(frame), "null": None, "whole": np.int8(1), "masked": pd.array([1] * len(frame)),
            "at": pd.Timestamp("2013-12-01T10:00+01:00"), "kind": pd.Categorical(["u"] * len(frame)),
        })  # fmt: skip

    scorer = scorer_of(LinearRegression().fit(NUMBERS, TWO), NUMBERS, postprocess=after)
    found = scorer.score(to_batch(NUMBERS, scorer.columns)).schema
    moment = pa.timestamp("us", "UTC")
    assert found.types == [pa.string(), pa.string(), pa.int64(), pa.int64(), moment, pa.string()]


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (lambda frame: frame.iloc[1:], "got 12 rows and returned 11"),
        (lambda frame: frame.iloc[::-1], "changed their order or index"),
        (lambda frame: frame.set_index("x"), "changed their order or index"),
        (lambda frame: pd.concat([frame, frame]), "returned 24"),
        (lambda frame: frame.iloc[1:].reset_index(drop=True), "returned 11"),
        (lambda frame: frame.to_numpy(), "returned ndarray, expected a DataFrame"),
        (lambda frame: None, "returned NoneType"),  # noqa: ARG005
        (lambda frame: pd.concat([frame, frame], axis="columns"), "duplicate columns"),
        (lambda frame: frame[[]], "returned no columns"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("which", ["preprocess", "postprocess"])
def test_a_hook_keeps_every_row_in_its_place(which: str, hook: Any, message: str) -> None:
    """Rows dropped, added or moved would give records the predictions of others."""
    model = LinearRegression().fit(NUMBERS, NUMBERS)
    named: dict[str, Any] = {which: hook}
    if which == "postprocess":
        named["postprocess"] = lambda frame: hook(frame.rename(columns={"prediction_0": "x"}))
    with pytest.raises(DoesNotFit, match=f"the {which} hook .*{message}"):
        score(model, NUMBERS, **named)


def test_what_the_model_raises_passes_through() -> None:
    """Whoever calls finds the records it comes from."""
    model = LogisticRegression().fit(NUMBERS, TWO)
    with pytest.raises(ValueError, match="NaN"):
        score(model, NUMBERS.assign(x=np.nan))


# Threads


def test_one_thread_means_every_estimator_within() -> None:
    """Also those that were fitted, which are copies of the parameters."""
    forest = RandomForestClassifier(2, n_jobs=2, random_state=0)
    voting = VotingClassifier([("f", forest), ("k", KNeighborsClassifier(n_jobs=2))], n_jobs=2)
    bagging = BaggingClassifier(forest, 2, n_jobs=2, random_state=0)
    model = VotingClassifier([("v", voting), ("b", bagging)], n_jobs=2).fit(NUMBERS, TWO)
    pipeline = make_pipeline(StandardScaler(), model).fit(NUMBERS, TWO)
    scorer = scorer_of(pipeline, NUMBERS)
    before = score(pipeline, NUMBERS)
    scorer.use_one_thread()
    fitted_voting, fitted_bagging = pipeline[-1].estimators_
    inner = [model, fitted_voting, fitted_bagging, *fitted_voting.estimators_,
             *fitted_bagging.estimators_]  # fmt: skip
    assert [found.n_jobs for found in inner if found is not model] == [1] * 6
    assert pipeline[-1].n_jobs == 1
    assert score(pipeline, NUMBERS) == before


def test_a_model_that_is_no_estimator_keeps_its_threads() -> None:
    """It says nothing of them."""

    class Constant:
        """Predicts the same for everything."""

        def predict(self, X: Sequence[Any]) -> Any:  # noqa: N803
            return np.zeros(len(X))

    scorer = scorer_of(Constant(), NUMBERS)
    scorer.use_one_thread()
    assert scorer.score(to_batch(NUMBERS, scorer.columns)).num_rows == ROWS


@pytest.mark.parametrize(
    "model",
    [KNeighborsClassifier(2), SVC(), SGDClassifier(random_state=0), RandomForestRegressor(2)],
    ids=lambda model: type(model).__name__,
)
def test_scoring_changes_neither_records_nor_model(model: Any) -> None:
    """Two times the same answer."""
    model.fit(NUMBERS, TWO)
    scorer = scorer_of(model, NUMBERS)
    batch = to_batch(NUMBERS, scorer.columns)
    first = scorer.score(batch)
    assert scorer.score(batch) == first
    assert batch.to_pydict() == NUMBERS.to_dict("list")
