"""Between Arrow and NumPy without copies, and without pandas.

Arrow's own `to_numpy`, `array` and `scalar` import pandas if it is installed: half a second and
50 MB that applications which only read predictions should not pay for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

#: Bytes scanned together: as many as fit into the cache.
_GLANCE_BYTES = 1 << 18
Item = TypeVar("Item")


def to_numpy(array: pa.Array) -> np.ndarray:
    """The values of a numeric or boolean array, read-only; undefined at nulls."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        return to_numpy(array.cast("uint8")).view(np.bool_)
    buffers = [None, array.buffers()[1]]
    whole = pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset)
    values: np.ndarray = np.from_dlpack(whole)
    return values


def in_one(chunks: pa.ChunkedArray) -> pa.Array:
    """All values in one array; Arrow's `combine_chunks` copies even a single chunk."""
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def to_arrow(numbers: np.ndarray) -> pa.Array:
    """An int64 array that shares the memory."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def text_buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The offset of each text, the end of the last one, and the bytes of all; nothing is copied."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = texts.buffers()
    kind = pa.int64() if pa.types.is_large_string(texts.type) else pa.int32()
    if offsets is None:  # An array without texts.
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    begins = pa.Array.from_buffers(kind, len(texts) + 1, [None, offsets], offset=texts.offset)
    return to_numpy(begins), np.frombuffer(data or b"", np.uint8)


def text_array(texts: Sequence[str], kind: pa.DataType) -> pa.Array:
    """The texts as an array of this type. Raises UnicodeEncodeError for lone surrogates."""
    import numpy as np
    import pyarrow as pa

    data = "".join(texts).encode()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if lengths.sum() < len(data):  # Some characters take several bytes.
        lengths = np.fromiter((len(text.encode()) for text in texts), np.int64, len(texts))
    begins = np.concatenate(([0], np.cumsum(lengths)))
    offsets = begins.astype(np.int64 if pa.types.is_large_string(kind) else np.int32)
    return pa.Array.from_buffers(
        kind, len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def arrow_owned(data: bytes) -> pa.Buffer:
    """A copy that Arrow's threads may release at any time.

    A thread that releases Python's own bytes while the process exits aborts it (apache/arrow#34314).
    """
    import numpy as np
    import pyarrow as pa

    buffer = pa.allocate_buffer(len(data))
    # NumPy releases the GIL while it copies.
    np.copyto(np.frombuffer(buffer, np.uint8), np.frombuffer(data, np.uint8))
    return buffer


def has_nan(values: pa.Array) -> bool:
    """Whether an array contains NaN; only float arrays can."""
    import numpy as np
    import pyarrow as pa

    return pa.types.is_floating(values.type) and bool(np.isnan(to_numpy(values)).any())


def glances(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Slices of the bytes that fit into the cache, each with its position."""
    for start in range(0, len(data), _GLANCE_BYTES):
        yield start, data[start : start + _GLANCE_BYTES]


def may_contain(texts: pa.Array, byte: int) -> bool:
    """Whether a byte occurs in the memory of a string array. False: it is in none of the strings."""
    import numpy as np

    data = texts.buffers()[2]
    return bool(data) and contains(np.frombuffer(data, np.uint8), byte)


def contains(data: np.ndarray, byte: int) -> bool:
    """Whether a byte occurs in the data."""
    return any((glance == byte).any() for _, glance in glances(data))


def neighbours(
    items: Iterable[Item], *, size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """All items in order, in lists of a total size up to `most`; a larger item gets its own list."""
    group, group_size = list[Item](), 0
    for item in items:
        if group and group_size + size(item) > most:
            yield group
            group, group_size = [], 0
        group.append(item)
        group_size += size(item)
    if group:
        yield group
