"""Single values out of Arrow columns, several times faster than Arrow's own scalars.

They read the column's memory in place: processes that fork after loading share it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from batch.arrays import to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Instants that occur this often on average are made once for each distinct one.
_OFTEN = 8


class Values(Protocol):
    """The value of each row as a Python object, None for null."""

    def __getitem__(self, row: int, /) -> Any: ...


def values_of(array: pa.Array) -> Values:
    """The values of an array of any type."""
    import pyarrow as pa

    types, kind = pa.types, array.type
    values: Values
    if types.is_dictionary(kind):
        values = _Coded(array)
    elif types.is_string(kind) or types.is_large_string(kind):
        values = _Text(array)
    elif kind == pa.timestamp("us", "UTC"):
        encoded = array.dictionary_encode()
        few = len(encoded.dictionary) * _OFTEN < len(array)
        values = _Coded(encoded) if few else _Instants(array)
    elif types.is_signed_integer(kind) or types.is_boolean(kind) or kind == pa.float64():
        values = to_numpy(array).data
    else:
        return _Any(array)
    return _Nullable(values, array) if array.null_count else values


def pylist(array: pa.Array) -> list[Any]:
    """All values of an array: `to_pylist`, faster for what predictions consist of."""
    import pyarrow as pa

    types, kind = pa.types, array.type
    if types.is_dictionary(kind) and not array.null_count:
        values = pylist(array.dictionary)
        return [values[code] for code in to_numpy(array.indices).tolist()]
    if kind == pa.timestamp("us", "UTC"):
        instants = values_of(array)
        return [instants[row] for row in range(len(array))]
    if (types.is_integer(kind) or types.is_floating(kind)) and not array.null_count:
        return list(to_numpy(array).tolist())
    return list(array.to_pylist())


class _Text:
    def __init__(self, array: pa.Array) -> None:
        import pyarrow as pa

        large = pa.types.is_large_string(array.type)
        _, offsets, data = array.buffers()
        self._offsets = memoryview(offsets or bytes(8)).cast("q" if large else "i")[array.offset :]
        self._data = memoryview(data or b"")

    def __getitem__(self, row: int) -> str:
        return str(self._data[self._offsets[row] : self._offsets[row + 1]], "utf-8")


class _Instants:
    def __init__(self, array: pa.Array) -> None:
        self._microseconds = to_numpy(array.cast("int64")).data

    def __getitem__(self, row: int) -> datetime:
        return _EPOCH + timedelta(microseconds=self._microseconds[row])


class _Coded:
    """Few distinct values: each is made once."""

    def __init__(self, array: pa.Array) -> None:
        self._values = pylist(array.dictionary)
        self._codes = to_numpy(array.indices).data

    def __getitem__(self, row: int) -> Any:
        return self._values[self._codes[row]]


class _Nullable:
    def __init__(self, values: Values, array: pa.Array) -> None:
        self._values = values
        self._valid = to_numpy(array.is_valid()).data

    def __getitem__(self, row: int) -> Any:
        return self._values[row] if self._valid[row] else None


class _Any:
    """Types that are rare in predictions: right, and slower."""

    def __init__(self, array: pa.Array) -> None:
        self._array = array

    def __getitem__(self, row: int) -> Any:
        return self._array[row].as_py()
