"""The rule that finds the latest row of each key: it depends on inputs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.records.arrays import in_one, to_arrow, to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

#: The latest row of a key is the one with the greatest of these, compared in this order.
LATEST_BY = ("_as_of", "_input", "_row")


def earliest_first(table: pa.Table) -> np.ndarray:
    """Row numbers sorted by `LATEST_BY`; quick where the parts come nearly sorted."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    as_of, inputs, row = (in_one(table[name]) for name in LATEST_BY)
    if pa.types.is_dictionary(inputs.type):
        rank = to_numpy(pc.rank(inputs.dictionary).cast("int64"))[to_numpy(inputs.indices)]
    else:  # No part at all: there was nothing to encode.
        rank = np.zeros(0, np.int64)
    keys = (to_numpy(row), rank, to_numpy(as_of.cast("int64")))
    return np.arange(len(rank)) if _are_sorted(keys) else np.lexsort(keys)


def _are_sorted(keys: Sequence[np.ndarray]) -> bool:
    """Whether numbers are in the order that `np.lexsort` gives them: the last ones decide first."""
    import numpy as np

    falls = np.zeros(max(0, len(keys[0]) - 1), np.bool_)
    for key in keys:
        before, after = key[:-1], key[1:]
        falls = (after < before) | ((after == before) & falls)
    return not falls.any()


def key_codes(table: pa.Table, key: Sequence[str]) -> np.ndarray:
    """A number for each key: equal for equal keys, from 0 in the order of first appearance."""
    import numpy as np

    codes = np.zeros(table.num_rows, np.int64)
    for index, name in enumerate(key):
        column = _codes(table[name])
        # Both are below the number of rows, so their product fits; the new codes are below it again.
        codes = (
            column if index == 0 else _codes(to_arrow(codes * (column.max(initial=0) + 1) + column))
        )
    return codes


def _codes(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    encoded = column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        # One dictionary grows over all chunks, so the codes of one chunk are good for all.
        encoded = [chunk.indices for chunk in encoded.chunks]
        return np.concatenate([np.zeros(0, np.int64), *(to_numpy(chunk) for chunk in encoded)])
    codes: np.ndarray = to_numpy(encoded.indices).astype(np.int64)
    return codes
