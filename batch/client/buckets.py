"""A hash table in flat arrays, from keys to rows.

A Python dict of millions of keys would take several times the memory, stop the application's
other threads while it grows, and be copied page by page in every forked worker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from batch.client.values import pylist
from batch.records.arrays import to_arrow, to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from batch.client.keys import KeyType

_ALL_BITS = 64
#: Up to this many keys are found faster one by one.
_FEW = 50


class KeyIndex(ABC):
    """Finds the latest row of a key.

    Keys whose hashes begin with the same bits share a bucket, two buckets to a key: `_starts` says
    where the rows of each bucket begin in `_rows`. Hashes are not kept: in a bucket the keys
    themselves are compared.

    `rows` are the latest row of each key, earliest first. `echoes`: a key that is found is the
    very value that its row holds.
    """

    echoes = True
    _hash_bits = _ALL_BITS

    def __init__(self, kind: KeyType, arrays: Sequence[pa.Array], order: np.ndarray) -> None:
        import numpy as np

        self._kind, self._arrays = kind, arrays
        hashes = self._hashes() << np.uint64(_ALL_BITS - self._hash_bits)
        number_bits = max(1, len(order).bit_length())
        numbers = np.uint64(2**number_bits - 1)
        # A hash gives its last bits to the number of its row: one array to sort, without objects.
        slots = hashes & ~numbers | np.arange(len(order), dtype=np.uint64)
        slots.sort()
        earlier = self._earlier(slots, numbers, hashes, order)
        slots = np.delete(slots, earlier) if len(earlier) else slots
        kind_of_row = np.int32 if number_bits < 32 else np.int64
        self._row_array = (slots & numbers).astype(kind_of_row)
        self.rows = order if not len(earlier) else order[_are_among(order, self._row_array)]
        bits = number_bits + 1
        self._start_array = _starts(slots >> np.uint64(_ALL_BITS - bits), bits, kind_of_row)
        self._shift = self._hash_bits - bits
        self._rows, self._starts = self._row_array.data, self._start_array.data

    def __len__(self) -> int:
        return len(self._rows)

    @abstractmethod
    def find(self, key: Any) -> int | None:
        """The row of the key. Raises TypeError for a key that no row could have."""

    def find_many(self, keys: Sequence[Any]) -> np.ndarray:
        """The row of each key, in order, -1 where there is none. Raises TypeError like `find`."""
        import numpy as np

        self._check(keys)
        try:
            asked, hashes = self._asked(keys)
        except (OverflowError, UnicodeEncodeError):  # One that no column can hold is among them.
            found = map(self.find, keys)
            return np.array([-1 if row is None else row for row in found], np.int64)
        buckets = (hashes >> np.uint64(self._shift)).astype(np.int64)
        slots, ends = self._start_array[buckets], self._start_array[buckets + 1]
        answers = np.full(len(keys), -1, np.int64)
        unanswered = np.flatnonzero(slots < ends)
        while len(unanswered) > _FEW:
            rows = self._row_array[slots[unanswered]].astype(np.int64)
            is_it = self._are(rows, asked, unanswered)
            answers[unanswered[is_it]] = rows[is_it]
            unanswered = unanswered[~is_it]
            slots[unanswered] += 1
            unanswered = unanswered[slots[unanswered] < ends[unanswered]]
        for place in unanswered.tolist():
            row = self.find(keys[place])
            answers[place] = -1 if row is None else row
        return answers

    @abstractmethod
    def _hashes(self) -> np.ndarray:
        """The hash of each row's key, of `_hash_bits` bits."""

    @abstractmethod
    def _asked(self, keys: Sequence[Any]) -> tuple[Any, np.ndarray]:
        """The keys in the form that `_are` compares, and their hashes."""

    @abstractmethod
    def _are(self, rows: np.ndarray, asked: Any, places: np.ndarray) -> np.ndarray:
        """Whether each row has the key at its place among those asked for."""

    def _check(self, keys: Sequence[Any]) -> None:
        if self._kind.is_plain and {*map(type, keys)} <= {self._kind.python}:
            return
        for key in keys:
            self._kind.check(key)

    def _earlier(
        self, slots: np.ndarray, numbers: np.uint64, hashes: np.ndarray, order: np.ndarray
    ) -> np.ndarray:
        """Which slots hold a row whose key a later row has too."""
        import numpy as np

        pairs = np.flatnonzero((slots[1:] ^ slots[:-1]) <= numbers)
        if not len(pairs):
            return pairs
        alike = np.union1d(pairs, pairs + 1)
        rows = (slots[alike] & numbers).astype(np.int64)
        when = np.empty_like(order)
        when[order] = np.arange(len(order))
        # Of one hash the latest row comes last.
        by_time = np.lexsort((when[rows], hashes[rows]))
        rows = rows[by_time]
        is_latest = self._is_latest(hashes[rows], rows)
        earlier: np.ndarray = alike[by_time[~is_latest]]
        return earlier

    def _is_latest(self, hashes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether no later row has the same key, for rows sorted by hash and then by time."""
        import numpy as np

        pairs = np.flatnonzero(hashes[1:] == hashes[:-1])
        is_latest = np.ones(len(rows), np.bool_)
        is_latest[pairs] = False
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

    def _keys_at(self, rows: np.ndarray) -> list[Any]:
        taken = [pylist(array.take(to_arrow(rows))) for array in self._arrays]
        return list(zip(*taken, strict=True)) if self._kind.is_tuple else taken[0]


def _starts(buckets: np.ndarray, bits: int, kind: type[np.signedinteger[Any]]) -> np.ndarray:
    """Where each of 2**bits buckets begins, and where the last one ends; `buckets` are sorted."""
    import numpy as np

    starts = np.zeros(2**bits + 1, kind)
    # Of a bucket's keys the last one counts; an empty bucket ends where the one before it does.
    starts[buckets.astype(np.int64) + 1] = np.arange(1, len(buckets) + 1, dtype=kind)
    np.maximum.accumulate(starts, out=starts)
    return starts


def _are_among(order: np.ndarray, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    among = np.zeros(len(order), np.bool_)
    among[rows] = True
    chosen: np.ndarray = among[order]
    return chosen
