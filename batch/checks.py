"""Conditions on the whole run, judged before it is published."""

from __future__ import annotations

from collections.abc import Sequence

from batch.job import ChecksSection
from batch.manifest import CheckResult, PartFile
from batch.store.base import Store


def judge(
    settings: ChecksSection, *, predicted: int, duplicate_keys: Sequence[str] | None
) -> tuple[CheckResult, ...]:
    """Every check with its value, its limit and its outcome.

    `predicted` are the records predicted by this run. `duplicate_keys` are a few keys that stand
    in the version more than once, None where that is allowed.
    """
    results = [
        CheckResult(
            name="min_rows",
            value=predicted,
            limit=settings.min_rows,
            outcome="pass" if predicted >= settings.min_rows else "hold",
            detail=f"the run predicted {predicted} records",
        )
    ]
    if duplicate_keys is not None:
        listed = ", ".join(duplicate_keys[:5])
        results.append(
            CheckResult(
                name="unique_key",
                value=len(duplicate_keys),
                limit=0,
                outcome="hold" if duplicate_keys else "pass",
                detail=f"keys that stand more than once: {listed}" if listed else "",
            )
        )
    return tuple(results)


def duplicate_keys(store: Store, files: Sequence[PartFile], key: Sequence[str]) -> list[str]:
    """Keys that stand in the parts more than once, as a person would write them; at most 100."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    tables = []
    for file in files:
        with store.fetch(file.path) as local:
            tables.append(pq.ParquetFile(local).read(columns=list(key)))
    if not tables:
        return []
    counts = pa.concat_tables(tables).group_by(list(key)).aggregate([([], "count_all")])
    doubled = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 100)
    return [", ".join(str(row[name]) for name in key) for row in doubled.to_pylist()]
