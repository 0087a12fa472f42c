"""What was found: as JSON, and as tables for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmark.lineup import Scenario, Target
from scripts.benchmark.process import Sample
from scripts.benchmark.rounds import Findings

_MEASURES = {
    "wall_seconds": (1, "wall s"),
    "cpu_seconds": (1, "CPU s"),
    "peak_bytes": (1e6, "peak MB"),
}


@dataclass(frozen=True)
class Verdict:
    """What became of a target; `found` is None where something to compare with is missing."""

    title: str
    limit: float
    found: float | None
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.found is not None and self.found <= self.limit

    @property
    def words(self) -> str:
        if self.found is None:
            return "not measured"
        return "met" if self.is_met else f"missed by {self.found - self.limit:.2f}{self.unit}"


@dataclass(frozen=True)
class Result:
    """One scenario, measured."""

    name: str
    title: str
    measured_at: str
    rounds: Sequence[dict[str, Sample]]
    missing: dict[str, str]
    verdicts: Sequence[Verdict] = field(default_factory=list)

    def samples(self) -> dict[str, list[Sample]]:
        """By contender, in the order of the scenario."""
        names = list(dict.fromkeys(name for found in self.rounds for name in found))
        return {name: [found[name] for found in self.rounds if name in found] for name in names}


def judge(scenario: Scenario, findings: Findings) -> Result:
    """Hold what was found against the targets."""
    order = [contender.name for contender in scenario.contenders]
    rounds = [{name: found[name] for name in order if name in found} for found in findings.rounds]
    return Result(
        name=scenario.name,
        title=scenario.title,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds,
        missing=findings.missing,
        verdicts=[_verdict(target, rounds) for target in scenario.targets],
    )


def _verdict(target: Target, rounds: Sequence[dict[str, Sample]]) -> Verdict:
    return Verdict(target.title, target.limit, target.found(rounds), target.unit)


def text_lines(result: Result) -> Iterator[str]:
    """The tables of a scenario: medians with least and most, then the targets."""
    yield f"{result.name}: {result.title}, {len(result.rounds)} rounds"
    yield f"  {'':26}" + "".join(f"{title:>24}" for _, title in _MEASURES.values())
    for name, samples in result.samples().items():
        yield f"  {name:26}" + "".join(
            f"{_spread(samples, measure, scale):>24}" for measure, (scale, _) in _MEASURES.items()
        )
        for measure in (name for name in samples[0] if name not in _MEASURES):
            yield f"    {measure.replace('_', ' '):40} {_spread(samples, measure, 1)}"
    for name, reason in result.missing.items():
        yield f"  {name:26} {reason}"
    for verdict in result.verdicts:
        found = "" if verdict.found is None else f"{verdict.found:.2f}{verdict.unit}"
        limit = f"{verdict.limit:.2f}{verdict.unit}"
        yield f"  {verdict.title:72} {found:>9}  limit {limit:>9}  {verdict.words}"


def _spread(samples: Sequence[Sample], measure: str, scale: float) -> str:
    values = [sample[measure] / scale for sample in samples if measure in sample]
    digits = 0 if min(values) >= 100 else 2
    middle, least, most = (
        f"{value:,.{digits}f}" for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({least}–{most})"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    from importlib.metadata import version

    libraries = ("numpy", "pandas", "pyarrow", "scikit-learn", "joblib")
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": os.cpu_count(),
        "processor": names[0] if names else platform.machine(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }


def save(results: Sequence[Result], path: Path) -> None:
    """As JSON; what the file holds of other scenarios stays."""
    from dataclasses import asdict

    known = {result.name: result for result in (load(path) if path.exists() else [])}
    known |= {result.name: result for result in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "scenarios": [asdict(result) for result in known.values()]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> list[Result]:
    """What `save` wrote."""
    return [
        Result(**found | {"verdicts": [Verdict(**verdict) for verdict in found["verdicts"]]})
        for found in json.loads(path.read_text())["scenarios"]
    ]
