"""What a run is judged by, gathered from its receipts and from what is live."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from batch.job.job import Job
from batch.model.sidecar import Sidecar
from batch.output.manifest import Manifest, ModelInfo, PartFile
from batch.output.part_reader import read_rows
from batch.output.read import read_document, read_manifest
from batch.output.version import Live
from batch.records.histogram import Histogram, has_same_bins, merged
from batch.run.checks import Duplicates, Evidence
from batch.run.draft import Finished, count
from batch.store.base import Missing, Store

if TYPE_CHECKING:
    import pyarrow as pa

#: How many versions back the last run is looked for.
_FAR_BACK = 20


def gather(store: Store, job: Job, live: Live, run: Finished) -> Evidence:
    """All that the checks of a job need to know of a run whose slices are done."""
    checks, key = job.settings.checks, job.settings.input.key
    parts = [receipt.part for receipt in run.receipts if receipt.part]
    histogram = merged(receipt.histogram for receipt in run.receipts)
    compared, before = _rows_before(store, live, run) if checks.max_row_change else (0, None)
    wants_unique = run.replaces or checks.unique_key is not None
    return Evidence(
        predicted=count(run.receipts).predicted,
        null_predictions=sum(receipt.null_predictions for receipt in run.receipts),
        rows_compared=compared,
        rows_before=before,
        histogram=histogram,
        baseline=_baseline(store, live.manifest, run, histogram),
        is_new_recipe=run.kind == "run" and not _is_as_live(live.manifest, run.model),
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


def _rows_before(store: Store, live: Live, run: Finished) -> tuple[int, int | None]:
    """How many records the run predicted, and how many there were before.

    Of a backfill only the inputs count that had predictions before and have others now.
    """
    if run.kind == "backfill":
        taken = [
            (result.predicted, entry.predicted)
            for receipt in run.receipts
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
    return count(run.receipts).predicted, manifest.added.predicted if manifest else None


def _is_run(manifest: Manifest, run_ids: Collection[str]) -> bool:
    is_run = manifest.kind == "run" and manifest.added.predicted > 0
    return is_run and manifest.run_id in run_ids


def _baseline(
    store: Store, live: Manifest | None, run: Finished, histogram: Histogram | None
) -> Histogram | None:
    """The last published distribution, else that of the training.

    A backfill by another recipe is meant to differ from what is live: for it, only the training.
    """
    is_compared = run.kind == "run" or _is_as_live(live, run.model)
    if live and is_compared and has_same_bins(live.histogram, histogram):
        return live.histogram
    reference = _reference(store, run.model) if histogram else None
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
