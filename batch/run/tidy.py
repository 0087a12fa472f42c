"""What follows a run that ended in order: old parts leave, and once a day garbage goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

from batch.errors import BatchError
from batch.job.settings import Job
from batch.logs import log
from batch.run.lock import is_due, remember
from batch.run.outcome import Outcome
from batch.run.signals import Stopped
from batch.store.base import Store

_A_DAY = timedelta(days=1)


def tidy(job: Job, store: Store, outcome: Outcome, *, clock: Callable[[], datetime]) -> Outcome:
    """Apply `output.window`, and prune after a publication, at most once a day.

    Neither is what the run was for: a failure is left to the next one.
    """
    try:
        if outcome.name in {"published", "nothing to do"}:
            outcome = _apply_window(job, store, outcome, clock)
        if outcome.name == "published" and is_due(store.url, "pruned", every=_A_DAY, now=clock()):
            from batch.upkeep.prune import prune

            prune(store, retain=job.settings.output.retain, delete=True)
    except (BatchError, Stopped) as error:
        log.warning("left to the next run: %s", error)
    return outcome


def _apply_window(
    job: Job, store: Store, outcome: Outcome, clock: Callable[[], datetime]
) -> Outcome:
    if job.settings.output.window is None:
        return outcome
    from batch.upkeep.window import drop_old

    manifest = drop_old(store, job, clock=clock)
    if manifest is None:
        return outcome
    remember(store.url, manifest)
    return dataclasses.replace(
        outcome,
        name="published",
        version=manifest.version,
        message=f"{outcome.message}; version {manifest.version} is without what is older than "
        "output.window",
    )
