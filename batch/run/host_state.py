"""What this host remembers of an output: the newest version it saw, suspects, when it last pruned."""

from __future__ import annotations

import hashlib
import os
import pwd
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from batch.errors import BatchError, NotPermitted, StoreDown
from batch.logs import log
from batch.output.manifest import Manifest
from batch.records.documents import Document, encode


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
    if base:
        return Path(base) / "batch-predict"
    try:
        # Under `env -i` there is no HOME either; the password database knows it.
        home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise StoreDown(
            f"user {os.getuid()} has no home folder", "set BATCH_PREDICT_STATE to a folder"
        ) from None
    return home / ".local" / "state" / "batch-predict"


def last_seen(output_url: str) -> int:
    """The newest version that this host saw in an output, 0 for none.

    Look before the output is read: what is there then can only be newer, whoever publishes
    meanwhile on this host.
    """
    path = _state_file(output_url, "seen")
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Seen).version
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
    except OSError as error:
        what = "the version this host saw last cannot be read"
        raise _refused(path, error, what) from None


def require_not_older(
    output_url: str, newest: Manifest | None, *, seen: int, accept_older: bool
) -> None:
    """Stop when the output is older than what this host had `seen` there before.

    An unmounted disk or a wrong prefix looks like an empty output: without this, everything would
    be predicted again into the wrong place.
    """
    found = newest.version if newest else 0
    if found < seen and not accept_older:
        raise OlderOutput(
            f"{output_url}: found {f'version {found}' if found else 'no version'}, but this host "
            f"has seen version {seen} there; is the disk mounted?",
            "if that is intended, run once with --accept-older",
        )


def remember(output_url: str, manifest: Manifest) -> None:
    """Note the newest version that this host saw."""
    path = _state_file(output_url, "seen")
    seen = _Seen(output=output_url, version=manifest.version, commit_id=manifest.commit_id)
    try:
        _write_whole(path, encode(seen))
    except OSError as error:  # It only guards against mistakes: no reason to fail a run.
        log.warning("%s: %s: not remembered", path, error.strerror)


def is_due(output_url: str, what: str, *, every: timedelta, now: datetime) -> bool:
    """Whether this host did something for an output long enough ago; notes that it does it now."""
    path = _state_file(output_url, what)
    try:
        if now.timestamp() - path.stat().st_mtime < every.total_seconds():
            return False
    except FileNotFoundError:
        pass
    with suppress(OSError):
        _write_whole(path, b"")
        os.utime(path, (now.timestamp(), now.timestamp()))
    return True


def read_suspects(output_url: str) -> frozenset[str]:
    """Inputs that a process of this host died with: they are predicted apart from the others."""
    try:
        found = msgspec.json.decode(
            _state_file(output_url, "suspects").read_bytes(), type=list[str]
        )
    except (OSError, msgspec.DecodeError):
        return frozenset()
    return frozenset(found)


def keep_suspects(output_url: str, paths: Collection[str]) -> None:
    """Remember them, all anew."""
    path = _state_file(output_url, "suspects")
    try:
        if paths:
            _write_whole(path, msgspec.json.encode(sorted(paths)))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: %s: not remembered", path, error.strerror)


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _refused(path: Path, error: OSError, what: str) -> BatchError:
    kind = NotPermitted if isinstance(error, PermissionError) else StoreDown
    return kind(
        f"{path}: {(error.strerror or str(error)).lower()}: {what}",
        "set BATCH_PREDICT_STATE to a folder on a local disk that this user may write",
    )


def _state_file(output_url: str, suffix: str) -> Path:
    name = hashlib.sha256(output_url.encode()).hexdigest()[:16]
    return state_folder() / f"{name}.{suffix}"
