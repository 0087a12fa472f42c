"""The system's errors become ours: which path, what happened, the next step."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch.errors import BatchError, NotPermitted, StoreDown
from batch.store.base import Missing

_NEXT_STEP = {
    errno.EXDEV: "all folders of an output must be on one file system",
    errno.ENOSPC: "free space on the disk and rerun; the published version is untouched",
    errno.EDQUOT: "free space within the quota and rerun; the published version is untouched",
    errno.EROFS: "the file system is mounted read-only: remount it and rerun",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and rerun",
}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn the system's errors about a path into `Missing`, `NotPermitted` or `StoreDown`."""
    try:
        yield
    except BatchError:
        raise
    except FileNotFoundError:
        raise Missing(f"{path}: does not exist") from None
    except PermissionError as error:
        raise NotPermitted(
            f"{error.filename or path}: permission denied",
            f"run as a user who may read and write {path.parent}",
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreDown(
            f"{path}: {reason.lower()}", _NEXT_STEP.get(error.errno or 0, "")
        ) from error
