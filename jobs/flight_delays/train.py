"""Train the demo model: will a flight about to take off arrive 15 minutes late or more?

    python jobs/flight_delays/train.py

Trains on January to October 2013, evaluates on November, and saves model.joblib with its sidecar
for the job. December is left to the job.
"""

from pathlib import Path

import pandas as pd
from pandas import DataFrame, Series
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from batch.model import save_model
from features import CATEGORIES, NUMBERS, RAW_COLUMNS, add_features
from flights import archive

FEATURES = [*CATEGORIES, *NUMBERS]
LATE_MINUTES = 15


def main() -> None:
    """Train, score and save."""
    flights = landed_flights()
    past, november = flights[flights["month"] <= 10], flights[flights["month"] == 11]
    model = new_model()
    model.fit(add_features(past)[FEATURES], is_late(past))
    print(score(model, november))
    save_model(
        model,
        Path(__file__).with_name("model.joblib"),
        # Raw records, before add_features: the columns a run has to read.
        sample=past[list(RAW_COLUMNS)],
        preprocess=add_features,
        methods=("predict", "predict_proba"),
    )


def landed_flights() -> DataFrame:
    """Flights whose arrival is known: cancelled and diverted ones teach nothing about delays."""
    flights = pd.read_csv(archive(), usecols=[*RAW_COLUMNS, "arr_delay"])
    return flights.dropna(subset=["arr_delay"])


def is_late(flights: DataFrame) -> "Series[bool]":
    """The target."""
    return flights["arr_delay"] >= LATE_MINUTES


def new_model() -> Pipeline:
    """An untrained pipeline; training it on the same data always gives the same model."""
    # Airlines and airports not seen in training count as missing.
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    columns = ColumnTransformer(
        [("categories", encoder, list(CATEGORIES)), ("numbers", "passthrough", list(NUMBERS))]
    )
    classifier = HistGradientBoostingClassifier(
        categorical_features=list(range(len(CATEGORIES))), random_state=2013
    )
    return Pipeline([("columns", columns), ("classifier", classifier)])


def score(model: Pipeline, flights: DataFrame) -> str:
    """One sentence on how well the model separates late flights from punctual ones."""
    late, features = is_late(flights), add_features(flights)[FEATURES]
    area = roc_auc_score(late, model.predict_proba(features)[:, 1])
    accuracy = accuracy_score(late, model.predict(features))
    base = max(late.mean(), 1 - late.mean())
    return (
        f"November: {len(flights):,} flights, area under the ROC curve {area:.3f}; "
        f"accuracy {accuracy:.1%}, against {base:.1%} for always predicting the same."
    )


if __name__ == "__main__":
    main()
