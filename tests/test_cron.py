"""The whole chain for real: Debian's cron, the command line, the output, the application."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch.run.lock import state_files
from tests.support.jobs import JobFolder

ROOT = Path(__file__).parents[1]


@contextmanager
def cron() -> Iterator[None]:
    """A cron daemon. Where this machine has one already, ours finds that one's lock and leaves.

    A number in /run/crond.pid proves nothing: a daemon that was ended leaves it behind, and any
    other process may have it since.
    """
    with subprocess.Popen(["cron", "-f"], stderr=subprocess.DEVNULL) as daemon:
        try:
            yield
        finally:
            daemon.terminate()


@contextmanager
def crontab(lines: str) -> Iterator[None]:
    """These lines as our crontab; what was there before comes back."""
    before = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False)
    subprocess.run(["crontab", "-"], input=lines, text=True, check=True)
    try:
        yield
    finally:
        if before.returncode == 0:
            subprocess.run(["crontab", "-"], input=before.stdout, text=True, check=True)
        else:
            subprocess.run(["crontab", "-r"], check=False, capture_output=True)


@contextmanager
def application(output: Path) -> Iterator[str]:
    """The sample application on a free port; gives its address."""
    command = [sys.executable, ROOT / "scripts" / "sample_app.py", output, "--port", "0",
               "--interval", "0.5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield next(found[0] for line in lines if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()


def example_lines(job: Path) -> str:
    """The example's first line, for this checkout and job, every minute."""
    example = (ROOT / "crontab.example").read_text()
    (line,) = re.findall(r"^\*/15 .*$", example, re.MULTILINE)
    line = line.replace("*/15", "*", 1).replace("$BATCH_PREDICT/.venv", sys.prefix)
    return f'MAILTO=""\n{line.replace("$BATCH_PREDICT/jobs/flight_delays", str(job))}\n'


def answer(url: str) -> str | None:
    """What the application says, None if it has no such prediction."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        assert error.code == 404, error.read()
        return None


@pytest.mark.cron
@pytest.mark.timeout(300)
def test_cron_brings_new_records_to_a_running_application(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is added is answered from within two minutes, with nobody watching."""
    if os.getuid() != 0 or not shutil.which("cron"):
        pytest.skip("CRON IS NOT TESTED HERE: it takes root and Debian's package cron")
    monkeypatch.delenv("BATCH_PREDICT_STATE")  # Cron has none either.
    job.add("1.csv", [("first", 1, 1)])
    assert job.run().name == "published"
    with application(job.output) as address, cron(), crontab(example_lines(job.folder)):
        assert answer(f"{address}predictions/first")
        assert answer(f"{address}predictions/second") is None
        job.add("2.csv", [("second", 2, 2)])
        deadline = time.monotonic() + 150
        while not (found := answer(f"{address}predictions/second")):
            assert time.monotonic() < deadline, "cron did not run the job"
            time.sleep(1)
    assert '"_input":"2.csv"' in found.replace(" ", "")
    job.judge()
    for path in state_files(str(job.output)):
        path.unlink(missing_ok=True)
