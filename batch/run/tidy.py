"""What follows a run that ended in order: old parts leave, and once a day garbage is deleted."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from batch.errors import BatchError
from batch.logs import log
from batch.run.attempt import Attempt
from batch.run.host_state import is_due, remember
from batch.run.outcome import Outcome, RunResult
from batch.run.signals import Stopped

_A_DAY = timedelta(days=1)


def tidy(this: Attempt) -> RunResult:
    """Apply `output.window`, and prune after a publication, at most once a day.

    Neither is what the run was for: a failure is left to the next one.
    """
    result, store, clock = this.result, this.store, this.options.clock
    try:
        if result.name in {"published", "nothing to do"}:
            result = _apply_window(this)
        if result.name == "published" and is_due(store.url, "pruned", every=_A_DAY, now=clock()):
            from batch.upkeep.prune import prune

            prune(
                store,
                retain=this.job.settings.output.retain,
                delete=True,
                retention=this.options.retention,
            )
    except (BatchError, Stopped) as error:
        log.warning("left to the next run: %s", error)
    return result


def _apply_window(this: Attempt) -> RunResult:
    result = this.result
    if this.job.settings.output.window is None:
        return result
    from batch.upkeep.window import drop_old

    manifest = drop_old(
        this.store, this.job, clock=this.options.clock, retention=this.options.retention
    )
    if manifest is None:
        return result
    remember(this.store.url, manifest)
    is_idle = result.outcome == Outcome.NOTHING_TO_DO
    return dataclasses.replace(
        result,
        outcome=Outcome.PUBLISHED if is_idle else result.outcome,
        version=manifest.version,
        message=f"{result.message}; version {manifest.version} is without what is older than "
        "output.window",
    )
