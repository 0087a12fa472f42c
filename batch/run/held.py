"""Runs that a check holds: publish them all the same, or give them up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from batch.errors import BadUsage, NoInput
from batch.job.job_file import Job
from batch.output import layout
from batch.output.manifest import CheckResult, Kind
from batch.output.plan import HeldNote, Plan, Plans, give_up, list_plans, read_plan
from batch.output.publish import operator
from batch.output.read import read_document, read_live
from batch.run.attempt import Attempt, Options, attempt, open_live
from batch.run.completion import judge_work, publish_work
from batch.run.outcome import RunResult
from batch.run.resume import Work, read_receipt
from batch.store.base import Missing, Store
from batch.wording import command


@dataclass(frozen=True)
class HeldRun:
    """A run that is done and not published, and the checks that it was judged by."""

    plan: Plan
    checks: tuple[CheckResult, ...]

    @property
    def run_id(self) -> str:
        return self.plan.run_id

    @property
    def kind(self) -> Kind:
        return "backfill" if self.plan.kind == "backfill" else "run"


def held_runs(store: Store, *, run_id: str | None = None) -> tuple[HeldRun, ...]:
    """The held runs of an output, oldest first, or the one of this id. Raises `NoInput` for it."""
    plans, unpublished = _unpublished(store)
    found = [_read(store, held) for held in unpublished if plans.is_held(held)]
    held = [one for one in found if one]
    if run_id is None:
        return tuple(held)
    wanted = tuple(one for one in held if one.run_id == run_id)
    if not wanted:
        names = ", ".join(one.run_id for one in held)
        raise NoInput(f"no run {run_id} is held", f"held runs: {names}" if names else "")
    return wanted


def discard(store: Store, *, now: datetime, run_id: str | None = None) -> tuple[HeldRun, ...]:
    """Give up every held run of the output, or the one of this id, held or not; returns them.

    What they predicted is not used any more, and the next run predicts those inputs anew.
    """
    if run_id and run_id in _unpublished(store)[1]:
        found: tuple[HeldRun, ...] = (HeldRun(read_plan(store, run_id), ()),)
    else:
        found = held_runs(store, run_id=run_id)
    for one in found:
        give_up(store, one.run_id, by=operator(), at=now)
    return found


def publish_held(job: Job, options: Options, *, run_id: str | None, is_forced: bool) -> RunResult:
    """Judge a held run by today's limits and publish it; with `is_forced` whatever they say.

    Raises `NoInput` when none is held, `BadUsage` when several are and none is named.
    """
    held = _only_one(held_runs(options.open_output(job), run_id=run_id), job)
    with attempt(job, options, kind=held.kind) as this:
        this.take_lock()
        live = open_live(this)
        work = _work_of(this, held.plan)
        checks = judge_work(this, live, work, is_forced=is_forced)
        this.result = publish_work(this, live, work, checks)
    return this.result


def _only_one(held: tuple[HeldRun, ...], job: Job) -> HeldRun:
    """The held run that is meant where none is named. Raises `NoInput`, `BadUsage`."""
    if not held:
        raise NoInput(f"{job.name}: no run is held", command("status", job.reference))
    if len(held) > 1:
        names = "; ".join(f"{one.run_id} ({one.kind})" for one in held)
        raise BadUsage(f"{job.name}: {len(held)} runs are held: {names}", "choose one with --run")
    return held[0]


def _work_of(this: Attempt, plan: Plan) -> Work:
    this.trace.run_id, this.trace.recipe = plan.run_id, plan.recipe
    return Work(plan, tuple(read_receipt(this.store, piece, plan.recipe) for piece in plan.slices))


def _unpublished(store: Store) -> tuple[Plans, list[str]]:
    """What lies in `pending/`, and the runs there that are neither published nor given up."""
    plans = list_plans(store)
    published = read_live(store).ledger.run_ids()
    return plans, [
        found for found in plans.run_ids if not plans.is_given_up(found) and found not in published
    ]


def _read(store: Store, run_id: str) -> HeldRun | None:
    """None for one that was published or given up just now."""
    try:
        note = read_document(store, layout.held_path(run_id), HeldNote)
        return HeldRun(read_plan(store, run_id), note.checks)
    except Missing:
        return None
