"""The folders of this user on this host: state, cache and spool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from batch.errors import NotPermitted, StoreDown
from batch.store.names import naming


def state_folder() -> Path:
    """Where runs store what they have seen: $BATCH_PREDICT_STATE, else in the user's state folder.

    Raises `StoreDown` for a user without a home directory.
    """
    chosen = os.environ.get("BATCH_PREDICT_STATE")
    return Path(chosen) if chosen else _of_the_user("STATE")


def cache_folder() -> Path:
    """Where copies of remote objects are kept: $BATCH_PREDICT_CACHE, else in the user's cache folder.

    It is made if need be. Raises `BatchError` for one that cannot be made or is not the user's own.
    """
    chosen = os.environ.get("BATCH_PREDICT_CACHE")
    return _made(Path(chosen) if chosen else _of_the_user("CACHE"), "" if chosen else "CACHE")


def spool_folder() -> Path:
    """Where objects are stored on their way from or to S3: $BATCH_PREDICT_SPOOL, else below /var/tmp.

    It is made if need be. Raises `BatchError` for one that cannot be made or is not the user's own.
    """
    chosen = os.environ.get("BATCH_PREDICT_SPOOL")
    folder = Path(chosen or f"/var/tmp/batch-predict-{os.getuid()}")  # noqa: S108  # Its owner is looked at.
    return _made(folder, "" if chosen else "SPOOL")


def _made(folder: Path, default_of: str) -> Path:
    with naming(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Its name is known beforehand, so others may have made it. One that was chosen may be shared.
        if default_of and folder.stat().st_uid != os.getuid():
            raise NotPermitted(f"{folder}: belongs to another user", _hint(default_of))
    return folder


def _of_the_user(kind: Literal["STATE", "CACHE"]) -> Path:
    """~/.local/state or ~/.cache, or what XDG_STATE_HOME or XDG_CACHE_HOME says.

    Without HOME, as under `env -i`, the home directory comes from the password database.
    """
    from platformdirs.unix import Unix  # The same folders on macOS.

    folders = Unix("batch-predict")
    try:
        folder = folders.user_state_path if kind == "STATE" else folders.user_cache_path
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():  # Older releases leave a "~" as it is.
        raise StoreDown(f"user {os.getuid()} has no home directory", _hint(kind))
    return folder


def _hint(kind: str) -> str:
    return f"set BATCH_PREDICT_{kind} to a folder on a local disk that this user may write"
