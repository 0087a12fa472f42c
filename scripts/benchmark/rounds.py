"""Measure scenarios: in each round every contender once, so that all share the machine's moods."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from scripts.benchmark.data import Data
from scripts.benchmark.lineup import Contender
from scripts.benchmark.material import ROOT, Material, environment
from scripts.benchmark.process import CommandFailed, Sample, measure
from scripts.benchmark.report import Result

#: Where `scripts/bench --install` puts the libraries that may be missing.
OTHERS = ROOT / "build/contenders"


@dataclass(frozen=True)
class Bench:
    """Measures with the material of a scratch folder; without repeats, a result has no figures."""

    material: Material
    repeats: int = 0

    def measure(
        self, name: str, title: str, contenders: Collection[Contender], *, most_repeats: int = 1000
    ) -> Result:
        """At most `repeats` rounds, to be judged by the caller."""
        result = Result(name, title)
        for contender in contenders:
            if contender.needs and not _is_installed(contender.needs):
                result.missing[contender.name] = "not installed"
        present = [one for one in contenders if one.name not in result.missing]
        for number in range(min(self.repeats, most_repeats)):
            samples = self._round(number, present, result)
            ordered = (one.name for one in present if one.name in samples)
            result.rounds.append({name: samples[name] for name in ordered})
        return result

    def _round(
        self, number: int, contenders: Sequence[Contender], result: Result
    ) -> dict[str, Sample]:
        samples: dict[str, Sample] = {}
        totals: dict[str, Sample] = {}
        for contender in _rotated(contenders, number):
            if contender.name in result.missing:
                continue
            try:
                samples[contender.name] = self._run(contender)
            except CommandFailed as error:
                if not contender.needs:
                    raise click.ClickException(f"{contender.name}: {error}") from None
                result.missing[contender.name] = error.brief
                continue
            click.echo(_progress(number, contender, samples[contender.name]), err=True)
            if number == 0 and contender.answers_of:
                totals[contender.name] = _total(self._place(contender.name) / "out")
        shutil.rmtree(self._place(""), ignore_errors=True)
        _compare(contenders, totals)
        return samples

    def _run(self, contender: Contender) -> Sample:
        if contender.after:
            with _one_more(contender.inputs):
                return _measured(contender, self._place(contender.after))
        folder = self._place(contender.name)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        (folder / "job.toml").write_text(contender.job)
        return _measured(contender, folder)

    def _place(self, name: str) -> Path:
        """The folder of one command; others who measure in the same scratch folder have theirs."""
        return self.material.folder / f"work-{os.getpid()}" / name


@contextmanager
def _one_more(inputs: Path) -> Iterator[None]:
    """A copy of an input beside it."""
    first = next(inputs.iterdir())
    more = inputs / f"one-more{first.suffix}"
    shutil.copy(first, more)
    try:
        yield
    finally:
        more.unlink()


def _is_installed(library: str) -> bool:
    return any(OTHERS.glob(f"lib/python*/site-packages/{library}"))


def _measured(contender: Contender, folder: Path) -> Sample:
    python = str(OTHERS / "bin/python") if contender.needs else sys.executable
    prefix = ["taskset", "--cpu-list", "0"] if contender.one_core else []
    command = [*prefix, python, *contender.arguments]
    return measure(command, environment(contender.state or folder), folder)


def _rotated(contenders: Sequence[Contender], number: int) -> Iterator[Contender]:
    """Another one comes first in each round; one that continues another's work stays behind it."""
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


def _total(output: Path) -> Sample:
    command = [sys.executable, "-m", "scripts.benchmark.contenders.totals", str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    totals: Sample = json.loads(done.stdout)
    return totals


def _compare(contenders: Sequence[Contender], totals: Mapping[str, Sample]) -> None:
    """Leaving out work is no speed: all contenders with the same data write the same answers."""
    expected: dict[Data | None, tuple[str, Sample]] = {}
    for contender in contenders:
        if contender.name not in totals:
            continue
        found = totals[contender.name]
        name, others = expected.setdefault(contender.answers_of, (contender.name, found))
        if not all(math.isclose(found[what], others[what], rel_tol=1e-9) for what in others):
            raise click.ClickException(
                f"{contender.name} wrote other answers than {name}: {found}, {others}"
            )
