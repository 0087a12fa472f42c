"""The newest version of each remote output that this host has loaded, for when the store is away.

It lies in the cache beside the files that it names, which stay as long as it does.
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
from batch.store.host_folders import cache_folder
from batch.store.spool import new_path, spooling_in


def newest_kept(url: str) -> Manifest | None:
    """The newest version of a URL whose files were all here when it was kept."""
    try:
        path = _path(url)
        return decode_manifest(path.read_bytes(), source=str(path))
    except (OSError, BatchError):
        return None


@contextmanager
def keeping(url: str, manifest: Manifest) -> Iterator[None]:
    """Inside, no file that the version names leaves the cache; left in order, the version is kept.

    Without a cache that can be written, nothing is kept.
    """
    note = _note(manifest)
    try:
        yield
        if note:
            with suppress(OSError, BatchError):
                _keep(url, manifest, note)
    finally:
        if note:
            with suppress(OSError):
                note.unlink(missing_ok=True)
        trim()


def still_in_use(url: str) -> None:
    """What nobody has used for a month may go."""
    with suppress(OSError, BatchError):
        os.utime(_path(url))


def _path(url: str) -> Path:
    return cache_folder() / VERSIONS / f"{hashlib.sha256(url.encode()).hexdigest()}.json"


def _note(manifest: Manifest) -> Path | None:
    """A file that says what is being loaded, as long as this process lives."""
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


def _keep(url: str, manifest: Manifest, note: Path) -> None:
    path, files = _path(url), cache_folder() / FILES
    with one_at_a_time(cache_folder(), path.name):
        kept = newest_kept(url)
        # By the time as well: an output that was restored goes on from a lower version.
        is_newer = kept is None or _age(kept) < _age(manifest)
        if is_newer and all((files / file.sha256).exists() for file in manifest.files):
            note.replace(path)


def _age(manifest: Manifest) -> tuple[object, int]:
    return manifest.published_at, manifest.version
