"""Give up runs that a check holds: their inputs are open again."""

from __future__ import annotations

from datetime import datetime

from batch.newest import read_live
from batch.plans import give_up, list_plans
from batch.publishing import operator
from batch.store.base import Store


def discard(store: Store, *, now: datetime) -> tuple[str, ...]:
    """Give up every held run of the output; returns their ids.

    What they predicted is not used any more, and the next run predicts those inputs anew.
    """
    plans = list_plans(store)
    published = read_live(store).ledger.run_ids()
    held = tuple(
        run_id
        for run_id in plans.run_ids
        if plans.is_held(run_id) and not plans.is_given_up(run_id) and run_id not in published
    )
    for run_id in held:
        give_up(store, run_id, by=operator(), at=now)
    return held
