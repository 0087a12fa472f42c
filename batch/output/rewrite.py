"""Live parts without the rows of some inputs: parts are immutable, so new ones replace them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from batch.output import layout
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.manifest import Manifest, PartFile
from batch.output.part_reader import read_batches
from batch.output.part_writer import PartWriter
from batch.records.columns import AS_OF, INPUT
from batch.store.base import Store


@dataclass(frozen=True)
class Rewritten:
    """The live files after some inputs left, and new entries of the inputs that stay in them."""

    files: tuple[PartFile, ...]
    rejects: tuple[PartFile, ...]
    entries: tuple[LedgerEntry, ...]


def without_inputs(
    store: Store, manifest: Manifest, ledger: Ledger, *, leaving: Collection[str], run_id: str,
    unread: Collection[str] = (),
) -> Rewritten:  # fmt: skip
    """Drop the parts that hold only leaving inputs, and rewrite those that hold others too.

    `leaving` are paths with a ledger entry. The files `unread` are dropped without being read: all
    their inputs leave. Raises `Damaged` for a part that is damaged.
    """
    entries = [entry for entry in map(ledger.get, leaving) if entry]
    touched = {path for entry in entries for path in entry.files} | {*unread}
    if not touched:
        return Rewritten(manifest.files, manifest.rejects, ())
    moved = {
        file.path: None if file.path in unread else _rewrite(store, file, kind, leaving, run_id)
        for kind, files in (("data", manifest.files), ("rejects", manifest.rejects))
        for file in files
        if file.path in touched
    }
    staying = [entry for entry in ledger if entry.path not in leaving and touched & entry.files]
    return Rewritten(
        files=_exchanged(manifest.files, moved),
        rejects=_exchanged(manifest.rejects, moved),
        entries=tuple(
            dataclasses.replace(
                entry, parts=_renamed(entry.parts, moved), rejects=_renamed(entry.rejects, moved)
            )
            for entry in staying
        ),
    )


def _rewrite(
    store: Store, file: PartFile, kind: str,
    leaving: Collection[str], run_id: str,
) -> PartFile | None:  # fmt: skip
    new_path = layout.part_path if kind == "data" else layout.rejects_path
    gone = pa.array(sorted(leaving), pa.string())
    with ExitStack() as stack:
        writer = PartWriter(stack, store, new_path(run_id, 0))
        moments, inputs = [], set[str]()
        for batch in read_batches(store, file, check="sha256"):
            table = pa.Table.from_batches([batch])
            staying = table.filter(pc.invert(pc.is_in(table[INPUT], gone)))
            writer.write(staying)
            inputs.update(staying[INPUT].unique().to_pylist())
            moments += [value for value in pc.min_max(staying[AS_OF]).as_py().values() if value]
        if not inputs:
            return None
        return writer.finish(
            as_of=(min(moments), max(moments)),
            run_id=file.run_id,
            recipe=file.recipe,
            model_sha256=file.model_sha256,
            inputs=len(inputs),
        )


def _exchanged(
    files: tuple[PartFile, ...], moved: dict[str, PartFile | None]
) -> tuple[PartFile, ...]:
    replaced = (moved.get(file.path, file) for file in files)
    return tuple(file for file in replaced if file is not None)


def _renamed(paths: tuple[str, ...], moved: dict[str, PartFile | None]) -> tuple[str, ...]:
    replaced = (moved.get(path, path) for path in paths)
    return tuple(item if isinstance(item, str) else item.path for item in replaced if item)
