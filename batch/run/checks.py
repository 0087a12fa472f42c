"""Conditions on the whole run, judged before it is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.job.limits import Action, ChecksSection, Limit
from batch.output.manifest import CheckResult
from batch.records.histogram import Histogram, explained_by_chance, stability_index


@dataclass(frozen=True)
class Duplicates:
    """How many keys stand more than once, and a few of them."""

    count: int
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Evidence:
    """What a run is judged by.

    `predicted` are the records that it predicted, `null_predictions` those of them with a null
    among their predictions; `rows_compared` those that stand against `rows_before`, which the last
    run predicted. `baseline` is the histogram that `histogram` is compared with. `duplicate_keys`
    stand more than once, `key_loss` is the share of keys that vanish. None: not known, or not asked
    for.
    """

    predicted: int
    null_predictions: int = 0
    rows_compared: int = 0
    rows_before: int | None = None
    histogram: Histogram | None = None
    baseline: Histogram | None = None
    is_new_recipe: bool = False
    duplicate_keys: Duplicates | None = None
    key_loss: float | None = None


def judge(settings: ChecksSection, evidence: Evidence) -> tuple[CheckResult, ...]:
    """Every check that could be judged, with its value, its limit and its outcome.

    A check holds unless it says otherwise; `max_psi` warns, and holds a run by a new recipe.
    """
    return tuple(_results(settings, evidence))


def as_text(check: CheckResult) -> str:
    """One check as a person reads it: its name, its value, its limit, and what was found."""
    value, limit = (f"{number or 0:.4g}" for number in (check.value, check.limit))
    return f"{check.name}: {value}, the limit is {limit}: {check.detail}"


def _results(settings: ChecksSection, found: Evidence) -> Iterator[CheckResult]:
    rows = found.predicted
    yield _result(
        "min_rows", rows, settings.min_rows, f"the run predicted {rows:,} records",
        is_beyond=rows < settings.min_rows.limit,
    )  # fmt: skip
    nulls = found.null_predictions
    yield _at_most(
        "max_null_predictions", nulls / rows if rows else 0, settings.max_null_predictions,
        f"{nulls:,} of {rows:,} predictions are null",
    )  # fmt: skip
    if settings.max_row_change and found.rows_before:
        yield _at_most(
            "max_row_change", abs(found.rows_compared - found.rows_before) / found.rows_before,
            settings.max_row_change,
            f"{found.rows_compared:,} records, {found.rows_before:,} before",
        )  # fmt: skip
    if found.histogram and found.baseline:
        yield _shift(found.histogram, found.baseline, settings.max_psi, found.is_new_recipe)
    if settings.max_key_loss and found.key_loss is not None:
        yield _at_most(
            "max_key_loss", found.key_loss, settings.max_key_loss,
            f"{found.key_loss:.2%} of the keys that are live vanish",
        )  # fmt: skip
    if found.duplicate_keys is not None:
        shown = ", ".join(found.duplicate_keys.names)
        yield _at_most(
            "unique_key", found.duplicate_keys.count, settings.unique_key or Limit(limit=0),
            f"keys that stand more than once: {shown}" if shown else "",
        )  # fmt: skip


def _shift(
    histogram: Histogram, baseline: Histogram, limit: Limit, is_new_recipe: bool
) -> CheckResult:
    value = stability_index(histogram, baseline)
    detail = f"{histogram.column} is distributed otherwise than before"
    is_chance = value <= explained_by_chance(histogram, baseline)
    if value > limit.limit and is_chance:
        detail = f"so few records differ as much by chance: {sum(histogram.counts):,}"
    return _result(
        "max_psi", value, limit, detail,
        is_beyond=value > limit.limit and not is_chance,
        action="hold" if is_new_recipe else "warn",
    )  # fmt: skip


def _at_most(name: str, value: float, limit: Limit, detail: str) -> CheckResult:
    return _result(name, value, limit, detail, is_beyond=value > limit.limit)


def _result(
    name: str, value: float, limit: Limit, detail: str, *,
    is_beyond: bool, action: Action = "hold",
) -> CheckResult:  # fmt: skip
    outcome = limit.action or action if is_beyond else "pass"
    return CheckResult(name=name, value=value, limit=limit.limit, outcome=outcome, detail=detail)
