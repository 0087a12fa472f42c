"""What a run says when others publish at the same time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from batch.logs import utc_now
from batch.output.plan import Packing
from tests.faults.bench import process
from tests.support.jobs import JobFolder

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")


def test_what_a_lost_race_leaves_open_is_said(job: JobFolder, tmp_path: Path) -> None:
    """Of two inputs in one slice another host took one: the other is left to the next run."""
    job.packing = Packing(small_bytes=100)
    job.add("1.csv", [("a", 1, 2)])
    job.add("2.csv", [("b", 3, 4)])
    job.add("3.csv", [(f"c{number}", 1, 1) for number in range(30)])
    met = False

    def meet(verb: str, path: str) -> None:
        nonlocal met
        if verb == "create" and path.startswith("manifests/") and not met:
            met = True
            job.configure(input={"exclude": ["2.csv", "3.csv"]})
            with process(tmp_path / "elsewhere"):
                # It began earlier, so it does not clear up what it cannot have seen.
                other = job.run(clock=lambda: utc_now() - timedelta(hours=1))
            assert (other.version, other.exit_code) == (1, 0)
            job.configure()

    outcome = job.run(before=meet)
    assert (outcome.name, outcome.version, outcome.exit_code) == ("published", 2, 75)
    assert outcome.message.endswith("1 input left to the next run")
    assert job.judge()["totals"]["inputs"] == 2
    assert job.run().exit_code == 0
    assert job.judge()["totals"]["inputs"] == 3
