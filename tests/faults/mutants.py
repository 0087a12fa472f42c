"""Bugs in the commit protocol, seeded one at a time: the suite must notice each.

Each mutant is a text of the program and what takes its place. `python -m tests.faults.mutants` copies the
checkout, seeds one, and runs the tests that must fail; one that survives is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One bug: in `file`, `before` becomes `after`; `caught_by` are arguments to pytest."""

    name: str
    file: str
    before: str
    after: str
    caught_by: str


LOCAL, PUBLISHING = "batch/store/local.py", "batch/output/publish.py"
PRUNE, PENDING = "batch/upkeep/prune.py", "batch/run/resume.py"
POWER, FAULTS = (
    "tests/faults/test_power_loss.py",
    "tests/faults/test_store_faults.py tests/faults/test_meetings.py",
)

MUTANTS = (
    Mutant(
        "data is not synced before it gets its name", LOCAL,
        "            _sync(temporary)\n            self._link", "            self._link", POWER,
    ),
    Mutant(
        "a folder is not synced after a name was made in it", LOCAL,
        "            self._link(temporary, target)\n            _sync(target.parent)\n",
        "            self._link(temporary, target)\n", POWER,
    ),
    Mutant(
        "the pointer is not synced before it is swapped", LOCAL,
        "                    _sync(temporary)\n                    temporary.replace",
        "                    temporary.replace", POWER,
    ),
    Mutant(
        "a new folder is not synced into its parents", LOCAL,
        "        ) from None\n    _sync(folder.parent)\n", "        ) from None\n", POWER,
    ),
    Mutant(
        "create overwrites", LOCAL,
        "        os.link(temporary, target)\n", "        os.replace(temporary, target)\n",
        "tests/store/test_contract.py",
    ),
    Mutant(
        "replace does not compare", LOCAL,
        "if self._pointer_token(target) != token:", "if False:", "tests/store/test_contract.py",
    ),
    Mutant(
        "sweep takes what a process at work is writing", LOCAL,
        "if is_leftover(item):", "if True:", "tests/store/test_local.py",
    ),
    Mutant(
        "the pointer is moved before the manifest is there", PUBLISHING,
        "    return manifest if _create_manifest(store, manifest) else None\n",
        "    move_pointer(store, manifest)\n"
        "    return manifest if _create_manifest(store, manifest) else None\n", FAULTS,
    ),
    Mutant(
        "the ledger is written after the manifest that names it", PUBLISHING,
        "    path, data = layout.ledger_path(commit_id), encode_segment(entries)\n"
        "    store.create(path, data)\n",
        "    path, data = layout.ledger_path(commit_id), encode_segment(entries)\n"
        "    create = store.create\n\n"
        "    def late(name: str, text: bytes) -> None:\n"
        "        create(name, text)\n        create(path, data)\n"
        "        store.create = create\n\n    store.create = late\n", FAULTS,
    ),
    Mutant(
        "our own write is taken for a lost race", PUBLISHING,
        "            if read_manifest(store, manifest.version).commit_id != manifest.commit_id:\n"
        "                return False\n", "            return False\n",
        "tests/output/test_publish.py",
    ),
    Mutant(
        "the winner's write is taken for our own", PUBLISHING,
        "            if read_manifest(store, manifest.version).commit_id != manifest.commit_id:\n"
        "                return False\n", "            return True\n",
        "tests/output/test_publish.py",
    ),
    Mutant(
        "a number that was pruned counts as a version", PUBLISHING,
        "return pointer is None or pointer[0].oldest_kept <= manifest.version", "return True",
        "tests/output/test_publish.py",
    ),
    Mutant(
        "the pointer goes back", PUBLISHING,
        "if current and current[0].version >= manifest.version:", "if False:",
        "tests/output/test_publish.py",
    ),
    Mutant(
        "a lost race keeps slices that another run took in", "batch/run/draft.py",
        "    return not stale\n", "    return True\n", "tests/run/test_completion.py",
    ),
    Mutant(
        "rows of a changed input stay in the part they shared", "batch/run/draft.py",
        "leaving = {result.path for result in new if result.path in live.ledger}",
        "leaving = set[str]()", "tests/run/test_runner.py -k changed",
    ),
    Mutant(
        "a missing ledger is an empty one", "batch/output/read.py",
        "    segments = manifest.ledger if manifest else ()\n",
        "    segments = [s for s in manifest.ledger if (store._root / s.path).exists()] "
        "if manifest else ()\n", "tests/run/test_runner.py -k ledger",
    ),
    Mutant(
        "the receipt is written before the part has its name", "batch/run/predict/slice.py",
        "                files = (\n                    self._finish(part",
        "                self._predictor.output.create(self._slice.receipt, b'{}')\n"
        "                files = (\n                    self._finish(part",
        "tests/run/predict/test_slice.py",
    ),
    Mutant(
        "who finds the receipt taken deletes a part that another host may have published",
        "batch/run/predict/slice.py",
        "    except Exists:\n",
        "    except Exists:\n"
        "        for file in (receipt.part, receipt.rejects):\n"
        "            if file:\n                predictor.output.delete(file.path)\n",
        "tests/faults/test_given_up_in_flight.py",
    ),
    Mutant(
        "a plan that is given up is forgotten at once",
        "batch/upkeep/prune.py",
        "if plans.age(layout.dropped_path(run_id)) > safe_age:",
        "if plans.is_given_up(run_id):",
        "tests/faults/test_given_up_in_flight.py",
    ),
    Mutant(
        "a run builds on names that a killed one left without syncing them",
        PUBLISHING,
        "    _settle(store, manifest, live.manifest)\n",
        "",
        POWER,
    ),
    Mutant(
        "what changed since the plan is adopted", PENDING,
        "if all(left.get(planned.path) == planned for planned in piece.inputs)",
        "if all(planned.path in left for planned in piece.inputs)", "tests/run/test_resume.py",
    ),
    Mutant(
        "a plan that was given up is continued", PENDING,
        "if run_id in published or plans.is_given_up(run_id):\n            continue\n        try:",
        "if run_id in published:\n            continue\n        try:",
        "tests/run/test_resume.py tests/upkeep/test_upkeep.py",
    ),
    Mutant(
        "a run publishes though its plan is gone", PENDING,
        "    if needed - plans.entries.keys() or plans.is_given_up(run_id):", "    if False:",
        "tests/run/test_resume.py",
    ),
    Mutant(
        "a run goes on with the plan of a backfill", PENDING,
        "    return plan.kind, plan.job, plan.recipe, plan.request\n",
        "    return plan.job, plan.recipe\n", "tests/run/test_resume.py",
    ),
    Mutant(
        "a backfill clears the plans of other backfills", PENDING,
        "(plan.kind, plan.request) == (ours.kind, ours.request)", "plan.kind == ours.kind",
        "tests/run/test_resume.py",
    ),
    Mutant(
        "what comes later is judged together with what a check holds", PENDING,
        "covered == len(left) or (candidate.is_held and waits_for_held)", "covered == len(left)",
        "tests/run/test_checks.py -k later",
    ),
    Mutant(
        "a backfill adopts nothing that it did before", "batch/run/execute.py",
        "now=now, request=request)", "now=now)",
        "tests/run/test_backfill.py -k interrupted",
    ),
    Mutant(
        "plans are cleared before the version is published", "batch/run/completion.py",
        "    with this.trace.timed(\"publish\"):\n",
        "    clear(this.store, work.plan, before=this.trace.started_at)\n"
        "    with this.trace.timed(\"publish\"):\n", FAULTS,
    ),
    Mutant(
        "a rebased run extends a paused version", "batch/run/completion.py",
        "        require_not_paused(base, this.job)\n", "", "tests/upkeep/test_upkeep.py -k meets",
    ),
    Mutant(
        "prune has no minimum age", "batch/output/read.py",
        "safe_age: timedelta = timedelta(days=7)", "safe_age: timedelta = timedelta(days=-1)",
        "tests/upkeep/test_upkeep.py",
    ),
    Mutant(
        "prune reads what is referenced before it lists candidates", PRUNE,
        "    candidates = _candidates(store, retain, retention.safe_age)\n"
        "    references = _references(store, retention.safe_age, keep_from=_oldest(store))\n",
        "    references = _references(store, retention.safe_age, keep_from=_oldest(store))\n"
        "    candidates = _candidates(store, retain, retention.safe_age)\n",
        "tests/faults/test_meetings.py -k prune-and-run",
    ),
    Mutant(
        "prune reads manifests before pending plans", PRUNE,
        "    alive = _plans(store, safe_age)\n    manifests = _manifests(store, keep_from)\n",
        "    manifests = _manifests(store, keep_from)\n    alive = _plans(store, safe_age)\n",
        "tests/faults/test_meetings.py -k prune-and-run",
    ),
    Mutant(
        "prune forgets what pending runs have done", PRUNE,
        "    alive = _plans(store, safe_age)\n", "    alive = list[Plan]()\n",
        "tests/upkeep/test_upkeep.py",
    ),
    Mutant(
        "prune deletes versions that are kept", PRUNE,
        "if version is not None and version < oldest]",
        "if version is not None and version <= oldest]", "tests/upkeep/test_upkeep.py",
    ),
    Mutant(
        "a rollback keeps inputs taken in since in the ledger", "batch/upkeep/rollback.py",
        "entries = tuple(target.ledger)", "entries = ()",
        "tests/upkeep/test_upkeep.py",
    ),
)  # fmt: skip


def is_caught(mutant: Mutant, folder: Path) -> bool:
    """Whether the tests fail in a copy of the checkout with this bug."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    path = folder / mutant.file
    source = path.read_text()
    assert source.count(mutant.before) == 1, f"{mutant.name}: not found once in {mutant.file}"
    path.write_text(source.replace(mutant.before, mutant.after))
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-qx", "-n2", "-p", "no:cacheprovider",
         *mutant.caught_by.split()],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if found.returncode not in {0, 1, 2}:
        raise RuntimeError(f"{mutant.name}: pytest ended with {found.returncode}:\n{found.stdout}")
    return found.returncode != 0


def main(wanted: str = "") -> None:
    """Seed every mutant whose name contains a text; exit 1 if one survives."""
    mutants = [mutant for mutant in MUTANTS if wanted in mutant.name]
    survivors = []
    for mutant in mutants:
        with tempfile.TemporaryDirectory() as scratch:
            caught = is_caught(mutant, Path(scratch) / "checkout")
        print(f"{'caught  ' if caught else 'SURVIVED'}  {mutant.name}", flush=True)  # noqa: T201
        survivors += [] if caught else [mutant.name]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} caught")  # noqa: T201
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main(*sys.argv[1:])
