"""Convert between Arrow and the DataFrame for the model: with the dtypes of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batch.errors import DoesNotFit
from batch.records.arrays import to_numpy
from batch.records.columns import InputColumn, arrow_type, type_of_arrow

if TYPE_CHECKING:
    from batch.records.columns import ColumnType

_EXTENSIONS = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_frame(batch: pa.RecordBatch, columns: Sequence[InputColumn]) -> pd.DataFrame:
    """The columns of a typed batch as the model expects them; one row per record, index from 0.

    Without a dtype from training: string → str (object in pandas 2), int64 → int64 (float64 with
    nulls), float64, bool → bool (object with nulls), date → datetime64[us], timestamp →
    datetime64[us, UTC], category → category.
    """
    if all(_is_plain(batch.column(column.name), column) for column in columns):
        return _plain_frame(batch, [column.name for column in columns])
    series = {column.name: _series(batch.column(column.name), column) for column in columns}
    return pd.DataFrame(series, index=pd.RangeIndex(batch.num_rows))


def _is_plain(values: pa.Array, column: InputColumn) -> bool:
    return values.type == pa.float64() and column.dtype in {None, "float64"}


def _plain_frame(batch: pa.RecordBatch, names: list[str]) -> pd.DataFrame:
    """All columns are float64: filled into one block, which avoids the copy that Series would need."""
    block = np.empty((len(names), batch.num_rows))
    for row, name in zip(block, names, strict=True):
        values = batch.column(name)
        row[:] = to_numpy(values)
        if values.null_count:
            row[to_numpy(pc.is_null(values))] = np.nan
    return pd.DataFrame(block.T, columns=names, copy=False)


def describe_columns(sample: pd.DataFrame) -> tuple[InputColumn, ...]:
    """The columns of a frame of raw training records."""
    names = [str(name) for name in sample.columns]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise DoesNotFit(f"duplicate columns in the sample: {', '.join(duplicates)}")
    return tuple(_describe(name, sample.iloc[:, position]) for position, name in enumerate(names))


def to_batch(frame: pd.DataFrame, columns: Sequence[InputColumn]) -> pa.RecordBatch:
    """The inverse of `to_frame`, for training frames."""
    arrays = [_array(frame[column.name], column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])


def _series(values: pa.Array, column: InputColumn) -> pd.Series[Any]:
    dtype = column.dtype or ""
    if dtype.endswith("[pyarrow]"):
        return _astype(_pandas(values, pd.ArrowDtype), column)
    match column.type or type_of_arrow(values.type):
        case "category":
            return _categories(values, column)
        case "string":
            return _texts(_pandas(values), dtype)
        case "date" | "timestamp":
            return _moments(values, column)
        case "int64" | "bool" if dtype.startswith(("I", "U", "boolean")):
            return _astype(_pandas(values, _EXTENSIONS.get), column)
        case "bool" if values.null_count or dtype == "object":
            return _texts(_pandas(values), "object")
        case "int64" if values.null_count:
            return _pandas(values)
        case _:
            return _astype(_pandas(values), column)


def _pandas(values: pa.Array, types: Callable[[pa.DataType], Any] | None = None) -> pd.Series[Any]:
    series: pd.Series[Any] = values.to_pandas(types_mapper=types)
    return series


def _categories(values: pa.Array, column: InputColumn) -> pd.Series[Any]:
    """Categories not seen in training become null."""
    known = pa.array(column.categories or (), values.type)
    values = pc.if_else(pc.is_in(values, value_set=known), values, pa.scalar(None, values.type))
    dtype = pd.CategoricalDtype(known.to_pylist(), ordered=column.ordered)
    # Via Int64: a float would lose digits of large categories.
    return _pandas(values, _EXTENSIONS.get).astype(dtype)


def _texts(series: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    """Text with NaN for null, as pandas reads it, unless the training dtype is an extension type."""
    if dtype.startswith("string"):
        return series.astype(pd.StringDtype())
    series = series.astype(object) if dtype == "object" else series
    return series.where(series.notna(), np.nan)


def _astype(series: pd.Series[Any], column: InputColumn) -> pd.Series[Any]:
    """The series in the training dtype. Raises OverflowError for a number that is too large."""
    dtype: Any = column.dtype
    if dtype in {None, "object", str(series.dtype)}:
        return series
    converted: pd.Series[Any] = series.astype(dtype)
    if pd.api.types.is_integer_dtype(converted.dtype) and not (converted == series).all():
        # NumPy would turn 300 into 44, and the model would predict for 44.
        raise OverflowError(
            f"column {column.name!r}: a number is too large for {dtype}, the dtype in training"
        )
    return converted


def _moments(values: pa.Array, column: InputColumn) -> pd.Series[Any]:
    if not pa.types.is_date(values.type):
        series = _pandas(values)
        if column.dtype and "," not in column.dtype:  # Timestamps in training had no zone.
            series = series.dt.tz_localize(None)
        return _astype(series, column)
    if column.dtype == "object":
        return _pandas(values)
    return _astype(_pandas(values.cast(pa.timestamp("us"))), column)


def _describe(name: str, series: pd.Series[Any]) -> InputColumn:
    categories, ordered = None, False
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = tuple(_category(name, value) for value in series.dtype.categories)
        ordered = bool(series.dtype.ordered)
    return InputColumn(
        name=name,
        type=_type_of(name, series),
        nullable=bool(series.isna().any()),
        dtype=str(series.dtype),
        categories=categories,
        ordered=ordered,
    )


def _category(name: str, value: object) -> str | int:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise DoesNotFit(
        f"column {name!r}: found the category {value!r}, expected text or integers",
        "convert the categories to text before training",
    )


def _type_of(name: str, series: pd.Series[Any]) -> ColumnType:
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
    types = set(map(type, series.dropna()))
    if all(issubclass(kind, str) for kind in types):
        return "string"
    if all(issubclass(kind, bool | np.bool_) for kind in types):
        return "bool"
    if types == {date}:
        return "date"
    names = ", ".join(sorted(kind.__name__ for kind in types))
    raise DoesNotFit(
        f"column {name!r} of the sample: found values of {names}, expected text, "
        "numbers, booleans, dates or timestamps",
        "remove it from the sample, or convert it in the preprocess hook",
    )


def _array(series: pd.Series[Any], column: InputColumn) -> pa.Array:
    if column.type == "category":
        series = series.astype(object)
    if column.type == "timestamp" and series.dt.tz is None:
        series = series.dt.tz_localize("UTC")
    return pa.array(series, from_pandas=True).cast(arrow_type(column), safe=False)
