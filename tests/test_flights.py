"""The demo job on the real flights, against a plain pandas script; row by row."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from tests import oracle
from tests.jobs import JobFolder, touch

DEMO = Path(__file__).parents[1] / "jobs" / "flight_delays"
# Training takes seconds: one process trains once for all tests of this file.
pytestmark = pytest.mark.xdist_group("flights")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo job with its model, and December laid out."""
    folder = tmp_path_factory.mktemp("flights") / "flight_delays"
    shutil.copytree(
        DEMO, folder, ignore=shutil.ignore_patterns("data", "predictions", "model*", "__pycache__")
    )
    for script in (["train.py"], ["lay_out.py", "--first", "1", "--last", "31"]):
        subprocess.run([sys.executable, *script], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def flights(trained: Path, tmp_path: Path) -> JobFolder:
    """The demo job with the first two weeks of December; `later` holds the rest."""
    folder = tmp_path / "flight_delays"
    shutil.copytree(trained, folder)
    later = folder / "later"
    later.mkdir()
    for day in range(15, 32):
        (folder / "data" / f"2013-12-{day}.csv").rename(later / f"2013-12-{day}.csv")
    return JobFolder(folder, out="predictions")


def by_pandas(job: JobFolder) -> pd.DataFrame:
    """What people would write instead: read each file, drop what cannot be predicted, predict."""
    spec = importlib.util.spec_from_file_location("plain_features", job.folder / "features.py")
    assert spec is not None
    assert spec.loader is not None
    features = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(features)
    sys.path.insert(0, str(job.folder))
    model = joblib.load(job.folder / "model.joblib")
    sys.path.remove(str(job.folder))
    frames = []
    for path in sorted(job.data.glob("*.csv")):
        frame = pd.read_csv(path, dtype={"flight_id": str})
        frame["_input"], frame["_row"] = path.name, range(len(frame))
        frame = frame.dropna(subset=["dep_delay"]).reset_index(drop=True)
        ready = features.add_features(frame)[list(model.feature_names_in_)]
        frame["prediction"] = model.predict(ready)
        frame["probability_True"] = model.predict_proba(ready)[:, 1]
        frames.append(frame)
    return pd.concat(frames).sort_values(["_input", "_row"], ignore_index=True)


def require_equal(job: JobFolder) -> None:
    """The published rows are those of the plain script, each once."""
    oracle.judge(job.output)
    found = pd.DataFrame(job.rows()).sort_values(["_input", "_row"], ignore_index=True)
    wanted = by_pandas(job)
    for name in ("_input", "_row", "flight_id", "carrier", "origin", "dest", "prediction"):
        assert (found[name] == wanted[name]).all(), name
    np.testing.assert_allclose(
        found["probability_True"], wanted["probability_True"], rtol=1e-12, atol=0
    )


def test_runs_that_follow_each_other_equal_one_pandas_script(flights: JobFolder) -> None:
    """Two weeks, then three days one by one, then a corrected file and a re-sent one."""
    assert flights.run().version == 1
    require_equal(flights)
    for day in (15, 16, 17):
        (flights.folder / "later" / f"2013-12-{day}.csv").rename(
            flights.data / f"2013-12-{day}.csv"
        )
        flights.run()
    require_equal(flights)
    corrected = flights.data / "2013-12-03.csv"
    lines = corrected.read_text().splitlines(keepends=True)
    corrected.write_text("".join(lines[:1] + lines[11:]))
    touch(corrected)
    touch(flights.data / "2013-12-04.csv")
    assert flights.run().added.inputs == 1
    require_equal(flights)


def test_replace_equals_a_pandas_script_over_the_present_files(flights: JobFolder) -> None:
    """The version holds the files that are there, and none that were."""
    job_file = flights.folder / "job.toml"
    job_file.write_text(job_file.read_text().replace('# mode = "append"', 'mode = "replace"  #'))
    flights.run()
    require_equal(flights)
    (flights.data / "2013-12-01.csv").unlink()
    assert flights.run().version == 2
    require_equal(flights)


def test_cancelled_flights_are_rejects_that_say_why(flights: JobFolder) -> None:
    """A flight without a departure has nothing to predict from."""
    flights.run()
    manifest = oracle.judge(flights.output)
    rejects = oracle.rows_of(flights.output, manifest, "rejects")
    assert {(row["column"], row["reason"]) for row in rejects} == {
        ("dep_delay", "null, where none is allowed")
    }
    assert manifest["totals"]["rejected"] == len(rejects) > 0
