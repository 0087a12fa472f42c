"""The columns a job reads: types, matching Arrow types, and how text becomes values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batch.records.documents import Document

if TYPE_CHECKING:
    import pyarrow as pa

INPUT, ROW, AS_OF = "_input", "_row", "_as_of"
OUR_COLUMNS = (INPUT, ROW, AS_OF)
Scalar = str | int | float | bool | None
#: The manifest's names of types, where Arrow's differ.
_TYPE_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16",
               "date32[day]": "date", "timestamp[us, tz=UTC]": "timestamp"}  # fmt: skip
ColumnType = Literal["string", "int64", "float64", "bool", "date", "timestamp", "category"]
#: The texts pandas reads as null by default (pandas.read_csv, parameter `na_values`).
PANDAS_NULLS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
#: In a key only the empty text is null.
KEY_NULLS = ("",)


class InputColumn(Document, frozen=True):
    """One column of the records.

    A `type` of None means the type of the Parquet file. `dtype` is the pandas dtype in training,
    `categories` are those of a category column in training order, which matters if it is `ordered`.
    """

    name: str
    type: ColumnType | None
    nullable: bool
    dtype: str | None = None
    categories: tuple[str | int, ...] | None = None
    ordered: bool = False
    format: str | None = None
    timezone: str | None = None


class TextOptions(Document, frozen=True):
    """How the text of an input is parsed; `names` None: the first line has the column names."""

    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...] | None
    null_values: tuple[str, ...]


def arrow_type(column: InputColumn) -> pa.DataType:
    """The Arrow type of a column with a declared type, in memory and in parts."""
    import pyarrow as pa

    match column.type:
        case "int64":
            return pa.int64()
        case "float64":
            return pa.float64()
        case "bool":
            return pa.bool_()
        case "date":
            return pa.date32()
        case "timestamp":
            return pa.timestamp("us", "UTC")
        case "category" if column.categories and isinstance(column.categories[0], int):
            return pa.int64()
        case _:
            return pa.string()


def type_name(kind: pa.DataType) -> str:
    """The manifest's name of an Arrow type."""
    return _TYPE_NAMES.get(str(kind), str(kind))


def named_type(name: str) -> pa.DataType:
    """The Arrow type of a name in a manifest. Raises ValueError for an unknown name."""
    import pyarrow as pa

    named = {"date": pa.date32(), "timestamp": pa.timestamp("us", "UTC")}
    return named.get(name) or pa.type_for_alias(name)


def type_of_arrow(kind: pa.DataType) -> ColumnType | None:
    """The column type that can hold an Arrow type of a Parquet file, None if there is none."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return type_of_arrow(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return "string" if kind.extension_name == "arrow.uuid" else type_of_arrow(kind.storage_type)
    candidates: list[tuple[ColumnType, bool]] = [
        (
            "string",
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind),
        ),
        # Databases export integers, keys among them, as decimals without a fraction.
        (
            "int64",
            (types.is_integer(kind) and kind != pa.uint64())
            or (types.is_decimal(kind) and kind.scale <= 0),
        ),
        ("float64", types.is_floating(kind) or types.is_decimal(kind)),
        ("bool", types.is_boolean(kind)),
        ("date", types.is_date(kind)),
        ("timestamp", types.is_timestamp(kind)),
    ]
    return next((name for name, matches in candidates if matches), None)


def compression_of(path: str) -> str | None:
    """`gzip`, `zstd` or None, from the suffix."""
    return {".gz": "gzip", ".zst": "zstd"}.get(Path(path).suffix)
