"""The newest version of each remote output loaded on this host, for when the store is unavailable.

Its manifest is in the cache, beside the files that it lists, which stay as long as it does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch.errors import BatchError
from batch.output.manifest import Manifest, decode_manifest
from batch.records.documents import encode
from batch.store.cachefolder import FILES, VERSIONS, one_at_a_time, trim, warn_of_cache
from batch.store.files import cache_folder
from batch.store.spool import new_path, spooling_in


def read_fallback(url: str) -> Manifest | None:
    """The newest version of a URL whose files were all in the cache when it was saved."""
    try:
        path = _path(url)
        return decode_manifest(path.read_bytes(), source=str(path))
    except (OSError, BatchError):
        return None


@contextmanager
def saving_fallback(url: str, manifest: Manifest) -> Iterator[None]:
    """Inside, no file of the version is evicted from the cache; on success, the version is saved.

    If the cache cannot be written, nothing is saved.
    """
    note = _note(manifest)
    try:
        yield
        if note:
            with suppress(OSError, BatchError):
                _save(url, manifest, note)
    finally:
        if note:
            with suppress(OSError):
                note.unlink(missing_ok=True)
        trim()


def mark_as_used(url: str) -> None:
    """Keep the fallback for another month; unused ones are deleted."""
    with suppress(OSError, BatchError):
        os.utime(_path(url))


def _path(url: str) -> Path:
    return cache_folder() / VERSIONS / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def _note(manifest: Manifest) -> Path | None:
    """A file that lists the files being loaded, as long as this process lives."""
    try:
        with spooling_in(cache_folder() / VERSIONS):
            path = new_path()
        try:
            path.write_bytes(encode(manifest))
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except (OSError, BatchError) as error:
        warn_of_cache(error)
        return None
    return path


def _save(url: str, manifest: Manifest, note: Path) -> None:
    path, files = _path(url), cache_folder() / FILES
    with one_at_a_time(cache_folder(), path.name):
        saved = read_fallback(url)
        # By the time as well: an output that was restored continues from a lower version.
        is_newer = saved is None or _age(saved) < _age(manifest)
        if is_newer and all((files / file.sha256).exists() for file in manifest.files):
            note.replace(path)


def _age(manifest: Manifest) -> tuple[object, int]:
    return manifest.published_at, manifest.version
