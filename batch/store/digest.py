"""A fast fingerprint of content, to tell a re-sent input from a changed one."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def digest_file(path: Path) -> str:
    """The xxh3 128-bit digest of a file."""
    import xxhash

    digest, block = xxhash.xxh3_128(), memoryview(bytearray(_BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """The sha256 of a file, as bare hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
