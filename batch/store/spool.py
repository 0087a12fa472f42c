"""Files on this host's disk: objects from S3 while they are read, parts before they are uploaded.

Every file belongs to the process that its name begins with; files of dead processes are deleted.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from batch.errors import StoreDown
from batch.store.files import is_leftover, naming, spool_folder, this_host
from batch.wording import sized

#: Space to leave free beyond the file: others write to the same disk.
_SPARE_BYTES = 64 << 20
_OURS = re.compile(r"[0-9a-f]{8}-[0-9]+-[0-9a-f]{16}")
_HINT = "set BATCH_PREDICT_SPOOL to a folder on a local disk with room"
_elsewhere: ContextVar[Path | None] = ContextVar("spool folder", default=None)


@contextmanager
def spooling_in(folder: Path) -> Iterator[None]:
    """Inside, this thread spools to another folder: a file that is to stay there need not be moved.

    It is created if necessary, but not its parent: once that is deleted, it stays deleted.
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
    """A path for one file or folder, which is always gone afterwards."""
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
            f"{path.parent}: {sized(free)} free, not enough for an object of {sized(wanted_bytes)}",
            _HINT,
        )


def sweep_spool() -> None:
    """Remove what dead processes of this host left in the folder.

    Files without a name of ours stay: an operator may choose a folder that others use.
    """
    folder = _folder()
    with naming(folder):
        for item in os.scandir(folder):
            if not _OURS.fullmatch(item.name):
                continue
            with suppress(FileNotFoundError):
                if not is_leftover(item):
                    continue
                if item.is_dir(follow_symlinks=False):
                    shutil.rmtree(item, ignore_errors=True)
                else:
                    Path(item).unlink()
