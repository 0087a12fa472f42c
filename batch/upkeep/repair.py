"""Publish a version without the damaged files; the next run predicts their inputs again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from batch.errors import Damaged, NoInput
from batch.inputs.survey import survey_inputs
from batch.job.job_file import Job
from batch.output import layout
from batch.output.ledger import Ledger, encode_segment
from batch.output.manifest import Manifest
from batch.output.plan import Receipt, give_up, list_plans, read_plan
from batch.output.publish import move_pointer, operator, publish, require_same_output
from batch.output.read import RETENTION, Retention, newest_manifest, read_document
from batch.output.rewrite import without_inputs
from batch.output.version import Draft, Live, like
from batch.records.documents import encode
from batch.store.base import Exists, Missing, Store
from batch.upkeep.audit import Damage, audit
from batch.upkeep.damage import Finding, damaged_objects
from batch.upkeep.verify import inspect
from batch.wording import command, counted, listed

_SHOWN = 5


@dataclass(frozen=True)
class Mending:
    """A repair of the version `live`.

    `leaving` are the inputs to predict again, `lost` those of them that no run will take in.
    `unwritten`: the manifest of the version exists only in the pointer.
    """

    live: Manifest
    damage: Damage
    leaving: frozenset[str]
    lost: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    unwritten: bool = False


def look_for_damage(store: Store, job: Job) -> Mending:
    """Find the damage, by the content of every file, and prepare a repair.

    Raises `NoInput` before the first version, `Damaged` for a newest manifest or a pointer that
    cannot be read.
    """
    newest = newest_manifest(store)
    if newest is None:
        raise NoInput(f"{store.url}: nothing is published yet", "there is nothing to repair")
    require_same_output(Live(newest, Ledger()), job)
    found = inspect(store, deep=True, repair=command("repair", job.reference))
    assert found.live is not None, "its manifest was read"
    return dataclasses.replace(
        _mending(job, found.live, found.damage),
        findings=found.findings,
        notes=found.notes,
        unwritten=found.unwritten,
    )


def repair(
    store: Store, job: Job, mending: Mending, *,
    yes: bool, clock: Callable[[], datetime], retention: Retention = RETENTION,
) -> Manifest | None:  # fmt: skip
    """Publish a version without the damage; None if the live one is intact.

    Raises `Damaged` without publishing if a person has to decide and has not said `yes`.
    """
    if mending.unwritten:
        # Its creation was the commit, so no other process can have taken the number since.
        with suppress(Exists):
            store.create(layout.manifest_path(mending.live.version), encode(mending.live))
    if not mending.damage.needs_version:
        move_pointer(store, mending.live)
        return None
    run_id = layout.new_run_id(clock())

    def build(base: Live) -> Draft | None:
        assert base.manifest is not None, "there was a version to repair"
        found = mending
        if base.manifest.commit_id != mending.live.commit_id:
            found = _look_again(store, job, base.manifest)
        _require_consent(job, found, yes=yes)
        return _without_damage(store, found, run_id, clock) if found.damage.needs_version else None

    return publish(
        store, job, Live(mending.live, Ledger()), build, clock=clock, retention=retention
    )


def _look_again(store: Store, job: Job, live: Manifest) -> Mending:
    broken = damaged_objects(store, [live], deep=True)
    return _mending(job, live, audit(store, live, broken=broken, deep=True))


def _mending(job: Job, live: Manifest, damage: Damage) -> Mending:
    leaving = frozenset(damage.leaving())
    lost = _lost(job, damage, leaving) if leaving else ()
    return Mending(live, damage, leaving, lost)


def _lost(job: Job, damage: Damage, leaving: frozenset[str]) -> tuple[str, ...]:
    """The leaving inputs that no run would take in again."""
    staying = _ledger(damage, without=leaving)
    try:
        found = survey_inputs(job, staying)
    except NoInput:
        return tuple(sorted(leaving))
    comes = {planned.path for planned in found.todo} | {wait.path for wait in found.waiting}
    return tuple(sorted(leaving - comes))


def _ledger(damage: Damage, *, without: Collection[str] = ()) -> Ledger:
    entries = [entry for entry in damage.entries if entry.path not in without]
    return Ledger.from_segments([("the ledger", encode_segment(entries))])


def _require_consent(job: Job, mending: Mending, *, yes: bool) -> None:
    reasons = []
    if not mending.damage.is_ledger_whole:
        reasons.append(
            f"the ledger is damaged and does not explain {counted(len(mending.damage.files), 'file')}, "
            f"which would be dropped; to be predicted again: {_listed(mending.leaving)}"
        )
    if mending.lost:
        reasons.append(
            f"predictions would be lost, as no run would take in their inputs again: "
            f"{_listed(mending.lost)}"
        )
    if reasons and not yes:
        raise Damaged(
            f"{job.name}: nothing was published: {'; '.join(reasons)}",
            f"restore the files from a backup, or `{command('repair', job.reference, '--yes')}`",
        )


def _listed(paths: Collection[str]) -> str:
    names = listed(sorted(paths), _SHOWN)
    return counted(len(paths), "input") + (f": {names}" if names else "")


def _without_damage(
    store: Store, mending: Mending, run_id: str, clock: Callable[[], datetime]
) -> Draft:
    live, damage = mending.live, mending.damage
    ledger = _ledger(damage)
    rewritten = without_inputs(
        store, live, ledger, leaving=mending.leaving, run_id=run_id, unread=damage.files
    )
    entries = {entry.path: entry for entry in ledger if entry.path not in mending.leaving}
    entries |= {entry.path: entry for entry in rewritten.entries}
    gone = {file.path for file in live.all_files}
    gone -= {file.path for file in (*rewritten.files, *rewritten.rejects)}
    _give_up_plans(store, gone, now=clock())
    return like(
        Live(live, ledger),
        kind="repair",
        run_id=run_id,
        entries=entries.values(),
        whole_ledger=True,
        paused=live.paused,
        files=rewritten.files,
        rejects=rewritten.rejects,
    )


def _give_up_plans(store: Store, gone: Collection[str], *, now: datetime) -> None:
    """Abandon every plan with a receipt for a file that leaves.

    A published plan that was never cleared is dead because its run is in the ledger. Without its
    entries it would come to life again, and publish the damaged file.
    """
    for run_id in list_plans(store).run_ids:
        with suppress(Missing, Damaged):  # No run can continue it either.
            plan = read_plan(store, run_id)
            if any(_names(store, slice_.receipt, gone) for slice_ in plan.slices):
                give_up(store, run_id, by=operator(), at=now)


def _names(store: Store, receipt_path: str, files: Collection[str]) -> bool:
    try:
        receipt = read_document(store, receipt_path, Receipt)
    except (Missing, Damaged):
        return False  # Its slice is predicted again.
    return any(file and file.path in files for file in (receipt.part, receipt.rejects))
