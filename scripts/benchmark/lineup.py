"""What a scenario is: who runs on which data, and what is to be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from scripts.benchmark.data import Data
from scripts.benchmark.process import Sample

#: The samples of one round, by contender.
Round = Mapping[str, Sample]


@dataclass(frozen=True)
class Output:
    """What the program published before anything is measured: data under a model.

    With `versions` = 2, everything was predicted a second time since.
    """

    data: Data
    model: str = "linear"
    versions: int = 1

    @property
    def name(self) -> str:
        return f"output-{self.data.name}-{self.model}-{self.versions}"


@dataclass(frozen=True)
class Contender:
    """A command to be timed as a whole.

    In `arguments` of the interpreter, {input}, {model}, {output}, {published} and {job} stand for
    paths. `needs` is a library that may be missing. `settings` go to the `[run]` table of the job.
    With `after`, the folder of that contender is gone on with, one more input being there. With
    `one_core`, neither its threads nor its processes get another one.
    """

    name: str
    arguments: tuple[str, ...]
    data: Data | None = None
    model: str = ""
    published: Output | None = None
    needs: str = ""
    settings: Mapping[str, int | str] = field(default_factory=dict)
    after: str = ""
    answers: bool = True
    one_core: bool = False


@dataclass(frozen=True)
class Target:
    """A measure of `of` is at most `limit` times what `to` needs, round by round.

    `to` is the least or, with `slowest`, the greatest among contenders; without any it is 1. `less`
    names a contender whose own measure does not count, such as a start-up, `to_less` likewise for
    what it is compared with. With `above`, the limit is a difference, not a ratio. `unit` is worth
    `unit_size` of what is measured.
    """

    of: str
    limit: float
    to: tuple[str, ...] = ()
    measure: str = "wall_seconds"
    less: str = ""
    to_less: str = ""
    slowest: bool = False
    above: bool = False
    unit: str = ""
    unit_size: float = 1

    @property
    def title(self) -> str:
        name = self.measure.removesuffix("_seconds").removesuffix("_bytes").replace("_", " ")
        chosen = " or ".join(self.to) if len(self.to) < 2 else (
            f"the {'slower' if self.slowest else 'faster'} of {' and '.join(self.to)}"
        )  # fmt: skip
        less = f" without {self.less}" if self.less else ""
        if not self.to:
            return f"{self.of}: {name}{less}"
        return f"{self.of}: {name}{less} {'above' if self.above else '/'} {chosen}"

    def found(self, rounds: Sequence[Round]) -> float | None:
        """The median over the rounds in which all that it compares was measured."""
        names = {self.of, *self.to, *(name for name in (self.less, self.to_less) if name)}
        values = [self._of(found) for found in rounds if names <= found.keys()]
        return median(values) if values else None

    def _of(self, found: Round) -> float:
        value = found[self.of][self.measure]
        value -= found[self.less][self.measure] if self.less else 0
        if not self.to:
            return value / self.unit_size
        others = [found[name][self.measure] for name in self.to]
        other = max(others) if self.slowest else min(others)
        other -= found[self.to_less][self.measure] if self.to_less else 0
        return value - other if self.above else value / other


@dataclass(frozen=True)
class Scenario:
    """Contenders that are compared, round by round. `standard` ones need no option to be run."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    standard: bool = False
    most_repeats: int = 1000
