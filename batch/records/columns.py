"""The columns that a job reads: their types, who says so, and what they are in Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from batch.records.documents import Document

if TYPE_CHECKING:
    import pyarrow as pa

INPUT, ROW, AS_OF = "_input", "_row", "_as_of"
OUR_COLUMNS = (INPUT, ROW, AS_OF)

Scalar = str | int | float | bool | None


class InputColumn(Document, frozen=True):
    """One column of the records.

    A `type` of None means: whatever the Parquet file says. `dtype` is the pandas dtype that the
    model saw in training, `categories` those of a category, in the order of training, which
    means something where it is `ordered`.
    """

    name: str
    type: ColumnType | None
    nullable: bool
    dtype: str | None = None
    categories: tuple[str | int, ...] | None = None
    ordered: bool = False
    format: str | None = None
    timezone: str | None = None


def arrow_type(column: InputColumn) -> pa.DataType:
    """The Arrow type that a column of a known type has in memory and in parts."""
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


#: The names that the manifest gives to types, where Arrow has others.
_TYPE_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16",
               "date32[day]": "date", "timestamp[us, tz=UTC]": "timestamp"}  # fmt: skip


def type_name(found: pa.DataType) -> str:
    """The name that the manifest gives to an Arrow type of a part."""
    return _TYPE_NAMES.get(str(found), str(found))


def named_type(name: str) -> pa.DataType:
    """The Arrow type that a manifest names. Raises ValueError for a name that is none."""
    import pyarrow as pa

    named = {"date": pa.date32(), "timestamp": pa.timestamp("us", "UTC")}
    return named.get(name) or pa.type_for_alias(name)


def type_of_arrow(found: pa.DataType) -> ColumnType | None:
    """The column type that carries an Arrow type of a Parquet file, None if there is none."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(found):
        return type_of_arrow(found.value_type)
    kinds: list[tuple[ColumnType, bool]] = [
        (
            "string",
            types.is_string(found) or types.is_large_string(found) or types.is_string_view(found),
        ),
        # A decimal without a fraction is how databases export whole numbers, keys among them.
        (
            "int64",
            (types.is_integer(found) and found != pa.uint64())
            or (types.is_decimal(found) and found.scale <= 0),
        ),
        ("float64", types.is_floating(found) or types.is_decimal(found)),
        ("bool", types.is_boolean(found)),
        ("date", types.is_date(found)),
        ("timestamp", types.is_timestamp(found)),
    ]
    return next((kind for kind, holds in kinds if holds), None)


ColumnType = Literal["string", "int64", "float64", "bool", "date", "timestamp", "category"]
