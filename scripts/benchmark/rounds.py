"""Measure scenarios: in each round every contender once, so that all share the machine's moods."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import click

from scripts.benchmark.data import Data
from scripts.benchmark.lineup import Contender, Scenario
from scripts.benchmark.material import ROOT, Material, environment, write_job
from scripts.benchmark.process import CommandFailed, Sample, measure

#: Where `scripts/bench --install` puts the libraries that may be missing.
OTHERS = Path("build/contenders/bin/python")


@dataclass
class Findings:
    """The samples of a scenario, and the contenders that gave none, with the reason."""

    rounds: list[dict[str, Sample]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """Runs scenarios on the material of a scratch folder."""

    material: Material

    def measure(self, scenario: Scenario, *, repeats: int) -> Findings:
        """At most `repeats` rounds."""
        found = Findings()
        contenders = [one for one in scenario.contenders if self._is_there(one, found)]
        for contender in contenders:
            self._prepare(contender)
        for number in range(min(repeats, scenario.most_repeats)):
            samples: dict[str, Sample] = {}
            totals: dict[str, Sample] = {}
            for contender in _rotated(contenders, number):
                if contender.name in found.missing:
                    continue
                try:
                    samples[contender.name] = self._run(contender)
                except CommandFailed as error:
                    if not contender.needs:
                        raise click.ClickException(f"{contender.name}: {error}") from None
                    found.missing[contender.name] = error.brief
                    continue
                click.echo(_progress(number, contender, samples[contender.name]), err=True)
                if number == 0 and contender.answers:
                    totals[contender.name] = _total(self.material.place(contender.name))
            self.material.clean()
            _compare(contenders, totals)
            found.rounds.append(samples)
        return found

    def _is_there(self, contender: Contender, found: Findings) -> bool:
        if contender.needs and contender.needs not in self._installed:
            found.missing[contender.name] = "not installed"
            return False
        return True

    @cached_property
    def _installed(self) -> set[str]:
        if not (ROOT / OTHERS).exists():
            return set()
        script = "import importlib.util as u; print([n for n in ('dask', 'daft', 'ray') if u.find_spec(n)])"
        asked = subprocess.run([ROOT / OTHERS, "-c", script], stdout=subprocess.PIPE, check=True)
        return set(json.loads(asked.stdout.decode().replace("'", '"')))

    def _prepare(self, contender: Contender) -> None:
        if contender.data:
            self.material.data(contender.data)
        if contender.model:
            self.material.model(contender.model)
        if contender.published:
            self.material.published(contender.published)

    def _run(self, contender: Contender) -> Sample:
        if contender.after:
            return self._run_once_more(contender)
        folder = self.material.work(contender.name)
        if contender.data and contender.model:
            write_job(
                folder, data=(contender.data, self.material.data(contender.data)),
                model=self.material.model(contender.model), settings=contender.settings,
            )  # fmt: skip
        return self._measured(contender, folder)

    def _run_once_more(self, contender: Contender) -> Sample:
        assert contender.data
        inputs = self.material.data(contender.data)
        more = inputs / f"one-more.{contender.data.format}"
        shutil.copy(next(inputs.iterdir()), more)
        try:
            return self._measured(contender, self.material.place(contender.after))
        finally:
            more.unlink()

    def _measured(self, contender: Contender, folder: Path) -> Sample:
        paths = {"output": folder / "out", "job": folder / "job.toml"}
        state = folder
        if contender.data:
            paths["input"] = self.material.data(contender.data)
        if contender.model:
            paths["model"] = self.material.model(contender.model)
        if contender.published:
            state = paths["published"] = self.material.published(contender.published)
        python = str(ROOT / OTHERS) if contender.needs else sys.executable
        arguments = [argument.format_map(paths) for argument in contender.arguments]
        prefix = ["taskset", "--cpu-list", "0"] if contender.one_core else []
        return measure([*prefix, python, *arguments], environment(state), folder)


def _rotated(contenders: Sequence[Contender], number: int) -> Iterator[Contender]:
    """Another one comes first in each round; who goes on after another one stays behind it."""
    leading = [one for one in contenders if not one.after]
    start = number % len(leading)
    for contender in leading[start:] + leading[:start]:
        yield contender
        yield from (one for one in contenders if one.after == contender.name)


def _progress(number: int, contender: Contender, sample: Sample) -> str:
    return (
        f"  {number + 1}: {contender.name:24} {sample['wall_seconds']:8.2f} s"
        f" {sample['cpu_seconds']:8.2f} s CPU {sample['peak_bytes'] / 1e6:8,.0f} MB"
    )


def _total(folder: Path) -> Sample:
    command = [sys.executable, "-m", "scripts.benchmark.contenders.totals", str(folder / "out")]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    totals: Sample = json.loads(found.stdout)
    return totals


def _compare(contenders: Sequence[Contender], totals: Mapping[str, Sample]) -> None:
    """Whoever leaves out work is not faster: of the same data all write the same answers."""
    expected: dict[Data | None, tuple[str, Sample]] = {}
    for contender in contenders:
        if contender.name not in totals:
            continue
        found = totals[contender.name]
        name, others = expected.setdefault(contender.data, (contender.name, found))
        if not all(math.isclose(found[what], others[what], rel_tol=1e-9) for what in others):
            raise click.ClickException(
                f"{contender.name} wrote other answers than {name}: {found}, {others}"
            )
