"""Between Arrow and NumPy without copies, and without pandas.

Arrow's own `to_numpy`, `array` and `scalar` import pandas where it is installed: half a second
and 50 MB that whoever only reads predictions has no use for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


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


def to_arrow(numbers: np.ndarray) -> pa.Array:
    """An int64 array of the same memory."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def arrow_owned(data: bytes) -> pa.Buffer:
    """A copy that Arrow's threads may let go of at any time.

    One that lets go of Python's own bytes while the process ends aborts it (apache/arrow#34314).
    """
    import pyarrow as pa

    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return buffer
