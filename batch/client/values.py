"""Single values out of Arrow columns, several times faster than Arrow's own scalars.

They read the column's memory in place: processes that fork after loading share it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from batch.records.arrays import text_buffers, to_numpy

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
        values = Coded(array)
    elif types.is_string(kind) or types.is_large_string(kind):
        values = _Text(array)
    elif kind == pa.timestamp("us", "UTC"):
        encoded = array.dictionary_encode()
        few = len(encoded.dictionary) * _OFTEN < len(array)
        values = Coded(encoded) if few else _Instants(array)
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
    if types.is_integer(kind) or types.is_floating(kind):
        return _with_nulls(to_numpy(array).tolist(), array)
    if (types.is_string(kind) or types.is_large_string(kind)) and not array.null_count:
        return _texts(array)
    return list(array.to_pylist())


def _with_nulls(values: list[Any], array: pa.Array) -> list[Any]:
    if array.null_count:
        for row in to_numpy(array.is_null()).nonzero()[0].tolist():
            values[row] = None
    return values


def _texts(array: pa.Array) -> list[str]:
    offsets, data = text_buffers(array)
    begins = offsets.tolist()
    whole = data[begins[0] : begins[-1]].tobytes()
    text, first = whole.decode(), begins[0]
    if len(text) < len(whole):  # Some characters are of several bytes.
        return list(array.to_pylist())
    return [text[begin - first : end - first] for begin, end in pairwise(begins)]


class _Text:
    def __init__(self, array: pa.Array) -> None:
        offsets, data = text_buffers(array)
        self._offsets, self._data = offsets.data, data.data

    def __getitem__(self, row: int) -> str:
        return str(self._data[self._offsets[row] : self._offsets[row + 1]], "utf-8")


class _Instants:
    def __init__(self, array: pa.Array) -> None:
        self._microseconds = to_numpy(array.cast("int64")).data

    def __getitem__(self, row: int) -> datetime:
        return _EPOCH + timedelta(microseconds=self._microseconds[row])


class Coded:
    """Few distinct values: each is made once."""

    def __init__(self, array: pa.Array) -> None:
        self.values = pylist(array.dictionary)
        self.codes = to_numpy(array.indices).data

    def __getitem__(self, row: int) -> Any:
        return self.values[self.codes[row]]


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
