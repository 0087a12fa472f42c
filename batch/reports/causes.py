"""Why the latest row of a key is another one in another version."""

from __future__ import annotations

from typing import Literal, get_args

from batch.output.ledger import LedgerEntry

#: new input: it comes from an input that was not there before. changed input: the content of its
#: input is another one. other recipe: the same content, another model, hook or option. again: the
#: same content by the same recipe. dropped: its input, or its rows, left (a rollback, a window, a
#: repair).
Why = Literal["new input", "changed input", "other recipe", "again", "dropped"]
WHYS: tuple[Why, ...] = get_args(Why)


def cause_of_coming(before: LedgerEntry | None, after: LedgerEntry | None) -> Why:
    """Why a row came, by what the ledgers of the two versions say of its input."""
    if before is None or after is None:
        return "new input"
    if before.digest != after.digest:
        return "changed input"
    if _left(before):
        return "new input"
    return "other recipe" if before.recipe != after.recipe else "again"


def cause_of_leaving(before: LedgerEntry | None, after: LedgerEntry | None) -> Why:
    """Why a row left, and no later one took its place."""
    if before is None or after is None:
        return "dropped"
    if before.digest != after.digest:
        return "changed input"
    if _left(after) or before.recipe == after.recipe:
        return "dropped"
    return "other recipe"


def _left(entry: LedgerEntry) -> bool:
    """Whether the input is only remembered: its rows left with the window."""
    return not entry.records
