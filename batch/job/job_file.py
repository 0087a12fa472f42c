"""A job file: find it, read it, report every mistake at once, and locate what it names."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from batch.errors import DoesNotFit, NoInput, reading
from batch.job.pattern import InputPattern
from batch.job.settings import JobSettings
from batch.wording import command

if TYPE_CHECKING:
    from batch.job.mistakes import Location, Mistake

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Job:
    """A job file in memory: its settings, with paths relative to the file's folder."""

    file: Path
    settings: JobSettings

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def name(self) -> str:
        return self.settings.name or self.folder.name

    @property
    def reference(self) -> str:
        """JOB for a command line: refers to this job file from any folder."""
        return str(self.folder if self.file.name == "job.toml" else self.file)

    @cached_property
    def pattern(self) -> InputPattern:
        return InputPattern(self._locate(self.settings.input.path))

    @property
    def model_url(self) -> str:
        return self._locate(self.settings.model.path)

    @property
    def output_url(self) -> str:
        return self._locate(self.settings.output.path)

    def with_workers(self, workers: int) -> Job:
        """The same job with another number of processes."""
        run = self.settings.run.model_copy(update={"workers": workers})
        return replace(self, settings=self.settings.model_copy(update={"run": run}))

    def _locate(self, path: str) -> str:
        if "://" in path:
            return path
        # Normalized, because messages and manifests show it.
        whole = os.path.normpath(self.folder / path)
        return f"{whole}/" if path.endswith("/") else whole


def load_job(job: str) -> Job:
    """Read the job file for JOB: a file, its folder, or the name of a folder in jobs/.

    Raises `NoInput` if there is none, `DoesNotFit` with every mistake in it.
    """
    file = find_job(job)
    try:
        with reading(file):
            text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DoesNotFit(f"{file}: not TOML: {error}") from None
    unset: list[Mistake] = []
    document = _substitute(document, (), unset)
    try:
        settings = JobSettings.model_validate(document)
    except ValidationError as error:
        from batch.job.mistakes import describe

        mistakes = describe(error.errors(include_url=False), document)
        raise _wrong(file, text, [*unset, *_unrelated(unset, mistakes)]) from None
    if unset:
        raise _wrong(file, text, unset)
    return Job(file=file.resolve(), settings=settings)


def find_job(job: str) -> Path:
    """The path of the job file for JOB."""
    paths = [Path(job), Path(job) / "job.toml", Path("jobs") / job / "job.toml"]
    candidates = list(dict.fromkeys(paths))  # An absolute path stays the same in jobs/.
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = sorted(path.parent.name for path in Path("jobs").glob("*/job.toml"))
    import difflib

    near = difflib.get_close_matches(job, known, n=1)
    raise NoInput(
        f"{job}: no such job file; looked for {', '.join(str(path) for path in candidates)}",
        f"did you mean {near[0]!r}?"
        if near
        else f"existing jobs: {', '.join(known)}"
        if known
        else f"`{command('init', '--help')}` says how to write one",
    )


def _wrong(file: Path, text: str, mistakes: Iterable[Mistake]) -> DoesNotFit:
    """The error that lists the mistakes in file order, each with its line."""
    from batch.job.mistakes import line_of

    lines = [(line_of(text, mistake.location), mistake) for mistake in mistakes]
    lines.sort(key=lambda pair: pair[0] or 0)
    return DoesNotFit(
        "\n".join(f"{file}{f':{line}' if line else ''}: {mistake}" for line, mistake in lines),
        f"`{command('schema')}` prints every key and its values",
    )


def _unrelated(unset: Iterable[Mistake], mistakes: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes that are not caused by an unset variable."""
    places = [mistake.location for mistake in unset]
    return [
        mistake
        for mistake in mistakes
        if not any(place[: len(mistake.location)] == mistake.location for place in places)
    ]


def _substitute(value: Any, location: Location, unset: list[Mistake]) -> Any:
    """Replace ${NAME} and ${NAME:-default} in every string below `value`."""
    if isinstance(value, dict):
        return {name: _substitute(item, (*location, name), unset) for name, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, (*location, index), unset) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        default: str | None = match[2]
        variable = os.environ.get(match[1], default)
        if variable is None:
            from batch.job.mistakes import Mistake  # Loaded only if there are any.

            unset.append(
                Mistake(
                    location,
                    (
                        f"the environment variable {match[1]} is not set; cron does not read your "
                        f"profile: set it in the crontab, or add a default: ${{{match[1]}:-…}}"
                    ),
                )
            )
        return variable or ""

    return _VARIABLE.sub(replacement, value)
