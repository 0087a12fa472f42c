"""Which versions are kept: for a way back, and for readers that are slow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from batch.errors import BatchError
from batch.output.manifest import Manifest
from batch.output.read import read_manifest
from batch.store.base import Missing, Store


@dataclass(frozen=True)
class Retention:
    """How much history an output keeps, and in how many pieces.

    The newest `versions` are kept, however old they are. A commit folds a ledger of `segments`
    segments into one. Only garbage older than `safe_age` is deleted: nothing refers yet to objects
    that a running run has just written, and no run takes this long.
    """

    versions: int = 100
    segments: int = 64
    safe_age: timedelta = timedelta(days=7)


RETENTION = Retention()


def oldest_kept(
    store: Store, newest: Manifest | None, *, versions: int, retain: timedelta, now: datetime
) -> int:
    """The oldest version that stays when the next one is published; it never falls.

    The last `versions` are kept, and all that were live during the last `retain`.
    """
    if newest is None:
        return 1
    oldest, following = newest.oldest_kept, newest.version + 1
    # The newest version is being replaced just now, so it is kept anyhow.
    while oldest < newest.version and oldest <= following - versions:
        try:
            if read_manifest(store, oldest + 1).published_at > now - retain:
                break
        except Missing:
            pass  # It was removed: there is nothing to keep.
        except BatchError:
            break  # A version that cannot be read is kept.
        oldest += 1
    return oldest
