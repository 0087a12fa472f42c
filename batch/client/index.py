"""From a key to its row: a hash table in flat arrays.

A Python dict of millions of keys would take several times the memory, stop the application's
other threads while it grows, and be copied page by page in every forked worker.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from batch.arrays import to_arrow, to_numpy
from batch.client.keys import KeyType
from batch.client.values import pylist, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

# Odd, so multiplying by it modulo 2**64 loses nothing; near 2**64 divided by the golden ratio, so
# it spreads keys that follow each other (Knuth, The Art of Computer Programming, 6.4).
_SPREAD = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
_BATCH_ROWS = 4096


class KeyIndex:
    """Finds the latest row of a key.

    A slot is one key. `_hashes` is sorted, `_rows` lies beside it, and `_starts` holds the first
    slot of each value that a hash's leading bits can take. Equal hashes prove nothing: the keys
    themselves are compared before a row wins or is given out.

    `order` holds the numbers of all rows, earliest first; `rows` those of the latest row of each
    key, in the same order.
    """

    def __init__(self, table: pa.Table, key: Sequence[str], order: np.ndarray) -> None:
        import numpy as np

        self._type = KeyType([table.schema.field(name) for name in key])
        self._arrays = [table[name].combine_chunks() for name in key]
        self._key_values = [values_of(array) for array in self._arrays]
        hashes = self._hashes_of(order)
        # Stable: of one hash the latest row comes last.
        slots = np.argsort(hashes, kind="stable")
        slots = slots[self._is_latest(hashes[slots], order[slots])]
        self.rows = order[np.sort(slots)]
        self._hash_array, self._row_array = hashes[slots], order[slots]
        self._hashes, self._rows = self._hash_array.data, self._row_array.data
        bits = max(1, len(slots).bit_length())
        self._shift = 64 - bits
        leading = (self._hash_array >> np.uint64(self._shift)).astype(np.int64)
        counts = np.bincount(leading, minlength=2**bits)
        self._starts = np.concatenate(([0], np.cumsum(counts))).data

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: Any) -> int | None:
        """The row of the key. Raises TypeError for a key that no row could have."""
        kind = self._type
        if not (type(key) is kind.python and kind.is_plain):
            kind.check(key)
        code = (key if kind.is_integer else hash(key)) * _SPREAD & _MASK
        bucket = code >> self._shift
        for slot in range(self._starts[bucket], self._starts[bucket + 1]):
            if self._hashes[slot] == code and self._key_at(self._rows[slot]) == key:
                row: int = self._rows[slot]
                return row
        return None

    def find_many(self, keys: Sequence[Any]) -> list[int | None]:
        """The row of each key, in order. Raises TypeError like `find`."""
        import numpy as np

        for key in keys:
            if not (type(key) is self._type.python and self._type.is_plain):
                self._type.check(key)
        try:
            hashes = self._hashed(keys)
        except OverflowError:  # An integer that no int64 column can hold is among them.
            return [self.find(key) for key in keys]
        # In the order of the table: its memory is then walked once, not at random.
        order = np.argsort(hashes)
        slots = np.empty_like(order)
        slots[order] = np.searchsorted(self._hash_array, hashes[order])
        likely = np.flatnonzero(slots < len(self))
        likely = likely[self._hash_array[slots[likely]] == hashes[likely]]
        rows = self._row_array[slots[likely]]
        answers: list[int | None] = [None] * len(keys)
        there = self._keys_at(rows)
        for place, row, found in zip(likely.tolist(), rows.tolist(), there, strict=True):
            # Two keys of one hash are rare: `find` looks at both.
            answers[place] = row if found == keys[place] else self.find(keys[place])
        return answers

    def _is_latest(self, hashes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether no later row has the same key, for rows sorted by hash and then by time."""
        import numpy as np

        pairs = np.flatnonzero(hashes[1:] == hashes[:-1])
        is_latest = np.ones(len(rows), np.bool_)
        is_latest[pairs] = False
        if self._type.is_integer:  # Equal hashes are equal integers.
            return is_latest
        clashes = pairs[~self._same_keys(rows[pairs], rows[pairs + 1])]
        for value in np.unique(hashes[clashes]):
            start, end = np.searchsorted(hashes, value), np.searchsorted(hashes, value, "right")
            last = dict(zip(self._keys_at(rows[start:end]), range(start, end), strict=True))
            is_latest[list(last.values())] = True
        return is_latest

    def _same_keys(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        import numpy as np
        import pyarrow.compute as pc

        same = np.ones(len(some), np.bool_)
        for array in self._arrays:
            same &= to_numpy(pc.equal(array.take(to_arrow(some)), array.take(to_arrow(others))))
        return same

    def _key_at(self, row: int) -> Any:
        if self._type.is_tuple:
            return tuple(values[row] for values in self._key_values)
        return self._key_values[0][row]

    def _keys_at(self, rows: np.ndarray) -> list[Any]:
        taken = [pylist(array.take(to_arrow(rows))) for array in self._arrays]
        return list(zip(*taken, strict=True)) if self._type.is_tuple else taken[0]

    def _hashes_of(self, rows: np.ndarray) -> np.ndarray:
        import numpy as np

        if self._type.is_integer:
            integers = to_numpy(self._arrays[0].cast("int64"))[rows]
            return _spread(integers)
        hashes = np.empty(len(rows), np.uint64)
        for start in range(0, len(rows), _BATCH_ROWS):
            batch = slice(start, start + _BATCH_ROWS)
            hashes[batch] = self._hashed(self._keys_at(rows[batch]))
            time.sleep(0)  # Other threads need not wait for their turn.
        return hashes

    def _hashed(self, keys: Sequence[Any]) -> np.ndarray:
        """The hash of each key, as `find` computes it for one. May raise OverflowError."""
        import numpy as np

        return _spread(np.fromiter(keys if self._type.is_integer else map(hash, keys), np.int64))


def _spread(codes: np.ndarray) -> np.ndarray:
    import numpy as np

    spread: np.ndarray = codes.view(np.uint64) * np.uint64(_SPREAD)
    return spread
