"""Results: as JSON, and as tables for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmark.process import Sample

#: One measure of one round, by contender.
Figures = Mapping[str, float]

_MEASURES = {
    "wall_seconds": (1, "wall s"),
    "cpu_seconds": (1, "CPU s"),
    "peak_bytes": (1e6, "peak MB"),
}


@dataclass(frozen=True)
class Verdict:
    """A figure against its limit; `found` is None where a contender it needs is missing."""

    title: str
    limit: float
    found: float | None
    unit: str = ""

    @property
    def limit_text(self) -> str:
        return f"{self.limit:.2f}{self.unit}"

    @property
    def found_text(self) -> str:
        return "" if self.found is None else f"{self.found:.2f}{self.unit}"

    @property
    def words(self) -> str:
        if self.found is None:
            return "not measured"
        missed_by = self.found - self.limit
        return "met" if missed_by <= 0 else f"missed by {missed_by:.2f}{self.unit}"


@dataclass(frozen=True)
class Result:
    """One scenario, measured: the samples of each round by contender, and what they were held to.

    `missing` has the contenders that gave none, with the reason.
    """

    name: str
    title: str
    measured_at: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    rounds: list[dict[str, Sample]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def judge(
        self, title: str, limit: float, figure: Callable[[Figures], float], *,
        measure: str = "wall_seconds", unit: str = "",
    ) -> None:  # fmt: skip
        """Hold the median of `figure` over the rounds against a limit.

        `figure` gets the measure of each contender in one round, since rounds differ in how busy
        the machine is. Rounds in which it misses a contender do not count.
        """
        found = []
        for samples in self.rounds:
            figures = {name: one[measure] for name, one in samples.items() if measure in one}
            with suppress(KeyError):
                found.append(figure(figures))
        self.verdicts.append(Verdict(title, limit, median(found) if found else None, unit))

    def samples(self) -> dict[str, list[Sample]]:
        """By contender, in the order of the scenario."""
        names = list(dict.fromkeys(name for found in self.rounds for name in found))
        return {name: [found[name] for found in self.rounds if name in found] for name in names}


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
        found, limit = verdict.found_text, verdict.limit_text
        yield f"  {verdict.title:72} {found:>9}  limit {limit:>9}  {verdict.words}"


def _spread(samples: Sequence[Sample], measure: str, scale: float) -> str:
    values = [sample[measure] / scale for sample in samples if measure in sample]
    digits = 0 if min(values) >= 100 else 2
    middle, least, most = (
        f"{value:,.{digits}f}" for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({least}–{most})"


def machine() -> dict[str, Any]:
    """The machine and libraries that are measured."""
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
    """As JSON; results of other scenarios in the file stay."""
    known = {result.name: result for result in (load(path) if path.exists() else [])}
    known |= {result.name: result for result in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "scenarios": [asdict(result) for result in known.values()]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> list[Result]:
    """The results that `save` wrote."""
    return [
        Result(**found | {"verdicts": [Verdict(**verdict) for verdict in found["verdicts"]]})
        for found in json.loads(path.read_text())["scenarios"]
    ]
