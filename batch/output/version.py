"""The live version, and the draft of the next one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from batch.errors import DoesNotFit
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.manifest import (
    CheckResult,
    Column,
    Counts,
    Kind,
    Manifest,
    ModelInfo,
    PartFile,
    Paused,
    Unreadable,
)
from batch.records.histogram import Histogram


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
    """The content of the next version.

    `entries` are the ledger entries to write; with `whole_ledger` they replace the whole ledger.
    `stale_after` is for a version without new predictions.
    """

    kind: Kind
    run_id: str
    files: tuple[PartFile, ...]
    rejects: tuple[PartFile, ...]
    entries: tuple[LedgerEntry, ...]
    whole_ledger: bool
    columns: tuple[Column, ...]
    model: ModelInfo
    added: Counts
    unreadable: tuple[Unreadable, ...]
    checks: tuple[CheckResult, ...]
    histogram: Histogram | None
    paused: Paused | None = None
    stale_after: datetime | None = None


def like(
    source: Live, *, kind: Kind, run_id: str, whole_ledger: bool = False,
    paused: Paused | None = None,
) -> Draft:  # fmt: skip
    """A draft that publishes the content of a version again, with nothing new in it.

    With `whole_ledger` its ledger replaces the live one; else the ledger stays as it is.
    """
    manifest = source.manifest
    assert manifest is not None, "there is a version to start from"
    return Draft(
        kind=kind,
        run_id=run_id,
        files=manifest.files,
        rejects=manifest.rejects,
        entries=tuple(source.ledger) if whole_ledger else (),
        whole_ledger=whole_ledger,
        columns=manifest.columns,
        model=manifest.model,
        added=Counts(),
        unreadable=manifest.unreadable,
        checks=(),
        histogram=manifest.histogram,
        paused=paused,
        stale_after=manifest.stale_after,
    )


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
