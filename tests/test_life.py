"""A job's whole life in any order: inputs come and go, runs fail, people interfere.

A state machine of hypothesis does what an operator, producers, readers and bad luck do; after
every step the newest version is whole, and after every undisturbed run each present input is there
once, as it is now.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import joblib
import pandas as pd
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batch.cli import main
from batch.client import Predictions
from batch.errors import Damaged
from batch.job.job_file import Job, load_job
from batch.logs import utc_now
from batch.run.outcome import RunResult
from batch.store import open_store
from batch.store.base import Store
from batch.upkeep.prune import prune
from batch.upkeep.rollback import look_back, roll_back, unpause
from tests.faults.faulty import FAULTS, Crash, Fault, Injector, Turn, opening
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model, touch

LONG = "BATCH_PREDICT_TORTURE" in os.environ
NAMES = st.sampled_from(["a.csv", "b.csv", "c.csv", "sub/d.csv"])
#: The values of x, one per record; None is a record that becomes a reject.
CONTENTS = st.lists(st.sampled_from([0.0, 1.0, 2.5, 4.0, None]), max_size=4).filter(
    lambda content: not content or any(x is not None for x in content)
)
Content = tuple[float | None, ...]
Rows = list[tuple[int, tuple[str, float] | None]]
SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Life(RuleBasedStateMachine):
    """One job; `contents` are the contents that each input ever had, the present one last."""

    @initialize()
    def found(self) -> None:
        """An empty input folder, and a model."""
        self.folder = Path(tempfile.mkdtemp(prefix="life-", dir=SCRATCH))
        os.environ["BATCH_PREDICT_STATE"] = str(self.folder / "state")
        self.job = JobFolder.make(
            self.folder / "job", save_tiny_model(self.folder / "model.joblib")
        )
        self.job.configure(
            input={"path": "data/**/*.csv", "max_rejected": 1000},
            model={"methods": ["predict_proba"]},
        )
        self.model = joblib.load(self.folder / "model.joblib")
        self.contents: dict[str, list[Content]] = {}
        self.reader: Predictions | None = None
        self.served = 0
        self.damaged = False
        self.spoiled: set[str] = set()

    def teardown(self) -> None:
        """Whatever happened, an undisturbed run puts everything right."""
        if hasattr(self, "folder"):
            self.mend()
            self.go_on()
            self.run()
            shutil.rmtree(self.folder)

    @rule(name=NAMES, content=CONTENTS)
    def write(self, name: str, content: list[float | None]) -> None:
        """A new input, or another content of one."""
        self.job.add(
            name, [(f"k{row}", "?" if x is None else x, 1) for row, x in enumerate(content)]
        )
        self.contents.setdefault(name, []).append(tuple(content))

    @rule(name=NAMES)
    def send_again(self, name: str) -> None:
        """The same content under another time."""
        if (self.job.data / name).exists():
            touch(self.job.data / name)

    @rule(name=NAMES, to=NAMES)
    def rename(self, name: str, to: str) -> None:
        """Under another name it is another input."""
        if name != to and (self.job.data / name).exists():
            (self.job.data / to).parent.mkdir(exist_ok=True)
            (self.job.data / name).rename(self.job.data / to)
            self.contents.setdefault(to, []).append(self.contents[name][-1])

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        """What was predicted of it stays."""
        (self.job.data / name).unlink(missing_ok=True)

    @rule(name=NAMES)
    def write_half(self, name: str) -> None:
        """Somebody is still writing: the last line has no end, and the file is young."""
        (self.job.data / name).parent.mkdir(exist_ok=True)
        (self.job.data / name).write_text("id,x,y\nk0,1,1\nk1,")
        self.contents.setdefault(name, []).append(())

    @rule()
    def run(self) -> None:
        """An undisturbed run; nothing that is there and whole is missing afterwards."""
        outcome = self.job.run()
        if self.is_paused():
            assert outcome.exit_code == 3
        elif not self.damaged:
            assert outcome.exit_code in ({0} if self.whole() or self.ledgered() else {0, 66}), (
                outcome
            )
            taken = self.live()
            for name in self.whole():
                assert taken.get(name) == self.predicted(self.contents[name][-1]), name
            assert not list((self.job.output / ".tmp").glob("*"))

    @rule(fault=st.sampled_from(FAULTS), at=st.integers(1, 40))
    def run_with_fault(self, fault: Fault, at: int) -> None:
        """It dies, or a store does not answer; exit 0 still means that all is there."""
        try:
            outcome = self.job.run(open_output=opening(Injector(fault, at).around))
        except Crash:
            return
        if outcome.exit_code == 0 and not self.damaged:
            taken = self.live()
            assert {*self.whole()} <= {*taken}

    @rule(at=st.integers(1, 30))
    def run_twice_at_once(self, at: int) -> None:
        """Another host's whole run happens in the middle of ours."""
        state, outcomes = os.environ["BATCH_PREDICT_STATE"], list[RunResult]()

        def other() -> None:
            os.environ["BATCH_PREDICT_STATE"] = f"{state}-other"
            outcomes.append(self.job.run(accept_older=True))
            os.environ["BATCH_PREDICT_STATE"] = state

        outcomes.append(self.job.run(open_output=opening(Turn(other, at).around)))
        if not self.damaged:
            assert {outcome.exit_code for outcome in outcomes} <= {0, 3, 66, 75}, outcomes

    @precondition(lambda self: not self.damaged and self.version() > 1 and not self.is_paused())
    @rule(steps=st.integers(1, 3))
    def roll_back(self, steps: int) -> None:
        """To one of the versions before."""
        store, job = self.opened()
        target = oracle.versions(self.job.output)[-steps - 1 :][0]
        try:
            way = look_back(store, job, to=target["version"])
        except Damaged:
            assert self.spoiled & {file["path"] for file in oracle.files_of(target)}
            return
        roll_back(store, job, way, reason="test", clock=utc_now)

    @precondition(lambda self: not self.damaged)
    @rule()
    def go_on(self) -> None:
        """Unpause; of what is not paused it changes nothing."""
        store, job = self.opened()
        unpause(store, job, clock=utc_now)

    @precondition(lambda self: not self.damaged)
    @rule(days=st.sampled_from([0, 8]))
    def prune(self, days: int) -> None:
        """What nobody needs goes, and only that."""
        for path in self.job.output.rglob("*"):
            if path.is_file():
                moment = path.stat().st_mtime - days * 86400
                os.utime(path, (moment, moment))
        prune(self.opened()[0], retain=timedelta(0), delete=True)

    @precondition(lambda self: not self.damaged and self.version() > 0)
    @rule(seed=st.integers(0, 1000))
    def flip_a_byte(self, seed: int) -> None:
        """In a live part: verify notices, and repair opens its inputs again."""
        manifest = oracle.newest(self.job.output)
        assert manifest is not None
        files = [file["path"] for file in oracle.files_of(manifest)]
        if not files:
            return
        self.spoiled.add(files[seed % len(files)])
        path = self.job.output / files[seed % len(files)]
        data = bytearray(path.read_bytes())
        data[seed % len(data)] ^= 0xFF
        path.write_bytes(data)
        self.damaged = True
        found = self.command("verify", str(self.job.folder), "--deep")
        assert (found.exit_code, path.name in found.output) == (69, True), found.output

    @precondition(lambda self: self.damaged)
    @rule()
    def mend(self) -> None:
        """Repair; without an input that is gone, only on demand."""
        if self.damaged:
            found = self.command("repair", str(self.job.folder), "--yes")
            assert found.exit_code == 0, found.output
            self.damaged = False
            found = self.command("verify", str(self.job.folder), "--deep")
            assert found.exit_code == 0, found.output

    @precondition(lambda self: (self.job.output / "manifest.json").exists())
    @rule()
    def poll(self) -> None:
        """An application never sees a lower version."""
        if self.reader is None:
            if self.damaged:
                return
            self.reader = Predictions(str(self.job.output))
        self.reader.refresh()
        assert self.reader.version >= self.served
        self.served = self.reader.version

    @invariant()
    def is_whole(self) -> None:
        """Every ledgered input is there once, with a content that it had at some time."""
        if not hasattr(self, "job") or self.damaged or not self.version():
            return
        for name, found in self.live().items():
            assert found in [self.predicted(content) for content in self.contents[name]], name

    def whole(self) -> list[str]:
        """The inputs that a run takes in."""
        files = {name: self.job.data / name for name in self.contents}
        return [
            name
            for name, file in files.items()
            if file.exists() and file.read_text().endswith("\n")
        ]

    def predicted(self, content: Content) -> Rows:
        """What must be published of an input: place, key and prediction, None for a reject."""
        frame = pd.DataFrame({"x": [0.0 if x is None else x for x in content], "y": 1.0})
        scores = self.model.predict_proba(frame)[:, 1] if content else []
        return [
            (row, None if x is None else (f"k{row}", round(float(score), 12)))
            for row, (x, score) in enumerate(zip(content, scores, strict=True))
        ]

    def live(self) -> dict[str, Rows]:
        """The same as the newest version has it, after the oracle has seen it."""
        if not self.version():
            return {}
        manifest = oracle.judge_newest(self.job.output)
        found: dict[str, Rows] = {name: [] for name in self.ledgered()}
        for row in oracle.rows_of(self.job.output, manifest):
            value = (row["id"], round(row["probability_yes"], 12))
            found[row["_input"]].append((row["_row"], value))
        for row in oracle.rows_of(self.job.output, manifest, "rejects"):
            found[row["_input"]].append((row["_row"], None))
        return {name: sorted(rows) for name, rows in found.items()}

    def ledgered(self) -> list[str]:
        """The inputs that were taken in."""
        manifest = oracle.newest(self.job.output)
        return [*oracle.ledger_of(self.job.output, manifest)] if manifest else []

    def version(self) -> int:
        """The newest one, 0 for none."""
        return (oracle.newest(self.job.output) or {"version": 0})["version"]

    def is_paused(self) -> bool:
        """Whether the line is stopped."""
        return bool((oracle.newest(self.job.output) or {"paused": None})["paused"])

    def opened(self) -> tuple[Store, Job]:
        """As the commands open a job."""
        return open_store(str(self.job.output)), load_job(str(self.job.folder))

    def command(self, *arguments: str) -> Result:
        """`batch-predict` in this process."""
        return CliRunner().invoke(main, arguments)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=400 if LONG else 20,
    stateful_step_count=40 if LONG else 15,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[*HealthCheck],
)
