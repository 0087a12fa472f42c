"""Ways to damage a published output, and what there is in it to be damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import oracle
from tests.support.jobs import JobFolder
from tests.support.published import flip_byte

Damage = Callable[[Path], str]


def live_three_versions(job: JobFolder) -> None:
    """Three versions, in `append` mode with three ledger segments.

    Live are a part of 1.csv and 2.csv with rejects of both, one of 3.csv, and one of 4.csv, which
    was changed and has left a part that it shared.
    """
    job.add("1.csv", [("a", 1, 2), ("b", "oops", 4), ("c", 2, 2)])
    job.add("2.csv", [("d", 2, 2), ("e", "oops", 1), ("f", 1, 1)])
    job.run()
    job.add("3.csv", [("g", 1, 1), ("h", 0, 3)])
    job.add("4.csv", [("i", 1, 0)])
    job.run()
    job.add("4.csv", [("i", 2, 0), ("j", 3, 3)])
    job.run()


def missing(which: str, index: int = 0, name: str = "path") -> Damage:
    """Remove one of the live files, segments or models."""

    def damage(output: Path) -> str:
        (output / _named(output, which, index, name)).unlink()
        return _named(output, which, index, name)

    return damage


def flipped(which: str, index: int = 0, name: str = "path") -> Damage:
    """Alter a byte in the middle of one of them."""

    def damage(output: Path) -> str:
        flip_byte(output / _named(output, which, index, name))
        return _named(output, which, index, name)

    return damage


def truncated(which: str, index: int = 0) -> Damage:
    """Cut off its last byte."""

    def damage(output: Path) -> str:
        path = output / _named(output, which, index)
        path.write_bytes(path.read_bytes()[:-1])
        return _named(output, which, index)

    return damage


def rewritten(
    change: Callable[[pa.Table], pa.Table], which: str = "files", index: int = 0
) -> Damage:
    """Change rows, and the manifest along with them: size and sha256 fit."""

    def damage(output: Path) -> str:
        path = _named(output, which, index)
        pq.write_table(change(pq.read_table(output / path, partitioning=None)), output / path)
        data = (output / path).read_bytes()
        manifest = oracle.newest(output)
        assert manifest is not None
        manifest[which][index] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest["totals"]["bytes"] = sum(file["bytes"] for file in manifest["files"])
        rewrite_manifest(output, **manifest)
        return path

    return damage


def relisted(path: str, **changes: Any) -> Damage:
    """Change the newest ledger entry of an input, and the manifest along with it."""

    def damage(output: Path) -> str:
        manifest = oracle.newest(output) or {}
        segment = manifest["ledger"][-1]
        table = pq.read_table(output / segment["path"])
        rows = [row | changes if row["path"] == path else row for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), output / segment["path"])
        data = (output / segment["path"]).read_bytes()
        segment["sha256"] = hashlib.sha256(data).hexdigest()
        rewrite_manifest(output, **manifest)
        return "manifest.json"

    return damage


def rewrite_manifest(output: Path, **changes: Any) -> None:
    """Change fields of the newest manifest and of the pointer."""
    manifest = (oracle.newest(output) or {}) | changes
    text = json.dumps(manifest)
    (output / "manifests" / f"{manifest['version']:010d}.json").write_text(text)
    (output / "manifest.json").write_text(text)


def first_row_twice(table: pa.Table) -> pa.Table:
    """As many rows as before, but the second one is the first once more."""
    return table.take([0, 0, *range(2, table.num_rows)])


def of_another_input(table: pa.Table) -> pa.Table:
    """As many rows of as many inputs as before, but not those that were ledgered."""
    names = pa.array(["9.csv" if name == "3.csv" else name for name in table["_input"].to_pylist()])
    return _with(table, "_input", names)


def of_the_other_input(table: pa.Table) -> pa.Table:
    """A row has moved from one input of the part to the other."""
    names = table["_input"].to_pylist()
    return _with(table, "_input", pa.array([names[-1], *names[1:]]))


def with_a_row_too_far(table: pa.Table) -> pa.Table:
    """The first row says that it is the thousandth."""
    return _with(table, "_row", pa.array([999, *table["_row"].to_pylist()[1:]]))


def with_a_row_unknown(table: pa.Table) -> pa.Table:
    """Nobody knows which row the first one is."""
    return _with(table, "_row", pa.array([None, *table["_row"].to_pylist()[1:]], pa.int64()))


def with_a_row_of_the_part(table: pa.Table) -> pa.Table:
    """The first reject is a record that was predicted."""
    return _with(table, "_row", pa.array([0, *table["_row"].to_pylist()[1:]]))


def with_a_null_key(table: pa.Table) -> pa.Table:
    """The first row has no key."""
    return _with(table, "id", pa.array([None, *table["id"].to_pylist()[1:]]))


def with_another_type(table: pa.Table) -> pa.Table:
    """A probability has become text."""
    return _with(table, "probability_no", table["probability_no"].cast(pa.string()))


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _named(output: Path, which: str, index: int, name: str = "path") -> str:
    manifest = oracle.newest(output)
    assert manifest is not None
    found = manifest[which]
    return str((found if which == "model" else found[index])[name])


#: Damage of live files, found without reading all.
PLAIN: dict[str, Damage] = {
    "a part is missing": missing("files", 1),
    "a shared part is missing": missing("files"),
    "a shared part is cut off": truncated("files"),
    "the last part is cut off": truncated("files", 2),
    "rejects are missing": missing("rejects"),
    "rejects are cut off": truncated("rejects"),
    "rows are those of an unknown input": rewritten(of_another_input, index=1),
    "a row is that of the other input": rewritten(of_the_other_input),
}
#: Damage of live files that only `--deep` finds for sure.
DEEP: dict[str, Damage] = {
    "a byte of a shared part flipped": flipped("files"),
    "a byte of a part flipped": flipped("files", 1),
    "a byte of the rejects flipped": flipped("rejects"),
    "a row stands twice": rewritten(first_row_twice),
    "a row is none of the input's": rewritten(with_a_row_too_far, "rejects"),
    "a row is null": rewritten(with_a_row_unknown),
    "a record is predicted and rejected": rewritten(with_a_row_of_the_part, "rejects"),
    "a key is null": rewritten(with_a_null_key),
    "a column has another type": rewritten(with_another_type, index=2),
}
#: A ledger that is whole and does not say what is there.
ENTRIES: dict[str, Damage] = {
    "an entry does not add up": relisted("4.csv", records=3),
    "an entry names no part": relisted("4.csv", parts=[]),
    "an entry names no file that is live": relisted("4.csv", rejects=["rejects/x"], rejected=1),
}
#: Damage of the ledger, which is always read whole.
LEDGER: dict[str, Damage] = {
    f"segment {index} {what}": kind("ledger", index)
    for index in range(3)
    for what, kind in {"is missing": missing, "flipped": flipped, "is cut off": truncated}.items()
}
#: Damage of what was published along with the predictions.
MODEL_MISSING: dict[str, Damage] = {
    f"the {name} is missing": missing("model", name=name) for name in ("path", "recipe", "sidecar")
}
MODEL_FLIPPED: dict[str, Damage] = {
    f"a byte of the {name} flipped": flipped("model", name=name)
    for name in ("path", "recipe", "sidecar")
}
