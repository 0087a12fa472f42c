"""Between Arrow and the DataFrame that the model sees: the dtypes are those of training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.columns import InputColumn, arrow_type, type_of_arrow
from batch.errors import DoesNotFit

if TYPE_CHECKING:
    from batch.job import ColumnType

_EXTENSIONS = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_frame(batch: pa.RecordBatch, columns: Sequence[InputColumn]) -> pd.DataFrame:
    """The columns of a typed batch as the model wants them; one row a record, index from 0.

    Without a dtype from training: string → str, int64 → int64 (float64 with nulls), float64,
    bool → bool (object with nulls), date → datetime64[us], timestamp → datetime64[us, UTC],
    category → category.
    """
    series = {column.name: _series(batch.column(column.name), column) for column in columns}
    return pd.DataFrame(series, index=pd.RangeIndex(batch.num_rows))


def describe_columns(sample: pd.DataFrame) -> tuple[InputColumn, ...]:
    """What a frame of raw training records says of its columns."""
    return tuple(_describe(str(name), sample[name]) for name in sample.columns)


def to_batch(frame: pd.DataFrame, columns: Sequence[InputColumn]) -> pa.RecordBatch:
    """The inverse of `to_frame`, for frames of training."""
    arrays = [_array(frame[column.name], column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])


def _series(values: pa.Array, column: InputColumn) -> pd.Series:
    dtype = column.dtype or ""
    match column.type or type_of_arrow(values.type):
        case "category":
            return pd.Series(pd.Categorical(values.to_pandas(), categories=column.categories))
        case "string":
            series = values.to_pandas()
            return series.where(series.notna(), np.nan) if values.null_count else series
        case "date" if dtype == "object":
            return values.to_pandas()
        case "date":
            return _astype(values.cast(pa.timestamp("us")).to_pandas(), dtype)
        case "timestamp":
            return _timestamps(values.to_pandas(), dtype)
        case "int64" | "bool" if dtype[:1] in {"I", "U", "b"} and dtype not in {"bool"}:
            return _astype(values.to_pandas(types_mapper=_EXTENSIONS.get), dtype)
        case _ if values.null_count and pa.types.is_boolean(values.type):
            series = values.to_pandas()
            return series.where(series.notna(), np.nan)
        case _ if values.null_count and dtype.startswith(("int", "uint", "bool")):
            return values.to_pandas()
        case _:
            return _astype(values.to_pandas(), dtype)


def _astype(series: pd.Series, dtype: str) -> pd.Series:
    return series.astype(dtype) if dtype and dtype != "object" else series


def _timestamps(series: pd.Series, dtype: str) -> pd.Series:
    if dtype and "," not in dtype:  # Training saw timestamps without a zone.
        series = series.dt.tz_localize(None)
    return _astype(series, dtype)


def _describe(name: str, series: pd.Series) -> InputColumn:
    categories = None
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = tuple(_category(name, value) for value in series.dtype.categories)
    return InputColumn(
        name=name,
        type=_type_of(name, series),
        nullable=bool(series.isna().any()),
        dtype=str(series.dtype),
        categories=categories,
    )


def _category(name: str, value: object) -> str | int:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise DoesNotFit(
        f"column {name!r}: found the category {value!r}, expected text or whole numbers",
        "turn the categories into text before training",
    )


def _type_of(name: str, series: pd.Series) -> ColumnType:
    kinds = pd.api.types
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "category"
    if kinds.is_bool_dtype(series.dtype):
        return "bool"
    if kinds.is_integer_dtype(series.dtype):
        return "int64"
    if kinds.is_float_dtype(series.dtype):
        return "float64"
    if kinds.is_datetime64_any_dtype(series.dtype):
        return "timestamp"
    found = {type(value) for value in series.dropna().unique()}
    if found <= {str}:
        return "string"
    if found <= {bool, np.bool_}:
        return "bool"
    if found == {date}:
        return "date"
    names = ", ".join(sorted(kind.__name__ for kind in found))
    raise DoesNotFit(
        f"column {name!r} of the sample: found values of {names}, expected text, "
        "numbers, booleans, dates or timestamps",
        "leave it out of the sample, or convert it in the preprocess hook",
    )


def _array(series: pd.Series, column: InputColumn) -> pa.Array:
    if column.type == "category":
        series = series.astype(object)
    if column.type == "timestamp" and series.dt.tz is None:
        series = series.dt.tz_localize("UTC")
    return pa.array(series, from_pandas=True).cast(arrow_type(column), safe=False)
