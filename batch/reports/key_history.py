"""Why the prediction of a key changed: its latest row in every version that is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from batch.errors import BatchError, Damaged
from batch.output.layout import manifest_path
from batch.output.manifest import Manifest, PartFile
from batch.output.read import all_kept, with_ledger
from batch.records.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.records.documents import Document
from batch.reports.causes import Why, cause_of_coming, cause_of_leaving
from batch.reports.rows import KeyFinder, place_of
from batch.store.base import Store


class Period(Document, frozen=True):
    """Consecutive versions, `first` to `last`, with the same latest row of a key.

    `kind`, `published_at` and `published_by` are those of the first of them, and `why` is the
    reason that it differs from the one before (null for the oldest kept one). `model` is the sha256
    of the model behind the row. Without a row, every field about it is null.
    """

    first: int
    last: int
    kind: str
    published_at: datetime
    published_by: str
    why: Why | None
    input: str | None = None
    row: int | None = None
    as_of: datetime | None = None
    model: str | None = None
    run_id: str | None = None
    values: dict[str, object] | None = None


class Unread(Document, frozen=True):
    """A file that could not be read: in these versions the latest row may be a different one."""

    path: str
    reason: str
    versions: tuple[int, ...]


class Story(Document, frozen=True):
    """The predictions that applications got for a key, newest period first; none if unknown."""

    job: str
    key: dict[str, str]
    oldest: int
    newest: int
    periods: tuple[Period, ...]
    unread: tuple[Unread, ...]


def tell(store: Store, live: Manifest, key: Sequence[str]) -> Story:
    """Follow a key, one text for each key column, through all kept versions.

    Each part is read once. Raises `BadUsage` for a key of the wrong form.
    """
    teller = _Teller(store, KeyFinder(store, live, key))
    for version, found in all_kept(store, live):
        if isinstance(found, BatchError):
            teller.miss(manifest_path(version), found, version)
        else:
            teller.follow(found)
    return Story(
        job=live.job,
        key=teller.finder.key,
        oldest=live.oldest_kept,
        newest=live.version,
        periods=tuple(reversed(teller.periods())),
        unread=tuple(
            Unread(path=path, reason=teller.reasons[path], versions=tuple(versions))
            for path, versions in teller.missed.items()
        ),
    )


@dataclass(frozen=True)
class _Hit:
    """A row of the key and its part; equal if an application sees no difference."""

    row: dict[str, object]
    model: str
    recipe: str
    run_id: str = field(compare=False)


@dataclass
class _Stretch:
    """A period while it grows."""

    first: Manifest
    hit: _Hit | None
    why: Why | None
    last: int


@dataclass
class _Teller:
    """Follows the key through the versions, oldest first."""

    store: Store
    finder: KeyFinder
    hits: dict[str, list[_Hit]] = field(default_factory=dict)
    stretches: list[_Stretch] = field(default_factory=list)
    missed: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    before: Manifest | None = None

    def follow(self, manifest: Manifest) -> None:
        """Find the latest row in one more version."""
        hit = max(self._live_hits(manifest), key=lambda hit: place_of(hit.row), default=None)
        if self.stretches and self.stretches[-1].hit == hit:
            self.stretches[-1].last = manifest.version
        else:
            why = self._why(manifest, hit) if self.before else None
            self.stretches.append(_Stretch(manifest, hit, why, manifest.version))
        self.before = manifest

    def miss(self, path: str, error: BatchError, version: int) -> None:
        """Note what cannot be read."""
        self.reasons[path] = error.message
        self.missed.setdefault(path, []).append(version)

    def periods(self) -> list[Period]:
        """The periods found, oldest first."""
        known = any(stretch.hit for stretch in self.stretches)
        return [self._period(stretch) for stretch in self.stretches if known]

    def _live_hits(self, manifest: Manifest) -> Iterator[_Hit]:
        names = [column.name for column in manifest.columns]
        for file in manifest.files:
            if file.path not in self.hits:
                self._read(file, names)
            if file.path in self.reasons:
                self.missed.setdefault(file.path, []).append(manifest.version)
            yield from self.hits[file.path]

    def _read(self, file: PartFile, names: Sequence[str]) -> None:
        self.hits[file.path] = []
        try:
            rows = self.finder.rows(file, names)
        except Damaged as error:
            self.reasons[file.path] = error.message
        else:
            self.hits[file.path] = [
                _Hit(row, file.model_sha256, file.recipe, file.run_id) for row in rows
            ]

    def _why(self, manifest: Manifest, hit: _Hit | None) -> Why | None:
        """Why the row differs from the one in the version before; None if that is unknown."""
        old = self.stretches[-1].hit
        behind = max((row for row in (old, hit) if row), key=lambda row: place_of(row.row))
        same_input = old and hit and old.row[INPUT] == hit.row[INPUT]
        judge = cause_of_coming if same_input or behind is hit else cause_of_leaving
        path = str((hit if same_input and hit else behind).row[INPUT])
        try:
            ledgers = [
                with_ledger(self.store, version).ledger for version in (self.before, manifest)
            ]
        except Damaged:
            return None
        return judge(ledgers[0].get(path), ledgers[1].get(path))

    def _period(self, stretch: _Stretch) -> Period:
        first = stretch.first
        period = Period(
            first=first.version,
            last=stretch.last,
            kind=first.kind,
            published_at=first.published_at,
            published_by=first.published_by,
            why=stretch.why,
        )
        return _with_row(period, stretch.hit, self.finder.key) if stretch.hit else period


def _with_row(period: Period, hit: _Hit, key: Collection[str]) -> Period:
    return msgspec.structs.replace(
        period,
        input=hit.row[INPUT],
        row=hit.row[ROW],
        as_of=hit.row[AS_OF],
        model=hit.model,
        run_id=hit.run_id,
        values={name: value for name, value in hit.row.items() if name not in {*key, *OUR_COLUMNS}},
    )
