"""Between Arrow and NumPy without copies, and without pandas.

Arrow's own `to_numpy`, `array` and `scalar` import pandas where it is installed: half a second
and 50 MB that whoever only reads predictions has no use for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa


#: Bytes looked at together: what lies in the cache is looked at fastest.
_GLANCE_BYTES = 1 << 18


def to_numpy(array: pa.Array) -> np.ndarray:
    """The values of a numeric or boolean array, read-only; anything where it is null."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(array.type):
        return to_numpy(array.cast("uint8")).view(np.bool_)
    buffers = [None, array.buffers()[1]]
    whole = pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset)
    found: np.ndarray = np.from_dlpack(whole)
    return found


def in_one(chunks: pa.ChunkedArray) -> pa.Array:
    """All values in one array; Arrow's `combine_chunks` would copy a single one, too."""
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def to_arrow(numbers: np.ndarray) -> pa.Array:
    """An int64 array of the same memory."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def text_buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each text begins, where the last one ends, and the bytes of all; nothing is copied."""
    import numpy as np
    import pyarrow as pa

    _, offsets, data = texts.buffers()
    kind = pa.int64() if pa.types.is_large_string(texts.type) else pa.int32()
    if offsets is None:  # Of no text at all.
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    begins = pa.Array.from_buffers(kind, len(texts) + 1, [None, offsets], offset=texts.offset)
    return to_numpy(begins), np.frombuffer(data or b"", np.uint8)


def text_array(texts: Sequence[str], kind: pa.DataType) -> pa.Array:
    """The texts as an array of this type. Raises UnicodeEncodeError."""
    import numpy as np
    import pyarrow as pa

    data = "".join(texts).encode()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if lengths.sum() < len(data):  # Some characters are of several bytes.
        lengths = np.fromiter((len(text.encode()) for text in texts), np.int64, len(texts))
    begins = np.concatenate(([0], np.cumsum(lengths)))
    offsets = begins.astype(np.int64 if pa.types.is_large_string(kind) else np.int32)
    return pa.Array.from_buffers(
        kind, len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def arrow_owned(data: bytes) -> pa.Buffer:
    """A copy that Arrow's threads may let go of at any time.

    One that lets go of Python's own bytes while the process ends aborts it (apache/arrow#34314).
    """
    import numpy as np
    import pyarrow as pa

    buffer = pa.allocate_buffer(len(data))
    # By NumPy: other threads run meanwhile.
    np.copyto(np.frombuffer(buffer, np.uint8), np.frombuffer(data, np.uint8))
    return buffer


def has_nan(values: pa.Array) -> bool:
    """Whether a float array holds NaN. Arrays of other types do not."""
    import numpy as np
    import pyarrow as pa

    return pa.types.is_floating(values.type) and bool(np.isnan(to_numpy(values)).any())


def glances(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Bytes in parts that fit into the cache, each with its position."""
    for start in range(0, len(data), _GLANCE_BYTES):
        yield start, data[start : start + _GLANCE_BYTES]


def may_contain(texts: pa.Array, byte: int) -> bool:
    """Whether the memory of an array of strings has a byte in it: if not, no string has."""
    import numpy as np

    data = texts.buffers()[2]
    return bool(data) and contains(np.frombuffer(data, np.uint8), byte)


def contains(data: np.ndarray, byte: int) -> bool:
    """Whether a byte is there."""
    return any((glance == byte).any() for _, glance in glances(data))
