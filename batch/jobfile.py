"""Read a job file: find it, fill in the environment, report every mistake at once."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from batch.errors import DoesNotFit, NoInput
from batch.job import Job, JobSettings

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_EXPECTED = {
    "missing": "this key is required",
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
}


def load_job(job: str) -> Job:
    """Read the job file that JOB names: a file, its folder, or the name of a folder in jobs/.

    Raises `NoInput` where there is none, `DoesNotFit` with every mistake it holds.
    """
    file = find_job(job)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DoesNotFit(f"{file}: not TOML: {error}") from None
    mistakes: list[str] = []
    document = _fill_in(document, "", mistakes)
    if not mistakes:
        try:
            return Job(file=file.resolve(), settings=JobSettings.model_validate(document))
        except ValidationError as error:
            mistakes = [_describe(item) for item in error.errors(include_url=False)]
    raise DoesNotFit("\n".join(f"{file}: {mistake}" for mistake in mistakes),
                     "'batch-predict schema' prints every key and what it takes")


def find_job(job: str) -> Path:
    """The job file that JOB names."""
    candidates = [Path(job), Path(job) / "job.toml", Path("jobs") / job / "job.toml"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = sorted(path.parent.name for path in Path("jobs").glob("*/job.toml"))
    near = difflib.get_close_matches(job, known, n=1)
    raise NoInput(
        f"{job}: no job file; looked for {', '.join(str(path) for path in candidates)}",
        f"did you mean {near[0]!r}?" if near
        else f"jobs here: {', '.join(known)}" if known
        else "'batch-predict init' writes a job file",
    )


def _fill_in(value: Any, key: str, mistakes: list[str]) -> Any:
    """Replace ${NAME} and ${NAME:-default} in every string below `value`."""
    if isinstance(value, dict):
        return {name: _fill_in(item, f"{key}.{name}".lstrip("."), mistakes)
                for name, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, f"{key}[{index}]", mistakes) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            mistakes.append(
                f"{key}: the environment variable {match[1]} is not set; cron does not read your "
                f"profile: set it in the crontab, or give a default: ${{{match[1]}:-…}}"
            )
        return found or ""

    return _VARIABLE.sub(fill, value)


def _describe(error: Any) -> str:
    """One mistake: key, found, expected, and what was probably meant."""
    location = [part for part in error["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in location) or "the job file"
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key{_did_you_mean(location)}"
    if kind == "missing":
        return f"{key}: {_EXPECTED[kind]}"
    message = error["msg"].removeprefix("Value error, ")
    expected = _EXPECTED.get(kind, message[0].lower() + message[1:])
    if isinstance(found, dict | BaseModel):
        return f"{key}: {expected}"
    return f"{key}: found {found!r}, {expected}"


def _is_branch(part: object) -> bool:
    """Whether pydantic put the name of a union's branch into the place of an error."""
    return isinstance(part, str) and (
        "[" in part or part in {"str", "int"} or part.startswith(("constrained", "literal"))
    )


def _did_you_mean(location: list[Any]) -> str:
    section: Any = JobSettings
    for part in location[:-1]:
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        section = field.annotation if field else None
    known = list(section.model_fields) if hasattr(section, "model_fields") else []
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""
