"""Which versions are kept: for a way back, and for readers that are slow."""

from __future__ import annotations

from datetime import datetime, timedelta

from batch.errors import BatchError
from batch.output.manifest import Manifest
from batch.output.read import read_manifest
from batch.store.base import Missing, Store

#: The newest versions are kept, this many of them, however old they are.
KEPT_VERSIONS = 100


def oldest_kept(store: Store, newest: Manifest | None, *, retain: timedelta, now: datetime) -> int:
    """The oldest version that stays when the next one is published; it never falls.

    The last `KEPT_VERSIONS` are kept, and all that were live during the last `retain`.
    """
    if newest is None:
        return 1
    oldest, following = newest.oldest_kept, newest.version + 1
    # The newest version is being replaced just now, so it is kept anyhow.
    while oldest < newest.version and oldest <= following - KEPT_VERSIONS:
        try:
            if read_manifest(store, oldest + 1).published_at > now - retain:
                break
        except Missing:
            pass  # It was removed: there is nothing to keep.
        except BatchError:
            break  # A version that cannot be read is kept.
        oldest += 1
    return oldest
