"""Hashes of keys: of one Python key within a microsecond, of a whole column without objects.

The hash of a text is the number that its UTF-8 bytes spell, spread, modulo a product of two primes.
Python computes it from one text at once; NumPy from a column eight bytes at a time, by the residues
of both primes, and other threads run meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.records.arrays import text_buffers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Odd, so multiplying by it modulo 2**64 loses nothing; near 2**64 divided by the golden ratio, so
# it spreads keys that follow each other (Knuth, The Art of Computer Programming, 6.4).
SPREAD = 0x9E3779B97F4A7C15
MASK = 2**64 - 1

# Below 2**31, so the product of two residues fits into 64 bits; otherwise of no pattern.
_PRIMES = (2_141_592_641, 2_118_281_827)
MODULUS = _PRIMES[0] * _PRIMES[1]
#: `MODULUS` is a little less than 2 to this power.
TEXT_BITS = 62
_WORD = 8
_CHUNK_ROWS = 1 << 16


def spread(codes: np.ndarray) -> np.ndarray:
    """Hashes of 64 bits for int64 numbers, different for different ones."""
    import numpy as np

    hashes: np.ndarray = codes.view(np.uint64) * np.uint64(SPREAD)
    return hashes


def text_hashes(texts: pa.Array) -> np.ndarray:
    """`int.from_bytes(text.encode()) * SPREAD % MODULUS` of each text of an array without nulls."""
    import numpy as np

    offsets, data = text_buffers(texts)
    hashes = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _CHUNK_ROWS):
        chunk = offsets[start : start + _CHUNK_ROWS + 1].astype(np.int64)
        hashes[start : start + _CHUNK_ROWS] = _hashed(chunk - chunk[0], data[chunk[0] : chunk[-1]])
    return hashes


def _hashed(begins: np.ndarray, data: np.ndarray) -> np.ndarray:
    import numpy as np

    # The eight bytes before any place; before the first text are zeros.
    padded = np.concatenate((np.zeros(_WORD, np.uint8), data))
    words = np.ndarray((len(data) + 1,), ">u8", padded, strides=(1,))
    masks = np.array([2 ** (8 * count) - 1 for count in range(_WORD + 1)], np.uint64)
    ends, remaining = begins[1:], np.diff(begins)
    rows: slice | np.ndarray = slice(None)
    weights = [SPREAD % prime for prime in _PRIMES]
    residues = [np.zeros(len(ends), np.uint64) for _ in _PRIMES]
    while len(ends):
        word = words[ends].astype(np.uint64) & masks[np.minimum(remaining, _WORD)]
        for residue, prime, weight in zip(residues, _PRIMES, weights, strict=True):
            residue[rows] += word % np.uint64(prime) * np.uint64(weight) % np.uint64(prime)
        weights = [(weight << 64) % prime for weight, prime in zip(weights, _PRIMES, strict=True)]
        longer = np.flatnonzero(remaining > _WORD)
        if len(longer) < len(ends):
            rows = longer if isinstance(rows, slice) else rows[longer]
            ends, remaining = ends[longer], remaining[longer]
        ends, remaining = ends - _WORD, remaining - _WORD
    return _combined(residues)


def _combined(residues: list[np.ndarray]) -> np.ndarray:
    """The number below `MODULUS` that has these residues (the Chinese remainder theorem)."""
    import numpy as np

    prime, second_prime = (np.uint64(prime) for prime in _PRIMES)
    inverse = np.uint64(pow(_PRIMES[0], -1, _PRIMES[1]))
    first, second = residues[0] % prime, residues[1] % second_prime
    # Both are below 2**31, and `second_prime` keeps the difference above zero.
    steps = (second + second_prime - first % second_prime) * inverse % second_prime
    combined: np.ndarray = first + prime * steps
    return combined
