"""Local disk: create by hard link, replace by rename under a lock, fsync at every step.

After any of the writing verbs returns, the object survives a power cut: first the data is
synced, then the name is made, then the folder that holds the name is synced. Unfinished files are
in the folder `.tmp` of the store, under the name of the process that writes them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

from batch.errors import StoreDown
from batch.store.base import Blob, Changed, Entry, Exists, Listing
from batch.store.files import is_leftover, naming, this_host

_UNFINISHED = ".tmp"
_SWAPPING = threading.Lock()
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalStore:
    """The store port on a folder; the folder itself is made by the first write."""

    is_remote = False

    def __init__(self, folder: str) -> None:
        self._root = Path(folder).absolute()

    @property
    def url(self) -> str:
        return str(self._root)

    def list(self, prefix: str = "") -> Listing:
        with naming(self._root / prefix):
            entries = sorted(_walk(self._root / prefix, prefix), key=attrgetter("path"))
            return Listing(tuple(entries), _clock_of(self._root))

    def stat(self, path: str) -> Entry:
        with naming(self._root / path):
            return _entry(path, (self._root / path).stat())

    def read(self, path: str, *, unless: str | None = None) -> Blob | None:
        target = self._root / path
        with naming(target), target.open("rb") as file:
            token = _pointer_token(os.fstat(file.fileno()))
            return None if token == unless else Blob(file.read(), token)

    @contextmanager
    def fetch(self, path: str, *, token: str | None = None, size: int = 0) -> Iterator[Path]:  # noqa: ARG002
        target = self._root / path
        self._require(target, token)
        with naming(target):
            yield target
        # A rename or a write while it was read shows here; the caller drops what it read.
        self._require(target, token)

    def create(self, path: str, data: bytes) -> None:
        with self.upload(path) as temporary:
            temporary.write_bytes(data)

    @contextmanager
    def upload(self, path: str) -> Iterator[Path]:
        target = self._root / path
        with naming(target), self._temporary() as temporary:
            yield temporary
            _sync(temporary)
            self._link(temporary, target)
            _sync(target.parent)

    def replace(self, path: str, data: bytes, *, token: str | None) -> None:
        target = self._root / path
        with naming(target):
            _make_folder(target.parent)
            with _locked(target.with_name(f".{target.name}.lock")):
                if self._pointer_token(target) != token:
                    raise Changed(f"{target}: replaced by another process meanwhile")
                with self._temporary() as temporary:
                    temporary.write_bytes(data)
                    _sync(temporary)
                    temporary.replace(target)
                    _sync(target.parent)

    def delete(self, path: str) -> None:
        target = self._root / path
        with naming(target), suppress(FileNotFoundError):
            target.unlink()
        with suppress(OSError):  # Not empty, or gone: either is fine.
            target.parent.rmdir()

    def settle(self, paths: Iterable[str]) -> None:
        folders = {self._root, *(folder for path in paths for folder in self._folders_of(path))}
        with naming(self._root):
            for folder in sorted(folders):  # Always in the same order, so that it can be traced.
                with suppress(FileNotFoundError):
                    _sync(folder)
        for folder in self._root.parents:
            with suppress(OSError):  # Not ours, or not to be opened: then it was made by others.
                _sync(folder)

    def _folders_of(self, path: str) -> Iterator[Path]:
        folder = (self._root / path).parent
        while folder != self._root:
            yield folder
            folder = folder.parent

    def sweep(self) -> None:
        folder = self._root / _UNFINISHED
        with naming(folder), suppress(FileNotFoundError):
            for item in os.scandir(folder):
                if is_leftover(item):
                    Path(item).unlink(missing_ok=True)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A file that only this process knows; its name is always gone afterwards."""
        folder = self._root / _UNFINISHED
        _make_folder(folder)
        temporary = folder / f"{this_host()}-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            yield temporary
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _link(self, temporary: Path, target: Path) -> None:
        while True:
            _make_folder(target.parent)
            try:
                _link(temporary, target)
            except FileNotFoundError:
                if not temporary.exists():
                    raise
                # The process that deleted the last file of this folder deleted the folder too.
            else:
                return

    def _require(self, target: Path, token: str | None) -> None:
        with naming(target):
            found = _token(target.stat())
        if token is not None and found != token:
            raise Changed(f"{target}: changed while it was read")

    def _pointer_token(self, target: Path) -> str | None:
        try:
            return _pointer_token(target.stat())
        except FileNotFoundError:
            return None


def _token(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _pointer_token(status: os.stat_result) -> str:
    # Two pointers of one size can be written within one tick of the clock: the inode tells.
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    """Every file below a folder; links to folders are followed, each folder once."""
    stack, seen = [(folder, prefix.rstrip("/"))], set()
    while stack:
        current, name = stack.pop()
        try:
            status = current.stat()
            found = list(os.scandir(current))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        within = f"{name}/" if name else ""
        for item in found:
            path = within + item.name
            if item.is_dir():
                stack.append((Path(item.path), path))
                continue
            try:
                entry = _entry(path, item.stat())
            except FileNotFoundError:
                continue
            yield entry


def _entry(path: str, status: os.stat_result) -> Entry:
    modified = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
    return Entry(path, status.st_size, _token(status), modified)


def _clock_of(folder: Path) -> datetime:
    """The file system's own time (a file server's may differ from this host's)."""
    try:
        probe = os.open(folder, os.O_TMPFILE | os.O_WRONLY)
    except OSError:  # Absent, read-only, or no unnamed files: this host's clock must do.
        return datetime.fromtimestamp(time.time(), UTC)
    try:
        return datetime.fromtimestamp(os.fstat(probe).st_mtime, UTC)
    finally:
        os.close(probe)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, each name synced into its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreDown(
            f"{folder}: cannot create this folder: {os.strerror(error.errno or 0).lower()}",
            "correct output.path in the job file",
        ) from None
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Fsync once; an error aborts, for after it the kernel may call lost pages clean."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise Exists(f"{target}: already exists") from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        raise StoreDown(
            f"{target.parent}: this file system has no hard links, so two runs could overwrite "
            "each other's versions",
            "put the output on a local disk (ext4, xfs), or on S3",
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The lock of a file belongs to the process: among its threads another one is needed.
    with _SWAPPING, path.open("ab") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield
