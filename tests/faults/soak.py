"""A soak: inputs come and go, runs are killed at random moments, readers poll, all at once.

Every choice follows from the seed. What the machine makes of it does not, so a violation may take
several tries to come again.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from tests.faults.findings import Findings
from tests.faults.processes import FATES, draw_fate
from tests.faults.settling import Judge
from tests.faults.storms import Action, Broken, Soak

#: Long tests that have an exhaustive form: pytest node ids. They run before the soak, with
#: BATCH_PREDICT_TORTURE=1 in their environment.
LONG = ["tests/faults/test_real_kills.py", "tests/faults/test_power_loss.py", "tests/test_life.py"]
#: How far a rollback goes back.
_VERSIONS_BACK = 5


def _run(soak: Soak) -> None:
    if soak.is_paused() and soak.random.random() < 0.3:
        _unpause(soak)
    else:
        fate = draw_fate(soak.random)
        # Only one of the job files always asks for workers.
        job = "together.toml" if fate.kind == "kill a worker" else ""
        soak.start("run", str(soak.job.folder / job) if job else soak.any_job(), fate=fate)


def _roll_back(soak: Soak) -> None:
    newest = soak.newest()
    targets = range(max(soak.first_whole, newest - _VERSIONS_BACK), newest)
    if targets:
        to = ["--to", str(soak.random.choice(targets))]
        soak.start("rollback", soak.any_job(), *to, fate=draw_fate(soak.random))


def _unpause(soak: Soak) -> None:
    if soak.newest():
        soak.start("unpause", soak.any_job(), fate=draw_fate(soak.random))


def _prune(soak: Soak) -> None:
    soak.start("prune", soak.any_job(), "--yes", fate=draw_fate(soak.random))


def _verify(soak: Soak) -> None:
    if soak.newest():
        soak.start("verify", soak.any_job(), fate=draw_fate(soak.random))


#: What happens in a storm; what the program has no command for is left out.
ACTIONS = [
    Action("run", 40, _run),
    Action("rollback", 3, _roll_back),
    Action("unpause", 1, _unpause),
    Action("prune", 4, _prune),
    Action("verify", 2, _verify),
]


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long to go on.")
@click.option("--seed", type=int, help="Makes the same choices again; by default a random one.")
def main(minutes: float, seed: int | None) -> None:
    """Kill runs at random moments while inputs come and go, and judge what is published.

    Exits with 1 on the first violation, and keeps everything that tells how it came about.
    """
    _run_long_tests()
    findings = Findings(secrets.randbelow(1_000_000) if seed is None else seed)
    folder = Path(tempfile.mkdtemp(prefix="batch-predict-soak-"))
    click.echo(f"soak of {minutes:g} minutes, seed {findings.seed}, in {folder}")
    # Whoever stops the soak stops its processes too: they are in sessions of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    soak = Soak(folder, findings)
    judge = Judge(soak)
    try:
        soak.go(minutes, ACTIONS, settle=judge.settle)
    except Broken:
        click.echo(f"Everything is kept in {folder}; journal.txt tells what ran.")
    finally:
        if not findings.violations:
            shutil.rmtree(folder)
    _report(findings, judge, minutes)
    sys.exit(1 if findings.violations else 0)


def _run_long_tests() -> None:
    if LONG:
        command = [sys.executable, "-m", "pytest", "--timeout=0", *LONG]
        found = subprocess.run(
            command,
            env=os.environ | {"BATCH_PREDICT_TORTURE": "1", "POWER_LOSS": "100"},
            check=False,
        )
        if found.returncode:
            sys.exit(found.returncode)


def _report(findings: Findings, judge: Judge, minutes: float) -> None:
    """The figures, and how to get them again."""
    counts, chronicle = findings.counts, judge.chronicle
    rows = [
        ("minutes", f"{findings.elapsed() / 60:.1f}"),
        ("seed", findings.seed),
        ("commands started", counts["commands"]),
        *((f"  {name}", counts[name]) for name in FATES if name != "left alone"),
        *((f"  {name}", counts[name]) for name in sorted(counts) if name.startswith("exit ")),
        ("inputs written", counts["inputs written"]),
        ("models trained again", counts["models"]),
        ("parts damaged", counts["parts damaged"]),
        ("versions published", chronicle.version),
        *((f"  {kind}", number) for kind, number in sorted(chronicle.kinds.items())),
        ("records predicted", f"{chronicle.predicted:,}"),
        ("versions that readers saw", counts["versions that readers saw"]),
        ("quiet points judged", counts["quiet points"]),
        ("violations", len(findings.violations)),
    ]
    for name, value in rows:
        click.echo(f"{name:28} {value:>12}")
    click.echo(f"repeat: scripts/torture --minutes {minutes:g} --seed {findings.seed}")


if __name__ == "__main__":
    main()
