"""Why the latest row of a key differs between two versions."""

from __future__ import annotations

from typing import Literal, get_args

from batch.output.ledger import LedgerEntry

#: new input: it comes from an input that is new. changed input: the content of its input changed.
#: other recipe: the same content, another model, hook or option. again: the same content and recipe.
#: dropped: its input, or its rows, left (a rollback, a window, a repair).
Why = Literal["new input", "changed input", "other recipe", "again", "dropped"]
WHYS: tuple[Why, ...] = get_args(Why)


def cause_of_coming(before: LedgerEntry | None, after: LedgerEntry | None) -> Why:
    """Why a row came, by the entries of its input in the ledgers of the two versions."""
    if before is None or after is None:
        return "new input"
    if before.digest != after.digest:
        return "changed input"
    if _is_only_remembered(before):
        return "new input"
    return "other recipe" if before.recipe != after.recipe else "again"


def cause_of_leaving(before: LedgerEntry | None, after: LedgerEntry | None) -> Why:
    """Why a row left without a later one taking its place."""
    if before is None or after is None:
        return "dropped"
    if before.digest != after.digest:
        return "changed input"
    if _is_only_remembered(after) or before.recipe == after.recipe:
        return "dropped"
    return "other recipe"


def _is_only_remembered(entry: LedgerEntry) -> bool:
    """Whether only the ledger still knows the input: its rows left with the window."""
    return not entry.records
