"""Runs that are not published yet: adopt what they have done, and clear up after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batch import layout
from batch.errors import BadData, BatchError
from batch.ledger import Ledger
from batch.logs import log
from batch.manifest import PartFile
from batch.planning import pack
from batch.slices import Overtaken, Plan, PlannedInput, Receipt, Slice
from batch.store.base import Missing, Store
from batch.store.documents import read_document


@dataclass(frozen=True)
class PendingPlan:
    """A plan that was written and not published, and the paths of its receipts."""

    plan: Plan
    receipts: frozenset[str]


@dataclass(frozen=True)
class Adoption:
    """What to predict: slices done before and slices to do, under the id of one run.

    `plan` is the pending plan that is continued whole; None when a new plan must be written.
    """

    run_id: str
    plan: Plan | None
    slices: tuple[Slice, ...]
    done: frozenset[str]


def read_pending(store: Store, ledger: Ledger, *, kind: str, job: str) -> list[PendingPlan]:
    """The plans of a kind that may still be continued, newest first."""
    names = {entry.path for entry in store.list(layout.PENDING).entries}
    published = ledger.run_ids()
    found = []
    for path in sorted((name for name in names if name.endswith("/" + layout.PLAN)), reverse=True):
        try:
            plan = read_document(store, path, Plan)
        except Missing:
            continue  # Published and cleared by another host meanwhile.
        if plan.kind == kind and plan.job == job and plan.run_id not in published:
            receipts = {piece.receipt for piece in plan.slices if piece.receipt in names}
            found.append(PendingPlan(plan, frozenset(receipts)))
    return found


def adopt(
    pending: Iterable[PendingPlan], todo: Sequence[PlannedInput], *, recipe: str, new_run_id: str
) -> Adoption:
    """Cut `todo` into slices, taking over those that a pending plan has receipts for.

    A slice fits if its inputs are still to do, with the same tokens and ledger entries, by the
    same recipe. A plan that covers everything is continued as it is.
    """
    left = {planned.path: planned for planned in todo}
    taken: list[Slice] = []
    done: set[str] = set()
    for candidate in pending:
        plan = candidate.plan
        if plan.recipe != recipe:
            continue
        fitting = [
            piece
            for piece in plan.slices
            if all(left.get(planned.path) == planned for planned in piece.inputs)
        ]
        covered = sum(len(piece.inputs) for piece in fitting)
        if not taken and len(fitting) == len(plan.slices) and covered == len(left):
            return Adoption(plan.run_id, plan, plan.slices, candidate.receipts)
        for piece in fitting:
            if piece.receipt in candidate.receipts:
                taken.append(piece)
                done.add(piece.receipt)
                for planned in piece.inputs:
                    del left[planned.path]
    slices = [
        Slice(number=number, inputs=piece.inputs, receipt=piece.receipt)
        for number, piece in enumerate(taken)
    ]
    for number, inputs in enumerate(pack(left.values()), start=len(slices)):
        slices.append(
            Slice(number=number, inputs=inputs, receipt=layout.receipt_path(new_run_id, number))
        )
    return Adoption(new_run_id, None, tuple(slices), frozenset(done))


def read_receipt(store: Store, piece: Slice, recipe: str) -> Receipt:
    """The receipt of a slice that is done.

    Raises `Overtaken` when it is gone, `BadData` for one that does not add up.
    """
    try:
        receipt = read_document(store, piece.receipt, Receipt)
    except Missing:
        raise Overtaken(f"{store.url}/{piece.receipt}: another host finished it") from None
    require_reconciled(receipt, recipe)
    for file in (receipt.part, receipt.rejects):
        if file:
            _require_there(store, file)
    return receipt


def require_reconciled(receipt: Receipt, recipe: str) -> None:
    """Records = predicted + rejected for every input, and the files hold exactly those rows."""
    taken = [result for result in receipt.results if result.outcome == "taken"]
    predicted = sum(result.predicted for result in taken)
    rejected = sum(result.rejected for result in taken)
    paths = [result.path for result in receipt.results]
    holds = (
        receipt.recipe == recipe
        and paths == [planned.path for planned in receipt.slice.inputs]
        and all(result.records == result.predicted + result.rejected for result in taken)
        and predicted == (receipt.part.rows if receipt.part else 0)
        and rejected == (receipt.rejects.rows if receipt.rejects else 0)
    )
    if not holds:
        raise BadData(
            f"{receipt.slice.receipt}: records, predictions and rejects do not add up",
            "please report this; nothing was published",
        )


def clear(store: Store, *, kind: str) -> None:
    """Remove the plans and receipts of a kind, when a run of this kind is over.

    What of them still fitted was adopted, the rest is planned anew. If another host is at work on
    one just now, it goes on from what it has in memory, and only an interruption would cost it
    more. A failure is only logged: plans that were published are dead, removed or not.
    """
    try:
        names = [entry.path for entry in store.list(layout.PENDING).entries]
        for plan_path in [name for name in names if name.endswith("/" + layout.PLAN)]:
            folder = plan_path.removesuffix(layout.PLAN)
            if read_document(store, plan_path, Plan).kind == kind:
                # The plan last: without it, nobody would know what the receipts belong to.
                for name in [name for name in names if name.startswith(folder)]:
                    if name != plan_path:
                        store.delete(name)
                store.delete(plan_path)
    except BatchError as error:
        log.warning("finished plans are left to the next run: %s", error.message)


def _require_there(store: Store, file: PartFile) -> None:
    with store.fetch(file.path) as local:
        found = local.stat().st_size
    if found != file.bytes:
        raise BadData(
            f"{store.url}/{file.path}: found {found} bytes, expected {file.bytes}",
            f"delete {store.url}/{layout.PENDING}: the next run predicts it again",
        )
