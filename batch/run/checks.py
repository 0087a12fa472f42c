"""Conditions on the whole run, judged before it is published."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from batch.job.job_file import Job
from batch.model.sidecar import Sidecar
from batch.output.manifest import Manifest, ModelInfo, PartFile
from batch.output.part_reader import read_rows
from batch.output.read import read_document, read_manifest
from batch.output.version import Live
from batch.records.histogram import Histogram, has_same_bins, merged
from batch.run.draft import count
from batch.run.resume import Work
from batch.store.base import Missing, Store
from batch.wording import counted, decimal

if TYPE_CHECKING:
    import pyarrow as pa

from collections.abc import Iterator
from dataclasses import dataclass

from batch.job.settings import Action, ChecksSection, Limit
from batch.output.manifest import CheckResult
from batch.records.histogram import explained_by_chance, stability_index

#: How many versions back the last run is looked for.
_FAR_BACK = 20


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
    value, limit = (decimal(found or 0, 4) for found in (check.value, check.limit))
    relation = {"min_rows": "is below"}.get(check.name, "exceeds")
    relation = relation if check.outcome != "pass" else "is within"
    return f"{check.name}: {value} {relation} {limit}: {check.detail}"


def gather(store: Store, job: Job, live: Live, work: Work) -> Evidence:
    """All that the checks of a job need to know of a run whose slices are done."""
    checks, key = job.settings.checks, job.settings.input.key
    parts = [receipt.part for receipt in work.receipts if receipt.part]
    histogram = merged(receipt.histogram for receipt in work.receipts)
    compared, before = _rows_before(store, live, work) if checks.max_row_change else (0, None)
    replaces = job.settings.output.mode == "replace"
    wants_unique = replaces or checks.unique_key is not None
    return Evidence(
        predicted=count(work.receipts).predicted,
        null_predictions=sum(receipt.null_predictions for receipt in work.receipts),
        rows_compared=compared,
        rows_before=before,
        histogram=histogram,
        baseline=_baseline(store, live.manifest, work, histogram),
        is_new_recipe=work.plan.kind == "run" and not _is_as_live(live.manifest, work.plan.model),
        duplicate_keys=duplicate_keys(store, parts, key) if wants_unique else None,
        key_loss=_key_loss(store, live.manifest, parts) if checks.max_key_loss else None,
    )


def duplicate_keys(store: Store, files: Sequence[PartFile], key: Sequence[str]) -> Duplicates:
    """The keys that stand in the parts more than once, a few as a person would write them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables = _keys(store, files, key)
    if not tables:
        return Duplicates(0)
    counts = pa.concat_tables(tables).group_by(list(key)).aggregate([([], "count_all")])
    doubled = counts.filter(pc.greater(counts["count_all"], 1))
    names = [", ".join(str(row[name]) for name in key) for row in doubled.slice(0, 5).to_pylist()]
    return Duplicates(doubled.num_rows, tuple(names))


def _results(settings: ChecksSection, found: Evidence) -> Iterator[CheckResult]:
    rows = found.predicted
    yield _result(
        "min_rows", rows, settings.min_rows, f"the run predicted {counted(rows, 'record')}",
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
            f"{counted(found.rows_compared, 'record')}, {found.rows_before:,} before",
        )  # fmt: skip
    if found.histogram and found.baseline:
        yield _shift(found.histogram, found.baseline, settings.max_psi, found.is_new_recipe)
    if settings.max_key_loss and found.key_loss is not None:
        yield _at_most(
            "max_key_loss", found.key_loss, settings.max_key_loss,
            f"{found.key_loss:.2%} of the live keys would disappear",
        )  # fmt: skip
    if found.duplicate_keys is not None:
        shown = ", ".join(found.duplicate_keys.names)
        yield _at_most(
            "unique_key", found.duplicate_keys.count, settings.unique_key or Limit(limit=0),
            f"keys that appear more than once: {shown}" if shown else "",
        )  # fmt: skip


def _shift(
    histogram: Histogram, baseline: Histogram, limit: Limit, is_new_recipe: bool
) -> CheckResult:
    value = stability_index(histogram, baseline)
    detail = f"the distribution of `{histogram.column}` has shifted"
    is_chance = value <= explained_by_chance(histogram, baseline)
    if value > limit.limit and is_chance:
        detail = f"explainable by chance with {counted(sum(histogram.counts), 'record')}"
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


def _rows_before(store: Store, live: Live, work: Work) -> tuple[int, int | None]:
    """How many records the run predicted, and how many there were before.

    Of a backfill only the inputs count that had predictions before and have others now.
    """
    if work.plan.kind == "backfill":
        taken = [
            (result.predicted, entry.predicted)
            for receipt in work.receipts
            for result in receipt.results
            if result.outcome == "taken" and (entry := live.ledger.get(result.path))
        ]
        return sum(now for now, _ in taken), sum(before for _, before in taken)
    # A run that was rolled back is none to be compared with: the ledger knows it no more.
    run_ids = live.ledger.run_ids()
    manifest = live.manifest
    for _ in range(_FAR_BACK):
        if manifest is None or _is_run(manifest, run_ids):
            break
        try:
            manifest = read_manifest(store, manifest.parent) if manifest.parent else None
        except Missing:
            manifest = None
    return count(work.receipts).predicted, manifest.added.predicted if manifest else None


def _is_run(manifest: Manifest, run_ids: Collection[str]) -> bool:
    is_run = manifest.kind == "run" and manifest.added.predicted > 0
    return is_run and manifest.run_id in run_ids


def _baseline(
    store: Store, live: Manifest | None, work: Work, histogram: Histogram | None
) -> Histogram | None:
    """The last published distribution, else that of the training.

    A backfill by another recipe is meant to differ from what is live: for it, only the training.
    """
    is_compared = work.plan.kind == "run" or _is_as_live(live, work.plan.model)
    if live and is_compared and has_same_bins(live.histogram, histogram):
        return live.histogram
    reference = _reference(store, work.plan.model) if histogram else None
    return reference if has_same_bins(reference, histogram) else None


def _reference(store: Store, model: ModelInfo) -> Histogram | None:
    return read_document(store, model.sidecar, Sidecar).reference if model.sidecar else None


def _is_as_live(live: Manifest | None, model: ModelInfo) -> bool:
    return live is not None and live.model.recipe == model.recipe


def _key_loss(store: Store, live: Manifest | None, parts: Sequence[PartFile]) -> float | None:
    """The share of the live keys that stand in none of these parts."""
    import pyarrow as pa

    before = _keys(store, live.files, live.key) if live else []
    if live is None or not before:
        return None
    key = list(live.key)
    old = pa.concat_tables(before).group_by(key).aggregate([])
    new = _keys(store, parts, key)
    left = old.join(pa.concat_tables(new), key, join_type="left anti").num_rows if new else len(old)
    return float(left / len(old))


def _keys(store: Store, files: Sequence[PartFile], key: Sequence[str]) -> list[pa.Table]:
    return [read_rows(store, file, key, check="size") for file in files]
