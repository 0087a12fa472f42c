"""The keys whose latest row came, left or was replaced between two versions, and why."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.output.ledger import Ledger
from batch.records.arrays import in_one, to_numpy
from batch.records.columns import AS_OF, INPUT
from batch.reports.causes import WHYS, cause_of_coming, cause_of_leaving
from batch.reports.diff.differences import Differences
from batch.reports.diff.pairs import Pairs

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class Moves:
    """The pairs to report: keys that are new, gone, changed, or predicted again with the same result.

    `before`, `after` and `change` are theirs; `why` is an index into `WHYS`, `day` counts from
    the epoch. `is_changed` is true where both rows are there and differ.
    """

    before: np.ndarray
    after: np.ndarray
    why: np.ndarray
    day: np.ndarray
    is_changed: np.ndarray
    is_relabeled: np.ndarray
    change: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Moves:
        return Moves(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def find_moves(pairs: Pairs, differences: Differences, before: Ledger, after: Ledger) -> Moves:
    """Classify the pairs, by the entries of their inputs in the ledgers of the two versions."""
    import numpy as np

    inputs = in_one(pairs.rows[INPUT])
    codes = to_numpy(inputs.indices)
    is_both = (pairs.before >= 0) & (pairs.after >= 0)
    # The later of two rows decides the reason: it came and won, or it left and lost.
    same_input = is_both & (codes[pairs.before] == codes[pairs.after])
    is_later = pairs.place[pairs.after] > pairs.place[pairs.before]
    is_coming = (pairs.before < 0) | (is_both & (same_input | is_later))
    behind = np.where(is_coming, pairs.after, pairs.before)
    causes = _causes(inputs.dictionary, codes[behind], is_coming, before, after)
    as_of = to_numpy(in_one(pairs.rows[AS_OF]).cast("int64"))
    moves = Moves(
        before=pairs.before,
        after=pairs.after,
        why=causes,
        day=as_of[behind] // _DAY_MICROSECONDS,
        is_changed=is_both & differences.differs,
        is_relabeled=differences.is_relabeled,
        change=differences.change,
    )
    # Rows that only moved to another file are no change to any application.
    return moves[~is_both | differences.differs | (causes != WHYS.index("again"))]


def _causes(
    names: pa.Array, codes: np.ndarray, is_coming: np.ndarray, before: Ledger, after: Ledger
) -> np.ndarray:
    """Each input is looked up once, however many of its rows moved."""
    import numpy as np

    kinds, kind = np.unique(codes.astype(np.int64) * 2 + is_coming, return_inverse=True)
    found = np.zeros(len(kinds), np.int64)
    for index, (code, coming) in enumerate(zip(kinds // 2, kinds % 2, strict=True)):
        path = names[int(code)].as_py()
        judge = cause_of_coming if coming else cause_of_leaving
        found[index] = WHYS.index(judge(before.get(path), after.get(path)))
    return found[kind]
