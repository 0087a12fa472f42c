"""The benchmark measures what it says, and its page says what it measures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from scripts.benchmark.contenders import bytes_floor, frames, model_floor, totals
from scripts.benchmark.data import Data, Format, write_data
from scripts.benchmark.lineup import Contender
from scripts.benchmark.material import Material
from scripts.benchmark.page import write_page
from scripts.benchmark.report import Figures, Result
from scripts.benchmark.rounds import Bench
from scripts.benchmark.scenarios import SCENARIOS, STANDARD, Size

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmark.md"


class Model:
    """Predicts whether a feature is positive."""

    feature_names_in_ = ("x00",)

    def get_params(self) -> dict[str, object]:
        return {"n_jobs": -1, "step__n_jobs": 2, "depth": 3}

    def set_params(self, **changed: object) -> dict[str, object]:
        return changed

    def predict(self, frame: pd.DataFrame) -> Any:
        return (frame["x00"] > 0).to_numpy().astype(np.int64)

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        positive = 1 / (1 + np.exp(-frame["x00"].to_numpy()))
        return np.column_stack([1 - positive, positive])


def test_a_scenario_is_measured_from_outside(tmp_path: Path) -> None:
    """Whole processes, their figures as JSON, a table, and the page with its plot."""
    command = [sys.executable, "-m", "scripts.benchmark", "--only", "small", "--rows", "4000",
               "--repeats", "1", "--scratch", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "batch-predict: wall / pandas loop" in done.stdout
    (found,) = json.loads((tmp_path / "figures.json").read_text())["scenarios"]
    (samples,) = found["rounds"]
    assert samples.keys() == {"batch-predict", "one more file", "pandas loop", "start-up"}
    for sample in samples.values():
        assert sample["wall_seconds"] > 0.1
        assert sample["cpu_seconds"] > 0.1
        assert sample["peak_bytes"] > 10e6
    page = Path(shutil.copy(PAGE, tmp_path))
    write_page(tmp_path / "figures.json", page)
    assert "| one more file | " in page.read_text()
    assert "10 Parquet files" in (tmp_path / "benchmark.svg").read_text()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_every_format_holds_the_same_rows(kind: Format, tmp_path: Path) -> None:
    """However a contender reads them, they are the same; blocks and files make no difference."""
    write_data(Data("parquet", 90, 3, row_groups=2, string_keys=True), tmp_path / "a")
    write_data(Data(kind, 90, 3, row_groups=2, string_keys=True), tmp_path / "b")
    one, other = (
        pd.concat(frame for path in sorted(folder.iterdir()) for frame in frames.read_frames(path))
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert one["key"].is_unique
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_files_of_a_single_row_are_whole_files(tmp_path: Path) -> None:
    """A header and a record each, with the keys in the order of the names."""
    paths = write_data(Data("csv", 12, 12), tmp_path / "in")
    frames = [pd.read_csv(path) for path in paths]
    assert [frame["key"].tolist() for frame in frames] == [[number] for number in range(12)]
    assert all(len(frame.columns) == 21 for frame in frames)


def test_one_core_is_one_core(tmp_path: Path) -> None:
    """Whatever threads a library begins, they share it."""
    # In a process of its own: the one that measures ends every process that is left below it.
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from scripts.benchmark.lineup import Contender\n"
        "from scripts.benchmark.material import Material\n"
        "from scripts.benchmark.rounds import Bench\n"
        "count = 'import json, os; print(json.dumps(dict(cores=len(os.sched_getaffinity(0)))))'\n"
        "all_cores = Contender('all', ('-c', count))\n"
        "one_core = Contender('one', ('-c', count), one_core=True)\n"
        "bench = Bench(Material(Path(sys.argv[1])), 1)\n"
        "(found,) = bench.measure('cores', '', [all_cores, one_core]).rounds\n"
        "print(*(found[name]['cores'] for name in ('all', 'one')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(len(os.sched_getaffinity(0))), "1"]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_people_and_floors_write_the_same_shape(kind: Format, tmp_path: Path) -> None:
    """Key, prediction and both probabilities of every row."""
    (path,) = write_data(Data(kind, 50), tmp_path / "in")
    for name in ("loop", "floor"):
        (tmp_path / name).mkdir()
    frames.predict_file(Model(), path, tmp_path / "loop")
    bytes_floor.copy(tmp_path / "floor", path)
    schemas = [
        pq.read_schema(next((tmp_path / name).iterdir())).remove_metadata()
        for name in ("loop", "floor")
    ]
    assert schemas[0] == schemas[1]
    frame = next(frames.read_frames(path))
    assert totals.total(tmp_path / "loop") == {
        "rows": 50,
        "predictions": (frame["x00"] > 0).sum(),
        "probabilities": pytest.approx((1 / (1 + np.exp(-frame["x00"]))).sum()),
    }


def test_both_ways_of_the_model_floor_do_all_the_work(tmp_path: Path) -> None:
    """Chunks in threads and one by one give the same; the model has no threads in threads."""
    write_data(Data("parquet", 900, 3), tmp_path / "in")
    rows = model_floor.chunks(tmp_path / "in", ["x00"])
    assert sum(map(len, rows)) == 900
    assert len(rows) == 1, "small files are put together"
    for one, other in zip(
        model_floor.in_threads(Model(), rows), model_floor.one_by_one(Model(), rows), strict=True
    ):
        np.testing.assert_array_equal(one[1], other[1])
    assert model_floor.single(Model()) == {"n_jobs": 1, "step__n_jobs": 1}


def judged(result: Result, figure: Callable[[Figures], float], **options: str) -> float | None:
    """The figure that a target comes to."""
    result.judge("", 1.0, figure, **options)
    return result.verdicts[-1].found


def test_a_target_is_judged_round_by_round() -> None:
    """Ratios within a round, then their median; rounds without one of the contenders do not count."""
    rounds = [
        {"us": {"wall_seconds": us, "peak_bytes": 7}, "loop": {"wall_seconds": loop},
         "start": {"wall_seconds": 1.0}}
        for us, loop in ((3.0, 1.0), (5.0, 4.0), (9.0, 9.0))
    ]  # fmt: skip
    result = Result("", "", rounds=[*rounds, {"us": {"wall_seconds": 1000.0}}])
    assert judged(result, lambda wall: wall["us"] / wall["loop"]) == 5 / 4
    assert judged(result, lambda wall: wall["us"] - wall["start"]) == 4
    assert judged(result, lambda wall: wall["us"]) == 7, "half way between 5 and 9"
    assert judged(result, lambda peak: peak["us"], measure="peak_bytes") == 7
    assert judged(result, lambda wall: wall["us"] / wall["other"]) is None
    result.judge("", 4.5, lambda wall: wall["us"] - wall["start"], unit=" s")
    result.judge("", 3.5, lambda wall: wall["us"] - wall["start"], unit=" s")
    assert [verdict.words for verdict in result.verdicts[-3:]] == [
        "not measured",
        "met",
        "missed by 0.50 s",
    ]


@dataclass(frozen=True)
class Claimed(Result):
    """Remembers the contenders, and those that each verdict reads a measure of."""

    contenders: list[str] = field(default_factory=list)
    read: list[set[str]] = field(default_factory=list)

    def judge(
        self, title: str, limit: float, figure: Callable[[Figures], float], **options: str
    ) -> None:
        figures = defaultdict[str, float](lambda: 1.5 ** len(figures))
        figure(figures)
        self.read.append({*figures})
        super().judge(title, limit, figure, **options)


class Listing(Bench):
    """Times nothing."""

    def measure(
        self, name: str, title: str, contenders: Collection[Contender], *, most_repeats: int = 0
    ) -> Claimed:
        del most_repeats
        return Claimed(name, title, contenders=[contender.name for contender in contenders])


NOWHERE = Material(Path("nowhere"), makes=False)


def listed(name: str) -> Claimed:
    """A scenario as `--list` has it."""
    result = SCENARIOS[name](Listing(NOWHERE), Size())
    assert isinstance(result, Claimed)
    return result


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_target_compares_the_contenders_that_it_names(name: str) -> None:
    """No scenario has two of a name, or a title that says something else than is computed."""
    result = listed(name)
    assert result.name == name
    assert len({*result.contenders}) == len(result.contenders) > 1
    assert result.verdicts
    for verdict, read in zip(result.verdicts, result.read, strict=True):
        assert read == {found for found in result.contenders if found in verdict.title}
    assert not NOWHERE.folder.exists()


def test_the_standard_scenarios_exist() -> None:
    """They are those of the main table, in its order."""
    assert [name for name in SCENARIOS if name in STANDARD] == [*STANDARD]


def test_the_page_names_every_contender_of_the_main_table() -> None:
    """Under the names that the tables have."""
    named = {
        name
        for row in re.findall(r"^\| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
        for name in row.split(", ")
    }
    assert {*listed("linear").contenders} <= named


def test_the_page_judges_by_the_targets_of_the_code() -> None:
    """A target that changes is measured again."""
    targets = {
        (name, verdict.title, verdict.limit_text)
        for name in SCENARIOS
        for verdict in listed(name).verdicts
    }
    _, _, table = PAGE.read_text().partition("| scenario | compared | at most | found | |\n")
    table, _, _ = table.partition("\n\n")
    rows = re.findall(r"^\| (\w\S*) \| ([^|]+: [^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    assert rows
    assert set(rows) <= targets
