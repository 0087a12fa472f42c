"""What the files of the live version hold, against what its ledger says they hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import Damaged
from batch.output import layout
from batch.output.ledger import Ledger, LedgerEntry
from batch.output.manifest import Column, LedgerFile, Manifest, PartFile
from batch.output.part_writer import REJECT_SCHEMA, columns_of
from batch.output.read import read_segment
from batch.records.columns import INPUT, ROW
from batch.store.base import Store
from batch.upkeep.damage import REPAIR, Finding, examine
from batch.wording import listed

_SHOWN = 3


@dataclass
class Damage:
    """What of a version cannot be used.

    `files` are live files that are no good, `inputs` have rows that are wrong or not explained.
    `entries` are the ledger, or what is left of it where it is not whole.
    """

    entries: tuple[LedgerEntry, ...] = ()
    files: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    is_ledger_whole: bool = True
    is_miscounted: bool = False

    @property
    def needs_version(self) -> bool:
        """Whether a version without it would be a better one."""
        return bool(self.files or self.inputs or self.is_miscounted or not self.is_ledger_whole)

    def leaving(self) -> set[str]:
        """The inputs of which any row cannot be used: they leave whole."""
        return self.inputs | {entry.path for entry in self.entries if self.files & _named(entry)}


def audit(
    store: Store, live: Manifest, *, broken: Collection[str], deep: bool, repair: str = REPAIR
) -> Damage:
    """Compare manifest, ledger and rows of a version; `broken` objects are known to be damaged.

    With `deep` row by row. Whatever is damaged is a finding, and the rest is compared.
    """
    files = {file.path for file in (*live.files, *live.rejects)}
    work = _Audit(store, live, files, deep, repair, Damage(files=files & {*broken}))
    work.read_ledger(broken)
    work.check_entries()
    work.check_files()
    return work.damage


@dataclass
class _Audit:
    store: Store
    live: Manifest
    paths: set[str]
    deep: bool
    repair: str
    damage: Damage

    def read_ledger(self, broken: Collection[str]) -> None:
        """The entries in force, as far as the segments can be read."""
        segments = [
            self._read(segment) for segment in self.live.ledger if segment.path not in broken
        ]
        readable = [segment for segment in segments if segment]
        self.damage.is_ledger_whole = len(readable) == len(self.live.ledger)
        entries = tuple(Ledger.from_segments(readable))
        if not self.damage.is_ledger_whole:
            # A later entry may be lost: those whose files left are not in force any more.
            entries = tuple(entry for entry in entries if _named(entry) <= self.paths)
        self.damage.entries = entries

    def _read(self, segment: LedgerFile) -> tuple[str, bytes] | None:
        try:
            source = segment.path, read_segment(self.store, segment)
            found = len(Ledger.from_segments([source]))
        except Damaged as error:
            self._find(segment.path, error.message)
            return None
        if found != segment.inputs:
            self._miscount(f"{segment.path} has {found:,} entries, not {segment.inputs:,}")
        return source

    def check_entries(self) -> None:
        """Records = predicted + rejected, the files are live, and the totals are right."""
        entries, totals = self.damage.entries, self.live.totals
        for entry in entries:
            if wrong := self._wrong(entry):
                self.damage.inputs.add(entry.path)
                self._find(layout.POINTER, f"the ledger entry of {entry.path} {wrong}")
        found = {"inputs": len(entries), "bytes": sum(file.bytes for file in self.live.files)}
        for name in ("records", "predicted", "rejected"):
            found[name] = sum(getattr(entry, name) for entry in entries)
        for name, count in found.items():
            if self.damage.is_ledger_whole and count != getattr(totals, name):
                self._miscount(f"totals: {name}: found {count:,}, not {getattr(totals, name):,}")

    def _wrong(self, entry: LedgerEntry) -> str:
        if gone := _named(entry) - self.paths:
            return f"names {_listed(gone)}, which is not live"
        if entry.records != entry.predicted + entry.rejected:
            return "has other records than predicted + rejected"
        if (bool(entry.predicted), bool(entry.rejected)) != (
            bool(entry.parts),
            bool(entry.rejects),
        ):
            return "names no file for its rows, or files without rows"
        return ""

    def check_files(self) -> None:
        """Every live file holds the rows of the inputs that name it, and no others."""
        seen = _RowsSeen({entry.path: entry.records for entry in self.damage.entries})
        expected = _expected(self.damage.entries)
        for files, columns, key in (
            (self.live.files, self.live.columns, self.live.key),
            (self.live.rejects, columns_of(REJECT_SCHEMA), ()),
        ):
            for file in files:
                if file.path not in self.damage.files:
                    rows = _Rows(columns, key, seen if self.deep else None)
                    self._check(file, rows, expected[file.path])
                    # One finding of an input is enough.
                    seen.give_up(rows.counts if file.path in self.damage.files else rows.doubtful)

    def _check(self, file: PartFile, rows: _Rows, expected: Counter[str]) -> None:
        damage = self.damage
        what = examine(self.store, file.path, rows.read) or _misdescribed(rows, file)
        unexplained = "" if what else _difference(rows, expected)
        if what or unexplained:
            damage.files.add(file.path)
            if not damage.is_ledger_whole:
                # Its entries may be lost: its rows alone tell which inputs it is of.
                damage.inputs |= {name for name in rows.counts if name}
                unexplained = ""  # That is the ledger's damage, and no other.
        elif rows.doubtful:
            damage.inputs |= rows.doubtful
            what = f"rows stand twice, or are no records of the input: {_listed(rows.doubtful)}"
        if what or unexplained:
            self._find(file.path, what or unexplained)

    def _miscount(self, what: str) -> None:
        self.damage.is_miscounted = True
        self._find(layout.POINTER, what)

    def _find(self, path: str, what: str) -> None:
        self.damage.findings.append(
            Finding(path=path, what=what, versions=(self.live.version,), hint=self.repair)
        )


@dataclass
class _Rows:
    """The rows of one file: how many of each input; with `seen`, everything else about them."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    seen: _RowsSeen | None
    counts: Counter[str] = field(default_factory=Counter)
    doubtful: set[str] = field(default_factory=set)

    def read(self, local: Path) -> str:
        """What is wrong with the columns."""
        names = [INPUT, ROW, *self.key] if self.seen else [INPUT]
        with pq.ParquetFile(local) as part:
            if {*names} - {*part.schema_arrow.names}:
                return f"found columns {', '.join(part.schema_arrow.names)}"
            if self.seen and (wrong := self._wrong_columns(part.schema_arrow)):
                return wrong
            for batch in part.iter_batches(columns=names):
                for found in batch[INPUT].value_counts().to_pylist():
                    self.counts[found["values"]] += found["counts"]
                if self.seen:
                    self.doubtful |= self.seen.add(batch[INPUT], batch[ROW])
                    if any(batch[name].null_count for name in self.key):
                        return "found a key that is null"
        return ""

    def _wrong_columns(self, schema: pa.Schema) -> str:
        stated = {column.name: column.type for column in self.columns}
        for column in columns_of(schema):
            if stated.get(column.name) != column.type:
                expected = stated.get(column.name, "none of this name")
                return f"column {column.name!r}: found {column.type}, expected {expected}"
        return ""


class _RowsSeen:
    """Which rows of each input were found, in parts and rejects together."""

    def __init__(self, records: Mapping[str, int]) -> None:
        self._records = records
        self._left: dict[str, int] = {}
        self._maps: dict[str, np.ndarray] = {}
        self._given_up: set[str] = set()

    def give_up(self, names: Iterable[str]) -> None:
        """Take no more interest in these inputs."""
        self._given_up |= {*names}

    def add(self, inputs: pa.Array, rows: pa.Array) -> set[str]:
        """Note rows; returns the inputs of which a row was noted before, or cannot be.

        With as many rows as records, each one stands once if none of them is returned.
        """
        encoded = inputs.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        numbers = rows.fill_null(-1).to_numpy()
        order = np.argsort(codes, kind="stable")
        codes, numbers = codes[order], numbers[order]
        starts = [0, *(np.flatnonzero(np.diff(codes)) + 1)] if len(codes) else []
        names = encoded.dictionary.to_pylist()
        return {
            names[codes[start]]
            for start, group in zip(starts, np.split(numbers, starts[1:]), strict=False)
            if codes[start] >= 0
            and names[codes[start]] not in self._given_up
            and not self._note(names[codes[start]], group)
        }

    def _note(self, name: str, numbers: np.ndarray) -> bool:
        records = self._records.get(name, 0)
        if numbers.min() < 0 or numbers.max() >= records:
            return False
        if name not in self._maps:
            self._maps[name] = np.zeros(records, bool)
        found = self._maps[name]
        is_new = not found[numbers].any() and len(np.unique(numbers)) == len(numbers)
        found[numbers] = True
        self._left[name] = self._left.get(name, records) - len(numbers)
        if not self._left[name]:
            del self._maps[name]  # Of a whole input nothing more can come.
        return is_new


def _expected(entries: Iterable[LedgerEntry]) -> dict[str, Counter[str]]:
    """How many rows of each input a file holds, by the ledger."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        for rows, paths in ((entry.predicted, entry.parts), (entry.rejected, entry.rejects)):
            for path in paths:
                found[path][entry.path] = rows
    return found


def _misdescribed(rows: _Rows, file: PartFile) -> str:
    inputs, count = len(rows.counts), rows.counts.total()
    if (inputs, count) == (file.inputs, file.rows):
        return ""
    return f"found {count:,} rows of {inputs:,} inputs, expected {file.rows:,} of {file.inputs:,}"


def _difference(rows: _Rows, expected: Counter[str]) -> str:
    """What the file holds that the ledger does not say, or the other way."""
    wrong = {name for name in {*rows.counts, *expected} if rows.counts[name] != expected[name]}
    if not wrong:
        return ""
    name = min(wrong, key=str)
    found, said = rows.counts[name], expected[name]
    others = f", and {len(wrong) - 1:,} more inputs" if len(wrong) > 1 else ""
    return f"found {found:,} rows of {name}, the ledger says {said:,}{others}"


def _named(entry: LedgerEntry) -> set[str]:
    return {*entry.parts, *entry.rejects}


def _listed(names: Iterable[str]) -> str:
    return listed(sorted(names, key=str), _SHOWN)
