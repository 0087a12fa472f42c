"""From a key to its row, for keys of every type: how they are hashed and compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from batch.client.buckets import KeyIndex
from batch.client.key_hash import MASK, MODULUS, SPREAD, TEXT_BITS, spread, text_hashes
from batch.client.keys import KeyType
from batch.client.values import values_of
from batch.records.arrays import in_one, text_array, text_buffers, to_arrow, to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

_BATCH_ROWS = 4096


def key_index(table: pa.Table, key: Sequence[str], order: np.ndarray) -> KeyIndex:
    """The index of a table by its key columns; `order` holds all row numbers, earliest first."""
    kind = KeyType([table.schema.field(name) for name in key])
    arrays = [in_one(table[name]) for name in key]
    is_whole = not any(array.null_count for array in arrays)
    if kind.is_integer and is_whole:
        return _Integers(kind, arrays, order)
    if kind.python is str and is_whole:
        return _Texts(kind, arrays, order)
    return _Objects(kind, arrays, order)


class _Integers(KeyIndex):
    """One column of integers."""

    def find(self, key: Any) -> int | None:
        if type(key) is not int:
            self._kind.check(key)
        bucket = (key * SPREAD & MASK) >> self._shift
        for slot in range(self._starts[bucket], self._starts[bucket + 1]):
            row: int = self._rows[slot]
            if self._keys[row] == key:
                return row
        return None

    def _hashes(self) -> np.ndarray:
        self._key_array = to_numpy(self._arrays[0].cast("int64"))
        self._keys = self._key_array.data
        return spread(self._key_array)

    def _asked(self, keys: Sequence[Any]) -> tuple[Any, np.ndarray]:
        import numpy as np

        asked = np.fromiter(keys, np.int64, len(keys))
        return asked, spread(asked)

    def _are(self, rows: np.ndarray, asked: Any, places: np.ndarray) -> np.ndarray:
        there: np.ndarray = self._key_array[rows] == asked[places]
        return there


class _Texts(KeyIndex):
    """One column of texts."""

    _hash_bits = TEXT_BITS

    def find(self, key: Any) -> int | None:
        if type(key) is not str:
            self._kind.check(key)
        try:
            text = key.encode()
        except UnicodeEncodeError:  # Half a character: no column holds one.
            return None
        bucket = int.from_bytes(text) * SPREAD % MODULUS >> self._shift
        for slot in range(self._starts[bucket], self._starts[bucket + 1]):
            row: int = self._rows[slot]
            if self._data[self._offsets[row] : self._offsets[row + 1]] == text:
                return row
        return None

    def _hashes(self) -> np.ndarray:
        offsets, data = text_buffers(self._arrays[0])
        self._offsets, self._data = offsets.data, data.data
        return text_hashes(self._arrays[0])

    def _asked(self, keys: Sequence[Any]) -> tuple[Any, np.ndarray]:
        asked = text_array(keys, self._arrays[0].type)
        return asked, text_hashes(asked)

    def _are(self, rows: np.ndarray, asked: Any, places: np.ndarray) -> np.ndarray:
        import pyarrow.compute as pc

        found = self._arrays[0].take(to_arrow(rows))
        wanted = asked if len(places) == len(asked) else asked.take(to_arrow(places))
        return to_numpy(pc.equal(found, wanted))


class _Objects(KeyIndex):
    """Keys of any other type, or of several columns: hashed as Python objects, a few at a time."""

    echoes = False  # -0.0 finds 0.0.

    def find(self, key: Any) -> int | None:
        if not (type(key) is self._kind.python and self._kind.is_plain):
            self._kind.check(key)
        bucket = (hash(key) * SPREAD & MASK) >> self._shift
        for slot in range(self._starts[bucket], self._starts[bucket + 1]):
            row: int = self._rows[slot]
            if self._key_at(row) == key:
                return row
        return None

    def _hashes(self) -> np.ndarray:
        import numpy as np

        self._values = [values_of(array) for array in self._arrays]
        count = len(self._arrays[0])
        hashes = np.empty(count, np.uint64)
        for start in range(0, count, _BATCH_ROWS):
            batch = slice(start, start + _BATCH_ROWS)
            hashes[batch] = self._asked(self._keys_at(np.arange(*batch.indices(count))))[1]
            time.sleep(0)  # Other threads need not wait for their turn.
        return hashes

    def _asked(self, keys: Sequence[Any]) -> tuple[Any, np.ndarray]:
        import numpy as np

        return keys, spread(np.fromiter(map(hash, keys), np.int64, len(keys)))

    def _are(self, rows: np.ndarray, asked: Any, places: np.ndarray) -> np.ndarray:
        import numpy as np

        pairs = zip(self._keys_at(rows), places.tolist(), strict=True)
        return np.array([key == asked[place] for key, place in pairs], np.bool_)

    def _key_at(self, row: int) -> Any:
        if self._kind.is_tuple:
            return tuple(values[row] for values in self._values)
        return self._values[0][row]
