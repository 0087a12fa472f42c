"""What people live through with a job on real flights, and the commands that see them through it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pandas as pd
import pytest

from batch.client import Predictions
from tests.support import oracle
from tests.support.flights import arrive, name_of, require_equal
from tests.support.jobs import JobFolder, touch

# Training takes seconds: one process trains once for all tests on flights.
pytestmark = pytest.mark.xdist_group("flights")

ANOTHER_MODEL = """
import sys
from train import *
flights = landed_flights()
past = flights[flights["month"] == 9]
model = new_model().set_params(classifier__max_iter=10)
model.fit(add_features(past)[FEATURES], is_late(past).sample(frac=1, random_state=1).to_numpy()
          if sys.argv[1:] == ["--bad"] else is_late(past))
save_model(model, "second.joblib", sample=past[list(RAW_COLUMNS)], preprocess=add_features,
           methods=("predict", "predict_proba"))
"""


def train_another(job: JobFolder, *options: str) -> Path:
    """A second model in the job's folder; `--bad` learns from labels that were mixed up."""
    command = [sys.executable, "-c", ANOTHER_MODEL, *options]
    subprocess.run(command, cwd=job.folder, check=True, capture_output=True)
    return job.folder / "second.joblib"


def succeed(job: JobFolder, *arguments: str, code: int = 0) -> str:
    """Type a command; what it prints."""
    name, *rest = arguments
    done = job.command(name, str(job.folder), *rest)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


def configure(job: JobFolder, checks: str) -> None:
    """Other lines under [checks], the last table of the job file."""
    file = job.folder / "job.toml"
    text = file.read_text()
    file.write_text(text[: text.index("[checks]")] + f"[checks]\n{checks}\n")


@contextmanager
def cron(job: JobFolder, days: Iterator[int]) -> Iterator[list[int]]:
    """A new day arrives and a run takes it in, again and again; the days that came."""
    came, is_over = list[int](), Event()

    def loop() -> None:
        for day in days:
            if is_over.is_set():
                return
            arrive(job, day)
            touch(job.data / name_of(day))
            came.append(day)
            succeed(job, "run")

    thread = Thread(target=loop)
    thread.start()
    try:
        yield came
    finally:
        is_over.set()
        thread.join()


def start_backfill(job: JobFolder, model: Path) -> subprocess.Popen[bytes]:
    """Two weeks by another model."""
    dates = ["--from", "2013-12-01", "--to", "2013-12-14"]
    command = [sys.executable, "-m", "batch", "backfill", str(job.folder), *dates]
    return subprocess.Popen([*command, "--model", str(model)])


def kill_when(process: subprocess.Popen[bytes], job: JobFolder, name: str) -> None:
    """End a backfill for good once there is such a file of it."""
    deadline = time.monotonic() + 60
    while not list((job.output / "pending").glob(f"*/{name}")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_two_weeks_are_predicted_by_another_model_while_new_days_come(flights: JobFolder) -> None:
    """Killed twice on the way; every row is that of a plain script, and `diff` names the dates."""
    succeed(flights, "run")
    second = train_another(flights)
    with cron(flights, iter(range(15, 32))) as came:
        early = start_backfill(flights, second)
        time.sleep(1)
        early.kill()
        early.wait()
        kill_when(start_backfill(flights, second), flights, "plan.json")
        last = start_backfill(flights, second)
        assert last.wait(60) == 0
    weeks = [name_of(day) for day in range(1, 15)]
    require_equal(flights, dict.fromkeys(weeks, second))
    newest = oracle.newest(flights.output)
    assert newest is not None
    found = json.loads(succeed(flights, "diff", "1", str(newest["version"]), "--json"))
    dates = {row["why"]: set[str]() for row in found["dates"]}
    for row in found["dates"]:
        dates[row["why"]].add(row["date"])
    assert dates == {
        "other recipe": {f"2013-12-{day:02}" for day in range(1, 15)},
        "new input": {f"2013-12-{day}" for day in came},
    }


def test_a_shifted_input_is_held_and_a_person_decides(flights: JobFolder) -> None:
    """The application goes on with the version before, until it is published, and after going back."""
    configure(flights, 'max_psi = { limit = 0.25, action = "hold" }')
    succeed(flights, "run")
    with Predictions(flights.output) as application:
        arrive(flights, 15)
        late = pd.read_csv(flights.data / name_of(15), dtype=str)
        late["dep_delay"] = (late["dep_delay"].astype(float) + 60).astype(str)
        late.loc[late["dep_delay"] == "nan", "dep_delay"] = ""
        late.to_csv(flights.data / name_of(15), index=False)
        touch(flights.data / name_of(15))
        flight = late["flight_id"][0]

        said = succeed(flights, "run", code=3)
        assert "max_psi" in said
        assert f"batch-predict publish {flights.folder} --force`" in said
        application.refresh()
        assert (application.version, application.get(flight)) == (1, None)

        succeed(flights, "publish", "--force")
        application.refresh()
        found = application.get(flight)
        assert application.version == 2
        assert found is not None
        assert found["probability_True"] > 0.5

        succeed(flights, "rollback", "--reason", "the clock was wrong")
        application.refresh()
        assert (application.version, application.get(flight)) == (3, None)
        succeed(flights, "run", code=3)
        oracle.judge(flights.output)


def test_at_three_in_the_morning(flights: JobFolder) -> None:
    """A bad model went out, last week came again, a file is corrupt: no record is lost."""
    configure(flights, 'max_psi = { limit = 0.25, action = "warn" }')
    succeed(flights, "run")
    good = (flights.folder / "model.joblib").read_bytes()
    good_sidecar = (flights.folder / "model.joblib.json").read_bytes()

    # Last night: another model, a new day, last week again (half of it identical), a corrupt file.
    bad = train_another(flights, "--bad")
    (flights.folder / "model.joblib").write_bytes(bad.read_bytes())
    (flights.folder / "model.joblib.json").write_bytes(
        bad.with_name("second.joblib.json").read_bytes()
    )
    arrive(flights, 15)
    for day in range(8, 15):
        path = flights.data / name_of(day)
        if day % 2:
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join([lines[0], *lines[5:]]))
        touch(path)
    arrive(flights, 16)
    whole = (flights.data / name_of(16)).read_bytes()
    (flights.data / name_of(16)).write_bytes(whole.replace(b"dep_delay", b"delay", 1))
    touch(flights.data / name_of(16))
    said = succeed(flights, "run", code=65)
    assert name_of(16) in said

    # At three: look, go back, put the model back, go on.
    said = succeed(flights, "diff", "1", "2")
    assert "2013-12-09" in said
    assert "2013-12-10" not in said, "it was sent again as it was"
    said = succeed(flights, "rollback", "--to", "1", "--reason", "the model answers nonsense")
    assert "will be predicted again" in said
    (flights.folder / "model.joblib").write_bytes(good)
    (flights.folder / "model.joblib.json").write_bytes(good_sidecar)
    succeed(flights, "run", code=3)
    succeed(flights, "unpause")
    succeed(flights, "run", code=65)
    corrupt = flights.data / name_of(16)
    corrupt.rename(flights.folder / name_of(16))
    require_equal(flights)

    # In the morning the corrupt day is sent once more.
    corrupt.write_bytes(whole)
    touch(corrupt)
    succeed(flights, "run")
    require_equal(flights)
    succeed(flights, "verify", "--deep")
