"""A ledger is read in the thread that asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch.output.ledger import encode_segment
from tests.inputs.test_survey import ledgered

READ = """
import os, sys
from pathlib import Path
import pyarrow.parquet
from batch.output.ledger import Ledger

data, before = Path(sys.argv[1]).read_bytes(), len(os.listdir("/proc/self/task"))
assert len(Ledger.from_segments([("segment", data)])) == 1
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_no_thread_is_left_that_holds_what_was_read(tmp_path: Path) -> None:
    """One that lets go of it while the process ends would abort the process, now and then."""
    segment = tmp_path / "segment.parquet"
    segment.write_bytes(encode_segment([ledgered("1.csv")]))
    found = subprocess.run(
        [sys.executable, "-c", READ, str(segment)],
        env=os.environ | {"OMP_NUM_THREADS": "8"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert int(found.stdout) <= 1
