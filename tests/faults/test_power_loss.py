"""Power cuts at every moment of real commands: what is left is whole, and one run completes it.

POWER_LOSS=all tries every scenario, every state and every kill; with a number, that many states of
each scenario are followed by a run. Otherwise a few scenarios are judged in every state, and a run
follows a sample of them. POWER_LOSS_SEED chooses samples.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.output.read import open_output
from batch.run.lock import Lock, output_lock, state_files
from tests.faults.bench import Folder, in_memory
from tests.faults.commands import REPAIR
from tests.faults.crash_states import Operation
from tests.faults.power_cuts import OUT, PowerCuts, Recording, Scenario, State, configure
from tests.faults.tracing import why_no_trace

AT_LENGTH = os.environ.get("POWER_LOSS", "")
SEED = os.environ.get("POWER_LOSS_SEED", "1")
#: So many states of a scenario are followed by a run; None: all.
SAMPLE = None if AT_LENGTH == "all" else int(AT_LENGTH or 15)

_WHY_NOT = why_no_trace()
pytestmark = [
    # One process records each scenario once, for all tests.
    pytest.mark.xdist_group("power loss"),
    pytest.mark.skipif(bool(_WHY_NOT), reason=f"NOTHING IS KNOWN ABOUT POWER CUTS: {_WHY_NOT}"),
    pytest.mark.timeout(0 if AT_LENGTH else 120),
]


def _first(job: Folder) -> None:
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4)])
    job.add("größe.csv", [("c", 0.5, 0), ("d", "oops", 1)])


def _second(job: Folder) -> None:
    job.add("3.csv", [("e", 2, 2)])


def _changed(job: Folder) -> None:
    job.add("größe.csv", [("c", 9, 9)])


def _too_few(job: Folder) -> None:
    _second(job)
    configure(job, min_rows=5)


def _replacing(job: Folder) -> None:
    _first(job)
    configure(job, mode="replace")


def _litter(job: Folder) -> None:
    """Garbage of every kind, from long ago."""
    for path in (
        "data/20200101T000000.000Z-aaaaaa/00000-aaaaaaaa.parquet",
        "rejects/20200101T000000.000Z-aaaaaa/00000-aaaaaaaa.parquet",
        f"ledger/{'a' * 32}.parquet",
        f"models/{'a' * 64}/model.joblib",
        "pending/20200101T000000.000Z-aaaaaa/00000.json",
        "runs/20200101T000000.000Z-aaaaaa-1.json",
    ):
        (job.output / path).parent.mkdir(exist_ok=True)
        (job.output / path).write_bytes(b"{}")
    a_month_ago = time.time() - 30 * 86400
    for found in job.output.rglob("*"):
        if found.is_file():
            os.utime(found, (a_month_ago, a_month_ago))


def _damage(job: Folder) -> str:
    """A part of both versions loses its end; returns its path."""
    part = min(job.output.glob("data/*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    return str(part.relative_to(job.output))


def _repair(job: Folder) -> None:
    assert REPAIR.act(job, open_output) == 0


SCENARIOS = (
    Scenario("first run", prepare=_first),
    Scenario("incremental run", after="first run", prepare=_second),
    Scenario("changed input in a packed part", after="incremental run", prepare=_changed),
    Scenario("rollback", after="incremental run", arguments=("rollback", "JOB")),
)
MORE_SCENARIOS = (
    Scenario("unpause", after="rollback", arguments=("unpause", "JOB")),
    Scenario("run after a rollback", after="unpause"),
    Scenario("held run", after="first run", prepare=_too_few, exit_codes=(3,), mend=configure),
    Scenario("discard", after="held run", arguments=("discard", "JOB"), mend=configure),
    Scenario("run after a discard", after="discard", prepare=configure),
    Scenario(
        "repair",
        after="incremental run",
        prepare=_damage,
        arguments=("repair", "JOB"),
        mend=_repair,
    ),
    Scenario("run after a repair", after="repair", mend=_repair),
    Scenario("first run in replace mode", prepare=_replacing),
    Scenario("next run in replace mode", after="first run in replace mode", prepare=_changed),
    Scenario(
        "prune", after="incremental run", prepare=_litter, arguments=("prune", "JOB", "--yes")
    ),
)
NAMES = [one.name for one in (*SCENARIOS, *(MORE_SCENARIOS if AT_LENGTH else ()))]
every_scenario = pytest.mark.parametrize("name", NAMES)

#: Killed right after an operation like these, a run leaves a name that it did not sync.
KILLS = {
    "making the output": rf"mkdir {OUT}$",
    "making the folder of parts": r"mkdir \S+/data/[^/]+$",
    "naming the recipe": r"link .*/recipe.json$",
    "naming the manifest": r"link .*/manifests/",
}
#: Those that give something a name: prune only takes names away.
NAMING = [name for name in NAMES if name != "prune"]
every_kill = pytest.mark.parametrize(
    ("name", "kill"),
    [(name, "") for name in NAMING]
    if AT_LENGTH
    else [("first run", KILLS[what]) for what in KILLS],
    ids=NAMING if AT_LENGTH else KILLS,
)


@pytest.fixture(scope="module")
def cuts(tiny_model: Path) -> Iterator[PowerCuts]:
    """A job in memory where possible: no disk has to sync for what the model decides."""
    with in_memory() as folder:
        job = Folder.make(folder / "job", tiny_model)
        yield PowerCuts(job, folder, (*SCENARIOS, *MORE_SCENARIOS))


@every_scenario
def test_no_file_gets_its_name_before_its_content_is_synced(cuts: PowerCuts, name: str) -> None:
    """So no power cut leaves a torn receipt, plan, part or manifest under its own name."""
    recording = cuts.recording(name)
    system = recording.begin.copy()
    for operation in recording.operations:
        if operation.verb in {"link", "rename"} and operation.target.startswith(OUT):
            assert system.is_synced(operation.path), operation
        system.apply(operation)


@every_scenario
def test_a_power_cut_takes_nothing_back(cuts: PowerCuts, name: str) -> None:
    """Versions that were there, shown or reported are there, whole, at every moment."""
    states = list(cuts.recording(name).states(seed=SEED))
    for state in states:
        assert not state.troubles(), state.label
    print(f"{name}: {len(states):,} states")  # noqa: T201  # shown by pytest -rP
    assert len(states) > 10


@every_scenario
def test_all_that_a_finished_command_wrote_is_durable(cuts: PowerCuts, name: str) -> None:
    """Not only what a version needs: also the record of the run, and a note that gives it up."""
    system, _ = cuts.recording(name).end()
    written = {
        path: content
        for path, content in system.tree().items()
        if path.startswith(f"{OUT}/") and "/." not in path
    }
    for label, tree in system.crash_states(random.Random(SEED), subsets=20):
        assert written.items() <= tree.items(), label


@every_scenario
def test_after_a_power_cut_one_run_completes(cuts: PowerCuts, name: str) -> None:
    """Whatever is left of unfinished work neither blocks nor falsifies the next run."""
    recording = cuts.recording(name)
    states = _sample(recording, SAMPLE)
    _recover(cuts, name, recording, states)
    print(f"{name}: {len(states):,} states recovered")  # noqa: T201


@every_kill
def test_a_run_after_a_kill_is_as_durable(cuts: PowerCuts, name: str, kill: str) -> None:
    """A killed run leaves names that it did not sync; the next run does not rest upon them."""
    operations, judged = cuts.recording(name).operations, 0
    kills = [
        done
        for done, operation in enumerate(operations, start=1)
        if operation.verb in {"mkdir", "link", "rename"} and re.search(kill, str(operation))
    ]
    for done in kills:
        resumed = cuts.resume(name, done)
        for state in resumed.states(seed=SEED):
            label = f"killed after {operations[done - 1]}; {state.label}"
            assert not state.troubles(), label
            judged += 1
        _recover(cuts, name, resumed, _sample(resumed, 1))
    print(f"{name}: {len(kills)} kills, {judged:,} states")  # noqa: T201
    assert kills


def _is_file(operation: Operation) -> bool:
    return "/.tmp/" in operation.path


@pytest.mark.parametrize(
    "needless",
    [_is_file, lambda operation: not _is_file(operation), lambda operation: operation.path == ""],
    ids=["files", "folders", "the folder of the output's name"],
)
def test_without_its_syncs_a_run_is_not_durable(
    cuts: PowerCuts, needless: Callable[[Operation], bool]
) -> None:
    """These tests can fail: what the recorded run would have left if it had not synced."""
    first = cuts.recording("first run")
    kept = [one for one in first.operations if one.verb != "sync" or not needless(one)]
    assert len(kept) < len(first.operations)
    assert any(
        state.troubles() for state in replace(first, operations=tuple(kept)).states(seed=SEED)
    )


def test_a_torn_note_in_the_lock_blocks_nothing(tmp_path: Path) -> None:
    """The note of what a run predicts is not synced: any beginning of it may be left."""
    lock_file, _ = state_files(str(tmp_path))
    lock_file.parent.mkdir(parents=True)
    lock_file.touch()
    with lock_file.open("a+") as file:
        Lock(file, datetime.now(UTC)).note(["größe.csv"])
    note = lock_file.read_bytes()
    for left in [*(note[:length] for length in range(len(note))), bytes(len(note))]:
        lock_file.write_bytes(left)
        with output_lock(str(tmp_path), now=datetime.now(UTC)):
            pass


def _recover(cuts: PowerCuts, name: str, recording: Recording, states: list[State]) -> None:
    for number, state in enumerate(states):
        try:
            cuts.recover(name, recording, state, same_host=number % 3 == 0)
        except BaseException as error:
            error.add_note(f"{name}: {state.label}")
            raise


def _sample(recording: Recording, count: int | None) -> list[State]:
    """States after which a run is tried, or all (None); the last of several that look alike."""
    different = {frozenset(state.tree.items()): state for state in recording.states(seed=SEED)}
    states = list(different.values())
    return states if count is None else random.Random(SEED).sample(states, min(count, len(states)))
