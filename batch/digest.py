"""A fast fingerprint of content, to tell a re-sent input from a changed one."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 4 << 20


def digest_file(path: Path) -> str:
    """The xxh3 128-bit digest of a file."""
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
