"""Read a job file: find it, fill in the environment, report every mistake at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from batch.errors import DoesNotFit, NoInput, reading
from batch.job.job import Job
from batch.job.settings import JobSettings
from batch.wording import command

if TYPE_CHECKING:
    from batch.job.mistakes import Location, Mistake

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_job(job: str) -> Job:
    """Read the job file that JOB names: a file, its folder, or the name of a folder in jobs/.

    Raises `NoInput` where there is none, `DoesNotFit` with every mistake it holds.
    """
    file = find_job(job)
    try:
        with reading(file):
            text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DoesNotFit(f"{file}: not TOML: {error}") from None
    unset: list[Mistake] = []
    document = _fill_in(document, (), unset)
    try:
        settings = JobSettings.model_validate(document)
    except ValidationError as error:
        from batch.job.mistakes import describe

        found = describe(error.errors(include_url=False), document)
        raise _wrong(file, text, [*unset, *_besides(unset, found)]) from None
    if unset:
        raise _wrong(file, text, unset)
    return Job(file=file.resolve(), settings=settings)


def find_job(job: str) -> Path:
    """The job file that JOB names."""
    paths = [Path(job), Path(job) / "job.toml", Path("jobs") / job / "job.toml"]
    candidates = list(dict.fromkeys(paths))  # A whole path is the same in jobs/.
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = sorted(path.parent.name for path in Path("jobs").glob("*/job.toml"))
    import difflib

    near = difflib.get_close_matches(job, known, n=1)
    raise NoInput(
        f"{job}: no job file; looked for {', '.join(str(path) for path in candidates)}",
        f"did you mean {near[0]!r}?"
        if near
        else f"jobs here: {', '.join(known)}"
        if known
        else f"`{command('init', '--help')}` says how to write one",
    )


def _wrong(file: Path, text: str, mistakes: Iterable[Mistake]) -> DoesNotFit:
    """The error that lists mistakes in the order of the file, each with its line."""
    from batch.job.mistakes import line_of

    lines = [(line_of(text, mistake.location), mistake) for mistake in mistakes]
    lines.sort(key=lambda pair: pair[0] or 0)
    return DoesNotFit(
        "\n".join(f"{file}{f':{line}' if line else ''}: {mistake}" for line, mistake in lines),
        f"`{command('schema')}` prints every key and its values",
    )


def _besides(unset: Iterable[Mistake], found: Iterable[Mistake]) -> list[Mistake]:
    """The mistakes that do not come from a variable that is not set."""
    places = [mistake.location for mistake in unset]
    return [
        mistake
        for mistake in found
        if not any(place[: len(mistake.location)] == mistake.location for place in places)
    ]


def _fill_in(value: Any, location: Location, unset: list[Mistake]) -> Any:
    """Replace ${NAME} and ${NAME:-default} in every string below `value`."""
    if isinstance(value, dict):
        return {name: _fill_in(item, (*location, name), unset) for name, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, (*location, index), unset) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        default: str | None = match[2]
        found = os.environ.get(match[1], default)
        if found is None:
            from batch.job.mistakes import Mistake  # Loaded only where there are any.

            unset.append(
                Mistake(
                    location,
                    (
                        f"the environment variable {match[1]} is not set; cron does not read your "
                        f"profile: set it in the crontab, or give a default: ${{{match[1]}:-…}}"
                    ),
                )
            )
        return found or ""

    return _VARIABLE.sub(fill, value)
