"""Runs that are not published yet: what is continued, what is cleared, what may be published."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from batch.output import layout
from batch.output.plan import (
    PLAN_FORMAT,
    InputResult,
    Plan,
    PlanAgain,
    PlannedInput,
    Receipt,
    Slice,
)
from batch.records.documents import encode
from batch.run.resume import PendingPlan, adopt, clear, read_pending, read_receipt, require_plan
from batch.store import open_store
from batch.store.base import Store
from tests.inputs.test_survey import ledger, ledgered, planned
from tests.support.published import MODEL

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def pending(*slices: Slice, done: int) -> PendingPlan:
    """A plan of which the first `done` slices have receipts."""
    plan = msgspec.structs.replace(wanted("old"), slices=slices)
    return PendingPlan(plan, {piece.receipt: receipt(piece) for piece in slices[:done]})


def wanted(run_id: str = "new", *, kind: str = "run", recipe: str = "r", request: str = "") -> Plan:
    """A plan without slices."""
    return Plan(format=PLAN_FORMAT, run_id=run_id, kind=kind, job="j", recipe=recipe,
                created_at=NOW, slices=(), model=MODEL, request=request)  # fmt: skip


def receipt(piece: Slice) -> Receipt:
    """A slice is done: its inputs had no records."""
    results = tuple(InputResult(path=one.path, outcome="taken") for one in piece.inputs)
    return Receipt(run_id="old", recipe="r", slice=piece, results=results, part=None,
                   rejects=None, columns=(), histogram=None, seconds={})  # fmt: skip


def piece(number: int, *inputs: PlannedInput) -> Slice:
    """A slice of the old plan."""
    return Slice(number=number, inputs=inputs, receipt=f"pending/old/{number:05d}.json")


def test_a_plan_that_still_fits_is_continued_whole() -> None:
    """Under its own run id, with its own slices."""
    a, b = planned("a"), planned("b")
    work = adopt([pending(piece(0, a), piece(1, b), done=1)], [a, b], wanted())
    assert (work.plan.run_id, work.is_new) == ("old", False)
    assert [one.number for one in work.unfinished] == [1]


@pytest.mark.parametrize("todo", [["a"], ["a", "c"], ["a", "b", "c"]])
def test_otherwise_finished_slices_are_taken_over(todo: list[str]) -> None:
    """Unfinished ones are planned afresh, with whatever is new."""
    old = pending(piece(0, planned("a")), piece(1, planned("b")), done=1)
    work = adopt([old], [planned(path) for path in todo], wanted())
    assert (work.plan.run_id, work.is_new) == ("new", True)
    assert work.plan.slices[0].receipt == "pending/old/00000.json"
    rest = [one.path for piece in work.plan.slices[1:] for one in piece.inputs]
    assert sorted(["a", *rest]) == sorted(todo)


def test_what_changed_is_not_taken_over() -> None:
    """Another content is predicted anew."""
    old = pending(piece(0, planned("a")), done=1)
    work = adopt([old], [planned("a", token="t2")], wanted())
    assert not work.receipts
    assert work.plan.run_id == "new"


def write_plan(
    store: Store, run_id: str, *, kind: str = "run", recipe: str = "r", request: str = ""
) -> Plan:
    """A plan of one input whose slice is done."""
    one = Slice(number=0, inputs=(planned("a"),), receipt=layout.receipt_path(run_id, 0))
    like = wanted(run_id, kind=kind, recipe=recipe, request=request)
    plan = msgspec.structs.replace(like, slices=(one,))
    store.create(layout.plan_path(run_id), encode(plan))
    store.create(one.receipt, encode(receipt(one)))
    return plan


def test_only_what_this_kind_of_run_may_continue_is_offered(tmp_path: Path) -> None:
    """Not a backfill's plan, another recipe's, one given up, or one that was published."""
    store = open_store(str(tmp_path))
    fits = write_plan(store, "fits")
    write_plan(store, "backfill", kind="backfill")
    write_plan(store, "recipe", recipe="other")
    write_plan(store, "dropped")
    store.create(layout.dropped_path("dropped"), b"{}")
    write_plan(store, "published")
    known = ledger(dataclasses.replace(ledgered("b"), run_id="published"))
    found = read_pending(store, known, wanted())
    assert [candidate.plan for candidate in found] == [fits]


def test_a_receipt_whose_part_is_gone_is_done_again(tmp_path: Path) -> None:
    """Under another name, for that one is taken."""
    store = open_store(str(tmp_path))
    plan = write_plan(store, "old")
    path = tmp_path / plan.slices[0].receipt
    path.write_bytes(path.read_bytes()[:-20])
    (candidate,) = read_pending(store, ledger(), wanted())
    work = adopt([candidate], [planned("a")], wanted())
    assert [one.receipt for one in work.unfinished] == [layout.receipt_path("new", 0)]


def test_the_plan_is_the_licence_to_publish(tmp_path: Path) -> None:
    """Once it is cleared or given up, or what was adopted is gone, the run begins again."""
    store = open_store(str(tmp_path))
    plan = write_plan(store, "run")
    require_plan(store, "run", [receipt(plan.slices[0])])
    with pytest.raises(PlanAgain):
        require_plan(store, "run", [receipt(piece(7))])
    store.create(layout.dropped_path("run"), b"{}")
    with pytest.raises(PlanAgain):
        require_plan(store, "run")


def test_clearing_leaves_backfills_of_another_request(tmp_path: Path) -> None:
    """One that is held or was interrupted is nothing that a later one has taken over."""
    store = open_store(str(tmp_path))
    for run_id, request in (("a", "december"), ("b", "january"), ("c", "january")):
        write_plan(store, run_id, kind="backfill", request=request)
    clear(store, wanted("c", kind="backfill", request="january"), before=NOW)
    assert [entry.path.split("/")[1] for entry in store.list("pending").entries] == ["a", "a"]


def test_clearing_leaves_what_began_later(tmp_path: Path) -> None:
    """It may belong to a host that is at work."""
    store = open_store(str(tmp_path))
    for run_id in ("ours", "other"):
        write_plan(store, run_id)
    clear(store, wanted("ours"), before=NOW - timedelta(seconds=1))
    assert {entry.path.split("/")[1] for entry in store.list("pending").entries} == {"other"}
    clear(store, wanted("ours"), before=NOW)
    assert not store.list("pending").entries


def test_a_receipt_that_another_host_cleared_is_no_damage(tmp_path: Path) -> None:
    """It published the plan meanwhile: the run begins again and finds nothing left to do."""
    with pytest.raises(PlanAgain):
        read_receipt(open_store(str(tmp_path)), piece(0, planned("a")), "recipe")
