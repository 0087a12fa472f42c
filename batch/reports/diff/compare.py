"""Compare two versions as applications see them: the latest row of each key, and why it changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from batch.errors import DoesNotFit
from batch.output import layout
from batch.output.manifest import Manifest
from batch.output.read import newest_manifest, read_document, read_kept, with_ledger
from batch.output.version import Live
from batch.records.arrays import to_arrow
from batch.records.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.records.documents import Document
from batch.reports.causes import WHYS, Why
from batch.reports.diff.differences import find_differences
from batch.reports.diff.moves import Moves, find_moves
from batch.reports.diff.pairs import Pairs, pair
from batch.store.base import Missing, Store

if TYPE_CHECKING:
    import numpy as np

_EPOCH = date(1970, 1, 1)


class Compared(Document, frozen=True):
    """One of the two versions; `model` is the sha256 of the model behind its newest predictions."""

    version: int
    kind: str
    published_at: datetime
    published_by: str
    model: str


class Sizes(Document, frozen=True):
    """Numbers of keys, and sizes of changes.

    `changed` keys have a different prediction, `labels` of them a different label; `same` ones were
    predicted again, or from another record, with the same result. `mean` and `largest` are of the
    absolute change of the number that represents a prediction, null if there is none.
    """

    new: int = 0
    gone: int = 0
    changed: int = 0
    same: int = 0
    labels: int = 0
    mean: float | None = None
    largest: float | None = None


class DateChange(Sizes, frozen=True, kw_only=True):
    """The changes of one reason on one date (UTC) of the inputs behind them."""

    date: date
    why: Why


class SeenRow(Document, frozen=True):
    """The latest row of a key in one version: its place, and its predictions."""

    input: str
    row: int
    as_of: datetime
    predictions: dict[str, object]


class KeyChange(Document, frozen=True):
    """One key whose prediction changed; `change` is that of the number, null if there is none."""

    key: dict[str, object]
    why: Why
    change: float | None
    before: SeenRow
    after: SeenRow


class Comparison(Document, frozen=True):
    """The differences between two versions, key by key.

    `number` is the column that `mean`, `largest` and `change` are of, `label` the one that
    `labels` counts; null where there is none. `dates` are in order, `largest` the largest first.
    """

    job: str
    before: Compared
    after: Compared
    number: str | None = None
    label: str | None = None
    totals: Sizes = Sizes()
    dates: tuple[DateChange, ...] = ()
    largest: tuple[KeyChange, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether an application gets the same answer for every key."""
        return not (self.totals.new or self.totals.gone or self.totals.changed)


def choose(store: Store, first: int | None, second: int | None) -> tuple[Live, Live]:
    """The two versions to compare: by default the live one with the one before it.

    With one number, that version with the live one. Raises `NoInput` for one that is not kept.
    """
    live = newest_manifest(store)
    second = second or (live.version if live else 1)
    chosen = [read_kept(store, live, number) for number in (first or second - 1, second)]
    return with_ledger(store, chosen[0]), with_ledger(store, chosen[1])


def compare(store: Store, before: Live, after: Live, *, shown: int) -> Comparison:
    """Compare two versions, given with their ledgers; name the `shown` largest changes.

    Raises `Damaged` for a part that cannot be read, `DoesNotFit` for a column with two types.
    """
    import numpy as np

    old, new = before.manifest, after.manifest
    assert old is not None, "it was read"
    assert new is not None, "it was read"
    columns = _prediction_columns(store, old, new)
    pairs = pair(store, old, new, columns)
    if pairs is None:
        return Comparison(job=new.job, before=_compared(old), after=_compared(new))
    differences = find_differences(pairs, columns)
    moves = find_moves(pairs, differences, before.ledger, after.ledger)
    groups = moves.day * len(WHYS) + moves.why
    kinds, group = np.unique(groups, return_inverse=True)
    return Comparison(
        job=new.job,
        before=_compared(old),
        after=_compared(new),
        number=differences.number,
        label=differences.label,
        totals=next(_sizes(moves, np.zeros_like(group), 1)),
        dates=tuple(
            DateChange(date=_EPOCH + timedelta(days=kind // len(WHYS)), why=WHYS[kind % len(WHYS)],
                       **msgspec.structs.asdict(sizes))
            for kind, sizes in zip(kinds.tolist(), _sizes(moves, group, len(kinds)), strict=True)
        ),
        largest=_largest(pairs, moves, old.key, columns, shown),
    )  # fmt: skip


def _sizes(moves: Moves, group: np.ndarray, groups: int) -> Iterator[Sizes]:
    """The sizes of each group of moves, in the order of their numbers."""
    import numpy as np

    def count(chosen: np.ndarray) -> list[int]:
        return list(np.bincount(group[chosen], minlength=groups).tolist())

    is_both = (moves.before >= 0) & (moves.after >= 0)
    counted = moves.is_changed & np.isfinite(moves.change)
    sizes = np.abs(moves.change[counted])
    sums = np.bincount(group[counted], weights=sizes, minlength=groups)
    largest = np.zeros(groups)
    np.maximum.at(largest, group[counted], sizes)
    counts = count(counted)
    columns = zip(
        count(moves.before < 0), count(moves.after < 0), count(moves.is_changed),
        count(is_both & ~moves.is_changed), count(moves.is_relabeled), strict=True,
    )  # fmt: skip
    for index, (new, gone, changed, same, labels) in enumerate(columns):
        yield Sizes(
            new=new, gone=gone, changed=changed, same=same, labels=labels,
            mean=float(sums[index] / counts[index]) if counts[index] else None,
            largest=float(largest[index]) if counts[index] else None,
        )  # fmt: skip


def _largest(
    pairs: Pairs, moves: Moves, key: Sequence[str], columns: Sequence[str], shown: int
) -> tuple[KeyChange, ...]:
    """The largest changes; where there is no number, those with another label come first."""
    import numpy as np

    changed = moves[moves.is_changed]
    score = np.where(
        np.isfinite(changed.change), np.abs(changed.change), changed.is_relabeled - 1.0
    )
    top = changed[np.argsort(-score, kind="stable")[:shown]]
    before, after = (
        pairs.rows.take(to_arrow(rows)).to_pylist() for rows in (top.before, top.after)
    )
    return tuple(
        KeyChange(
            key={name: old[name] for name in key},
            why=WHYS[why],
            change=change if np.isfinite(change) else None,
            before=_seen(old, columns),
            after=_seen(new, columns),
        )
        for old, new, why, change in zip(
            before, after, top.why.tolist(), top.change.tolist(), strict=True
        )
    )


def _seen(row: dict[str, Any], columns: Sequence[str]) -> SeenRow:
    return SeenRow(
        input=row[INPUT],
        row=row[ROW],
        as_of=row[AS_OF],
        predictions={name: row.get(name) for name in columns},
    )


def _prediction_columns(store: Store, old: Manifest, new: Manifest) -> list[str]:
    """The columns of either version less the key, ours, and those passed through."""
    types: dict[str, str] = {}
    for manifest in (old, new):
        for column in manifest.columns:
            if types.setdefault(column.name, column.type) != column.type:
                raise DoesNotFit(
                    f"column {column.name!r}: {types[column.name]} in version {old.version}, "
                    f"{column.type} in version {new.version}: they cannot be compared"
                )
    left_out = {*old.key, *OUR_COLUMNS, *_carried(store, old, new)}
    return [name for name in types if name not in left_out]


def _carried(store: Store, *manifests: Manifest) -> set[str]:
    """The columns passed through by the recipes of the live rows; parts do not tell them apart."""
    recipes = {
        layout.recipe_path(file.model_sha256, file.recipe)
        for manifest in manifests
        for file in manifest.files
    }
    found = set[str]()
    for path in recipes:
        with suppress(Missing):
            found.update(read_document(store, path, _Carried).passthrough)
    return found


class _Carried(Document, frozen=True):
    """The part of a recipe that is needed here."""

    passthrough: tuple[str, ...] = ()


def _compared(manifest: Manifest) -> Compared:
    return Compared(
        version=manifest.version,
        kind=manifest.kind,
        published_at=manifest.published_at,
        published_by=manifest.published_by,
        model=manifest.made_by,
    )
