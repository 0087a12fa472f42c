"""A run is told in few steps: how deep its commit and its first part are, and how many files it crosses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.jobs import JobFolder, save_tiny_model


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `run` calls while it publishes three small CSV files."""
    folder = tmp_path_factory.mktemp("story")
    job = JobFolder.make(folder / "job", save_tiny_model(folder / "model.joblib"))
    for number in range(3):
        job.add(f"{number}.csv", [(f"{number}-{row}", row, 1) for row in range(5)])
    subprocess.run(
        [sys.executable, "-m", "tests.support.story", folder / "story.json", "run", job.folder],
        check=True,
        timeout=100,
    )
    assert job.judge()["version"] == 1
    told: dict[str, Any] = json.loads((folder / "story.json").read_text())
    return told


@pytest.mark.parametrize(("moment", "limit"), [("commit", 10), ("first part", 16)])
def test_a_moment_is_few_frames_below_the_command(
    story: dict[str, Any], moment: str, limit: int
) -> None:
    """A reader who follows the calls from the command gets there in a few steps."""
    command, *below = story["stacks"][moment]
    lines = "".join(f"\n{depth:4} {name}" for depth, name in enumerate([command, *below]))
    assert command.startswith("cli/")
    assert below[-1].startswith("store/local.py:"), "ends where bytes are written"
    assert len(below) <= limit, f"{moment}: {len(below)} frames{lines}"


def test_a_run_crosses_few_files(story: dict[str, Any]) -> None:
    """No more files have a function that is called."""
    files = story["files"]
    assert {"run/runner.py", "output/publish.py", "store/local.py"} <= {*files}
    assert len(files) <= 60, "\n".join([f"{len(files)} files", *files])
