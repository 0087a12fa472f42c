"""This host's lock of an output, and what the host remembers of it.

Both only save work and catch mistakes: correctness rests on the commit protocol alone. They live
in the host's state folder, never in OUTPUT, which may be a network file system.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import msgspec

from batch.errors import NotPermitted, StoreDown, TryAgain
from batch.logs import log
from batch.manifest import Document, Manifest, encode


class Locked(TryAgain):
    """Another run of this output is under way on this host."""


class OlderOutput(StoreDown):
    """The output is not the one that this host knows: nothing may be written there."""


class _Seen(Document, frozen=True):
    output: str
    version: int
    commit_id: str


def state_folder() -> Path:
    """Where this host remembers: $BATCH_PREDICT_STATE, else the user's state folder."""
    named = os.environ.get("BATCH_PREDICT_STATE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME")
    # Under `env -i` there is no HOME either; the password database knows it.
    home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    return (Path(base) if base else home / ".local" / "state") / "batch-predict"


@contextmanager
def output_lock(output_url: str, *, now: datetime) -> Iterator[None]:
    """Hold the lock of an output. Raises `Locked` that says who holds it and since when."""
    with _open_lock(_state_file(output_url, "lock")) as file:
        try:
            # lockf, not flock: a forked child that outlives us must not keep it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Locked(f"{output_url}: {holder} is running", "wait for it to end") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} since {now:%Y-%m-%d %H:%M:%S} UTC")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def require_not_older(output_url: str, newest: Manifest | None, *, accept_older: bool) -> None:
    """Stop when the output is older than what this host saw there last.

    An unmounted disk or a wrong prefix looks like an empty output: without this, everything would
    be predicted again into the wrong place.
    """
    try:
        seen = msgspec.json.decode(_state_file(output_url, "seen").read_bytes(), type=_Seen)
    except (FileNotFoundError, msgspec.DecodeError):
        return
    found = newest.version if newest else 0
    if found < seen.version and not accept_older:
        raise OlderOutput(
            f"{output_url}: found {f'version {found}' if found else 'no version'}, this host saw "
            f"version {seen.version} there; is the disk mounted?",
            "if this is what you want, run once with --accept-older",
        )


def remember(output_url: str, manifest: Manifest) -> None:
    """Note the newest version that this host saw."""
    path = _state_file(output_url, "seen")
    seen = _Seen(output=output_url, version=manifest.version, commit_id=manifest.commit_id)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(encode(seen))
        temporary.replace(path)
    except OSError as error:  # It only guards against mistakes: no reason to fail a run.
        log.warning("%s: %s: not remembered", path, error.strerror)


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise NotPermitted(
            f"{path}: {error.strerror}: this host's lock cannot be kept there",
            "set BATCH_PREDICT_STATE to a folder on a local disk that this user may write",
        ) from None


def state_files(output_url: str) -> tuple[Path, Path]:
    """What this host keeps for an output: its lock, and what it saw there last."""
    return _state_file(output_url, "lock"), _state_file(output_url, "seen")


def _state_file(output_url: str, suffix: str) -> Path:
    name = hashlib.sha256(output_url.encode()).hexdigest()[:16]
    return state_folder() / f"{name}.{suffix}"
