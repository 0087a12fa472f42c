"""The feature engineering that belongs to the model: training and every run call it."""

import pandas as pd
from pandas import DataFrame

#: The raw columns the features are computed from. All are known at take-off.
RAW_COLUMNS = (
    "year",
    "month",
    "day",
    "sched_dep_time",
    "dep_delay",
    "sched_arr_time",
    "carrier",
    "origin",
    "dest",
    "distance",
)
CATEGORIES = ("carrier", "origin", "dest")
NUMBERS = (
    "month",
    "weekday",
    "scheduled_hour",
    "departure_hour",
    "dep_delay",
    "scheduled_minutes",
    "distance",
)

MINUTES_PER_DAY = 24 * 60


def add_features(frame: DataFrame) -> DataFrame:
    """Add the features. Each row is computed from that row alone; rows and order do not change.

    The scheduled times are local times written as numbers (1545 is 15:45), so `scheduled_minutes`
    is off by the time difference between the two airports: a constant for each destination, and
    the model knows the destination.
    """
    leaves = _minute_of_day(frame["sched_dep_time"])
    arrives = _minute_of_day(frame["sched_arr_time"])
    return frame.assign(
        weekday=pd.to_datetime(frame[["year", "month", "day"]]).dt.day_of_week,
        scheduled_hour=leaves / 60,
        departure_hour=(leaves + frame["dep_delay"]) % MINUTES_PER_DAY / 60,
        scheduled_minutes=(arrives - leaves) % MINUTES_PER_DAY,
    )


def _minute_of_day(clock: "pd.Series[int]") -> "pd.Series[int]":
    return clock // 100 * 60 + clock % 100
