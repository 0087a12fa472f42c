"""Give up runs that a check holds: their inputs are open again."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from batch import layout
from batch.manifest import encode
from batch.newest import read_live
from batch.publishing import operator
from batch.slices import DroppedNote
from batch.store.base import Exists, Store


def discard(store: Store, *, now: datetime) -> tuple[str, ...]:
    """Give up every held run of the output; returns their ids.

    What they predicted is not used any more, and the next run predicts those inputs anew.
    """
    names = {entry.path for entry in store.list(layout.PENDING).entries}
    published = read_live(store).ledger.run_ids()
    held = sorted(
        run_id
        for run_id in {name.split("/")[1] for name in names}
        if layout.held_path(run_id) in names
        and layout.plan_path(run_id) in names
        and layout.dropped_path(run_id) not in names
        and run_id not in published
    )
    for run_id in held:
        with suppress(Exists):  # Somebody else gave it up at the same time.
            # One small object decides, so that no crash leaves half of a run given up.
            store.create(layout.dropped_path(run_id), encode(DroppedNote(by=operator(), at=now)))
    return tuple(held)
