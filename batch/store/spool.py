"""Where objects from S3 lie while they are read, and parts before they are sent.

The folder is on this host's disk, `$BATCH_PREDICT_SPOOL` or below `/var/tmp`. Every file in it
belongs to the process that its name begins with; the files of dead processes are swept.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from batch.errors import StoreDown
from batch.store.host_folders import spool_folder
from batch.store.names import naming
from batch.store.writers import this_host, writer_is_dead

#: What must stay free besides the file: others write to the same disk.
_SPARE_BYTES = 64 << 20
_FORGOTTEN_SECONDS = 7 * 86400  # Of other hosts, and of this one before it was started again.
_OURS = re.compile(r"[0-9a-f]{8}-[0-9]+-[0-9a-f]{16}")
_HINT = "set BATCH_PREDICT_SPOOL to a folder on a local disk with room"
_elsewhere: ContextVar[Path | None] = ContextVar("spool folder", default=None)


@contextmanager
def spooling_in(folder: Path) -> Iterator[None]:
    """Inside, this thread's spool folder is another one: what is to stay there need not be moved.

    It is made if need be, but not the folder that it lies in: once that is gone, it stays gone.
    """
    before = _elsewhere.set(folder)
    try:
        yield
    finally:
        _elsewhere.reset(before)


def _folder() -> Path:
    elsewhere = _elsewhere.get()
    if elsewhere is None:
        return spool_folder()
    with naming(elsewhere):
        elsewhere.mkdir(mode=0o700, exist_ok=True)
    return elsewhere


def new_path() -> Path:
    """A name in the spool folder that only this process knows."""
    return _folder() / f"{this_host()}-{os.getpid()}-{os.urandom(8).hex()}"


@contextmanager
def spooled() -> Iterator[Path]:
    """A path for one file or folder; whatever happens, it is gone afterwards."""
    path = new_path()
    try:
        with naming(path):
            yield path
    finally:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink()


def require_room(path: Path, wanted_bytes: int) -> None:
    """Raises `StoreDown` when the disk has no room for a file of this size."""
    free = shutil.disk_usage(path.parent).free
    if free < wanted_bytes + _SPARE_BYTES:
        raise StoreDown(
            f"{path.parent}: {free / 1e6:,.0f} MB are free, an object of "
            f"{wanted_bytes / 1e6:,.0f} MB is to be kept there",
            _HINT,
        )


def sweep_spool() -> None:
    """Remove what processes of this host that are no more left in the folder.

    What bears no name of ours is not ours: an operator may name a folder that others use.
    """
    folder = _folder()
    with naming(folder):
        for item in os.scandir(folder):
            if not _OURS.fullmatch(item.name):
                continue
            with suppress(FileNotFoundError):
                forgotten = time.time() - item.stat().st_mtime > _FORGOTTEN_SECONDS
                if not (forgotten or writer_is_dead(item.name)):
                    continue
                if item.is_dir(follow_symlinks=False):
                    shutil.rmtree(item, ignore_errors=True)
                else:
                    Path(item).unlink()
