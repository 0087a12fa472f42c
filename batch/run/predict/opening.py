"""Open the inputs of a slice: each is the one that was planned, before it is read and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch.records.chunk import Unreadable
from batch.run.predict.tally import Moved, Resent, Tally
from batch.store.base import Changed, Missing, Source
from batch.store.digest import digest_file


@contextmanager
def opened(tally: Tally, inputs: Source) -> Iterator[Path]:
    """A local path to read the input from, inside the `with`; the tally gets its digest.

    Raises `Resent` before it is read, and `Moved` when another content, or none, is there before
    or after: that is the reason then, also where it was found to be unreadable.
    """
    planned = tally.planned
    failure: Unreadable | None = None
    try:
        with inputs.fetch(planned.path, token=planned.token, size=planned.size) as local:
            tally.digest = _digest(local)
            if tally.digest == planned.seen_digest:
                raise Resent(tally.digest)
            try:
                yield local
            except Unreadable as error:
                failure = error
    except (Missing, Changed) as error:
        raise Moved(error.message) from None
    if failure:
        raise failure


def _digest(local: Path) -> str:
    try:
        return digest_file(local)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from None
