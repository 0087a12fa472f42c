"""Runs that are not published yet: adopt what they have done, and clear up after them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from batch.errors import BadData, BatchError, Damaged
from batch.job.job_file import Job
from batch.logs import log
from batch.model.published import ChosenModel
from batch.output import layout
from batch.output.ledger import Ledger
from batch.output.manifest import Kind, PartFile, Unreadable
from batch.output.plan import (
    PACKING,
    PLAN_FORMAT,
    InputResult,
    Packing,
    Plan,
    PlanAgain,
    PlannedInput,
    Plans,
    Receipt,
    Slice,
    give_up,
    list_plans,
    pack,
    read_plan,
)
from batch.output.read import read_document
from batch.store.base import Missing, Store

_A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class PendingPlan:
    """A plan that was written and not published, and its receipts by their paths.

    `spoiled` are the paths of receipts that cannot be used; their names are taken for good.
    `is_held` tells whether a check holds it.
    """

    plan: Plan
    receipts: dict[str, Receipt]
    spoiled: frozenset[str] = frozenset()
    is_held: bool = False


@dataclass(frozen=True)
class Work:
    """A plan, and the receipts of those of its slices that are done.

    `is_new` tells a plan that is still to be written from one that is continued.
    """

    plan: Plan
    receipts: tuple[Receipt, ...]
    is_new: bool = False

    @property
    def unfinished(self) -> tuple[Slice, ...]:
        """The slices without a receipt."""
        done = {receipt.slice.receipt for receipt in self.receipts}
        return tuple(piece for piece in self.plan.slices if piece.receipt not in done)

    @property
    def results(self) -> list[InputResult]:
        """What became of the inputs so far."""
        return [result for receipt in self.receipts for result in receipt.results]

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The inputs that could not be read, and why."""
        return tuple(
            Unreadable(path=result.path, reason=result.reason)
            for result in self.results
            if result.outcome == "unreadable"
        )


def wanted_plan(
    job: Job, kind: Kind, model: ChosenModel, *, now: datetime, request: str = ""
) -> Plan:
    """A plan of its own, without slices yet; `request` tells one backfill from another."""
    return Plan(
        format=PLAN_FORMAT,
        run_id=layout.new_run_id(now),
        kind=kind,
        job=job.name,
        recipe=model.recipe.digest(),
        created_at=now,
        slices=(),
        model=model.info,
        keeps_model=model.keeps_model,
        request=request,
    )


def read_pending(store: Store, ledger: Ledger, wanted: Plan) -> list[PendingPlan]:
    """The plans like the wanted one that may be continued, newest first.

    Of the same kind, job, recipe and request. A plan that was published is dead, and so is one
    that was given up.
    """
    plans = list_plans(store)
    published = ledger.run_ids()
    pending = []
    for run_id in reversed(plans.run_ids):
        if run_id in published or plans.is_given_up(run_id):
            continue
        try:
            plan = read_plan(store, run_id)
        except Missing:
            continue  # Published and cleared by another host meanwhile.
        if _kind_of(plan) == _kind_of(wanted):
            pending.append(_with_receipts(store, plan, plans))
    return pending


def _kind_of(plan: Plan) -> tuple[str, ...]:
    return plan.kind, plan.job, plan.recipe, plan.request


def adopt(
    pending: Iterable[PendingPlan], todo: Sequence[PlannedInput], wanted: Plan, *,
    apart: Collection[str] = (), waits_for_held: bool = False, packing: Packing = PACKING,
) -> Work:  # fmt: skip
    """Cut `todo` into slices, taking over those that a pending plan has receipts for.

    A slice fits if its inputs are still to do, with the same tokens and ledger entries. A plan
    that covers everything is continued as it is, unless it holds inputs together that must be
    `apart`, or receipts that are spoiled. So is one that a check holds, if the rest
    `waits_for_held`: what came later would dilute what is judged. Otherwise the `wanted` plan gets
    the slices.
    """
    left = {planned.path: planned for planned in todo}
    taken: list[tuple[Slice, Receipt]] = []
    for candidate in pending:
        plan, receipts = candidate.plan, candidate.receipts
        fitting = [
            piece
            for piece in plan.slices
            if all(left.get(planned.path) == planned for planned in piece.inputs)
        ]
        covered = sum(len(piece.inputs) for piece in fitting)
        is_enough = covered == len(left) or (candidate.is_held and waits_for_held)
        whole = len(fitting) == len(plan.slices) and is_enough
        if whole and not taken and not candidate.spoiled and not _joins(candidate, apart):
            return Work(plan, tuple(receipts.values()))
        for piece in fitting:
            if piece.receipt in receipts:
                taken.append((piece, receipts[piece.receipt]))
                for planned in piece.inputs:
                    del left[planned.path]
    slices = [
        Slice(number=number, inputs=piece.inputs, receipt=piece.receipt)
        for number, (piece, _) in enumerate(taken)
    ]
    for number, inputs in enumerate(pack(left.values(), packing, apart=apart), start=len(slices)):
        path = layout.receipt_path(wanted.run_id, number)
        slices.append(Slice(number=number, inputs=inputs, receipt=path))
    plan = msgspec.structs.replace(wanted, slices=tuple(slices))
    return Work(plan, tuple(receipt for _, receipt in taken), is_new=True)


def read_receipt(store: Store, piece: Slice, recipe: str) -> Receipt:
    """The receipt of a slice that is done.

    Raises `PlanAgain` when it is gone, `BadData` for one that does not add up, `Damaged` when
    its files are not there as it says.
    """
    try:
        receipt = read_document(store, piece.receipt, Receipt)
    except Missing:
        raise PlanAgain(f"{store.url}/{piece.receipt}: another host finished it") from None
    require_reconciled(receipt, recipe)
    for file in (receipt.part, receipt.rejects):
        if file:
            _require_there(store, file)
    return receipt


def require_plan(store: Store, run_id: str, receipts: Iterable[Receipt] = ()) -> None:
    """The plan is the licence to publish: what it stands for is never pruned while it is there.

    Raises `PlanAgain` when it, or one of these receipts, was cleared or given up meanwhile.
    """
    plans = list_plans(store)
    needed = {layout.plan_path(run_id), *(receipt.slice.receipt for receipt in receipts)}
    if needed - plans.entries.keys() or plans.is_given_up(run_id):
        raise PlanAgain(f"run {run_id}: it was finished or given up elsewhere")


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


def clear(store: Store, ours: Plan, *, before: datetime) -> None:
    """Remove the plan and the receipts of a run that is over, and what is older than the run.

    Of backfills only those of the same request. What of the older plans still fitted was adopted,
    the rest is planned again. If another host is at work on one just now, it begins again. Clocks
    that disagree cost work and no more. A failure is only logged: plans that were published are
    dead, removed or not.
    """
    try:
        plans = list_plans(store)
        for run_id in plans.run_ids:
            if plans.is_given_up(run_id):
                continue
            plan = read_plan(store, run_id)
            is_like = (plan.kind, plan.request) == (ours.kind, ours.request)
            if is_like and (plan.run_id == ours.run_id or plan.created_at <= before):
                _clear(store, plans, run_id, by=f"run {ours.run_id}", at=before)
    except BatchError as error:
        log.warning("finished plans are left for the next run to clear: %s", error.message)


def _clear(store: Store, plans: Plans, run_id: str, *, by: str, at: datetime) -> None:
    """Remove a plan and what lies beside it; an old plan stays, as one given up.

    Another run may have looked at the plan just before, and commit just after. What a young plan
    stands for is too young to be pruned meanwhile; an old one has to stay until its note is old.
    """
    plan_path = layout.plan_path(run_id)
    # The plan first: a plan whose receipts are gone would be predicted again for nothing.
    if plans.age(plan_path) > _A_DAY:
        give_up(store, run_id, by=by, at=at)
    else:
        store.delete(plan_path)
    folder = plan_path.removesuffix(layout.PLAN)
    for name in plans.entries:
        if name.startswith(folder) and name != plan_path:
            store.delete(name)


def _joins(pending: PendingPlan, apart: Collection[str]) -> bool:
    """Whether an unfinished slice holds together what must be apart."""
    return any(
        len(piece.inputs) > 1
        and piece.receipt not in pending.receipts
        and any(planned.path in apart for planned in piece.inputs)
        for piece in pending.plan.slices
    )


def _with_receipts(store: Store, plan: Plan, plans: Plans) -> PendingPlan:
    receipts, spoiled = dict[str, Receipt](), set[str]()
    for piece in plan.slices:
        if piece.receipt not in plans.entries:
            continue
        try:
            receipts[piece.receipt] = read_receipt(store, piece, plan.recipe)
        except PlanAgain:
            continue
        except (BadData, Damaged, Missing) as error:
            log.warning("slice %d is predicted again: %s", piece.number, error.message)
            spoiled.add(piece.receipt)
    return PendingPlan(plan, receipts, frozenset(spoiled), plans.is_held(plan.run_id))


def _require_there(store: Store, file: PartFile) -> None:
    found = store.stat(file.path).size
    if found != file.bytes:
        raise Damaged(f"{store.url}/{file.path}: found {found} bytes, expected {file.bytes}")
