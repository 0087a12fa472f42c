"""The live version, and the draft of the next one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from batch.errors import DoesNotFit
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.manifest import (
    FORMAT,
    Column,
    Counts,
    Kind,
    Manifest,
    ModelInfo,
)


@dataclass(frozen=True)
class Live:
    """The newest version, or none, and its ledger."""

    manifest: Manifest | None
    ledger: Ledger

    @property
    def version(self) -> int:
        return self.manifest.version if self.manifest else 0


@dataclass(frozen=True)
class Draft:
    """The next version, without what its commit decides: number, times, ledger and totals.

    `entries` are the ledger entries to write; with `whole_ledger` they replace the whole ledger.
    `manifest.stale_after` is for a version without new predictions.
    """

    manifest: Manifest
    entries: tuple[LedgerEntry, ...]
    whole_ledger: bool = False


def blank(kind: Kind, run_id: str, model: ModelInfo) -> Manifest:
    """A version without any content."""
    return Manifest(
        format=FORMAT, job="", version=0, parent=None, commit_id="", kind=kind, run_id=run_id,
        published_at=datetime.fromtimestamp(0, UTC), published_by="", stale_after=None, paused=None, oldest_kept=1,
        mode="append", key=(), input_base="", columns=(), model=model, totals=Counts(),
        added=Counts(), files=(), rejects=(), ledger=(), unreadable=(), checks=(),
    )  # fmt: skip


def like(
    source: Live, *, kind: Kind, run_id: str, entries: Iterable[LedgerEntry] = (),
    whole_ledger: bool = False, **changes: Any,
) -> Draft:  # fmt: skip
    """A draft that publishes the content of a version again, but for `changes` of its manifest."""
    assert source.manifest is not None, "there is a version to start from"
    same = {"added": Counts(), "checks": (), "paused": None}
    manifest = msgspec.structs.replace(
        source.manifest, kind=kind, run_id=run_id, **(same | changes)
    )
    return Draft(manifest, tuple(entries), whole_ledger)


def union_columns(known: tuple[Column, ...], new: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of parts together. Raises `DoesNotFit` for one name with two types."""
    types = {column.name: column.type for column in known}
    for column in new:
        before = types.setdefault(column.name, column.type)
        if before != column.type:
            raise DoesNotFit(
                f"column {column.name!r}: found {column.type}, published before as {before}",
                "readers rely on the type: rename the column, or set output.path to a new folder",
            )
    return tuple(Column(name=name, type=kind) for name, kind in types.items())
