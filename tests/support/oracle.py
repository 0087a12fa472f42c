"""Decides whether an output keeps the promise. Imports nothing of ours.

Reads the inputs, the manifests, the ledger and the parts with json, hashlib and pyarrow alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Maps (input path, row number) to the prediction columns of that record.
Expected = Callable[[str, int], dict[str, Any]]


def newest(output: Path) -> dict[str, Any] | None:
    """The newest manifest by its number, whatever the pointer says."""
    files = sorted((output / "manifests").glob("*.json"))
    return json.loads(files[-1].read_text()) if files else None


def versions(output: Path) -> list[dict[str, Any]]:
    """Every manifest that is there, oldest first."""
    return [json.loads(path.read_text()) for path in sorted((output / "manifests").glob("*.json"))]


def files_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts and the files of rejects of a version."""
    return [*manifest["files"], *manifest["rejects"]]


def rows_of(output: Path, manifest: dict[str, Any], which: str = "files") -> list[dict[str, Any]]:
    """Every row of the live parts, after each file was checked against the manifest."""
    found: list[dict[str, Any]] = []
    for file in manifest[which]:
        data = (output / file["path"]).read_bytes()
        assert len(data) == file["bytes"], file["path"]
        assert hashlib.sha256(data).hexdigest() == file["sha256"], file["path"]
        table = pq.read_table(pa.BufferReader(data))
        assert table.num_rows == file["rows"], file["path"]
        assert len(set(table["_input"].to_pylist())) == file["inputs"], file["path"]
        moments = table["_as_of"].to_pylist()
        first, last = (value.replace("Z", "+00:00") for value in file["as_of"])
        assert [min(moments).isoformat(), max(moments).isoformat()] == [first, last], file["path"]
        found += table.to_pylist()
    return found


def ledger_of(output: Path, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The last entry of every path."""
    entries: dict[str, dict[str, Any]] = {}
    for segment in manifest["ledger"]:
        data = (output / segment["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == segment["sha256"], segment["path"]
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        assert len(rows) == segment["inputs"], segment["path"]
        entries.update({row["path"]: row for row in rows})
    return entries


def judge(output: Path, *, expected: Expected | None = None) -> dict[str, Any]:
    """Assert that the newest version holds every ledgered record exactly once.

    Each record is a row of a part or a reject; with `expected`, its predictions are compared.
    The pointer is one of the versions. Returns the newest manifest.
    """
    manifest = judge_newest(output)
    pointer = json.loads((output / "manifest.json").read_text())
    assert pointer in versions(output)
    for row in rows_of(output, manifest) if expected else ():
        assert expected is not None
        for name, value in expected(row["_input"], row["_row"]).items():
            assert _close(row[name], value), (row, name, value)
    return manifest


def judge_newest(output: Path) -> dict[str, Any]:
    """The same, wherever the pointer is: a crash may leave it behind, or not made yet."""
    manifest = newest(output)
    assert manifest is not None, "nothing was published"
    kept = [v for v in versions(output) if v["version"] >= manifest["oldest_kept"]]
    assert [v["version"] for v in kept] == [*range(kept[0]["version"], manifest["version"] + 1)]
    assert [v["parent"] for v in kept[1:]] == [v["version"] for v in kept[:-1]]
    ledger = ledger_of(output, manifest)
    rows, rejects = rows_of(output, manifest), rows_of(output, manifest, "rejects")
    _judge_records(manifest, ledger, rows, rejects)
    return manifest


def _judge_records(
    manifest: dict[str, Any],
    ledger: dict[str, dict[str, Any]],
    rows: list[dict[str, Any]],
    rejects: list[dict[str, Any]],
) -> None:
    places = [(row["_input"], row["_row"]) for row in [*rows, *rejects]]
    wanted = [(path, row) for path, entry in ledger.items() for row in range(entry["records"])]
    assert sorted(places) == sorted(wanted)
    live = {file["path"] for file in [*manifest["files"], *manifest["rejects"]]}
    for path, entry in ledger.items():
        assert entry["records"] == entry["predicted"] + entry["rejected"], path
        assert sum(row["_input"] == path for row in rows) == entry["predicted"], path
        assert {*entry["parts"], *entry["rejects"]} <= live, path
    totals = manifest["totals"]
    assert totals["inputs"] == len(ledger)
    for name in ("records", "predicted", "rejected"):
        assert totals[name] == sum(entry[name] for entry in ledger.values()), name


def _close(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and found is not None:
        return abs(found - wanted) <= 1e-12 * max(abs(wanted), 1e-300)
    return bool(found == wanted)
