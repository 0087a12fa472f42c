"""Mistakes in a job file as readable messages: line, key, found, expected, suggestion."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from batch.job.settings import ColumnSection, JobSettings

#: Where in a job file: the names of tables and keys, and positions in lists.
Location = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "too_short": "at least one entry",
    "string_too_short": "at least one character",
    "string_too_long": "a single character",
}
_PATTERNS = {
    "name": 'letters, digits, "_", "-" and "." only',
    "sha256": "64 digits of 0-9 and a-f",
    "preprocess": '"MODULE:FUNCTION"',
    "postprocess": '"MODULE:FUNCTION"',
}
#: Names of our types in other programs; other names are matched by similarity.
_ALIASES = {"datetime": "timestamp", "double": "float64", "number": "float64", "object": "string",
          "text": "string", "boolean": "bool", "integer": "int64"}  # fmt: skip
_TABLE = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_KEY_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True)
class Mistake:
    """A mistake at one key of a job file."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.location) or 'the job file'}: {self.message}"


def dotted(location: Location) -> str:
    """A location in TOML syntax: `input.columns."a b".type`, `model.methods[1]`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if re.fullmatch(r"[\w-]+", part) else f'."{part}"'
    return text.removeprefix(".")


def line_of(text: str, location: Location) -> int | None:
    """The line, from 1, of the innermost table or key of a location that is in the text."""
    table: tuple[str, ...] = ()
    best, depth = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.fullmatch(line):
            table = place = _parts(match[1])
        elif match := _KEY.match(line):
            place = (*table, *_parts(match[1]))
        else:
            continue
        if len(place) > depth and location[: len(place)] == place:
            best, depth = number, len(place)
    return best


def describe(errors: Iterable[Mapping[str, Any]], document: Mapping[str, Any]) -> list[Mistake]:
    """The errors of pydantic, one mistake per key."""
    grouped: dict[Location, list[Mapping[str, Any]]] = {}
    branches: set[Location] = set()
    for error in errors:
        location, is_branch = _locate(error, document)
        grouped.setdefault(location, []).append(error)
        if is_branch or error["type"] == "too_short":  # pydantic does not count invalid entries.
            branches.add(location)
    for location in branches:
        # The branch of a union that got further has the better message: [1, "a"] is a list.
        if any(other != location and other[: len(location)] == location for other in grouped):
            del grouped[location]
    return [Mistake(location, _message(location, group)) for location, group in grouped.items()]


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _KEY_PART.findall(key))


def _locate(error: Mapping[str, Any], document: Any) -> tuple[Location, bool]:
    """The location of an error, and whether pydantic's includes the branch of a union."""
    location: list[str | int] = []
    is_branch = False
    for part in error["loc"]:
        if _holds(document, part):
            document = document[part]
        elif error["type"] != "missing" or part != error["loc"][-1]:
            is_branch = True
            continue
        location.append(part)
    return tuple(location), is_branch


def _holds(document: object, part: str | int) -> bool:
    if isinstance(document, Mapping):
        return part in document
    return isinstance(document, list) and isinstance(part, int)


def _message(location: Location, errors: Sequence[Mapping[str, Any]]) -> str:
    kind, value = errors[0]["type"], errors[0]["input"]
    if kind == "extra_forbidden":
        return f"unknown key{_known_keys(location)}"
    if kind == "missing":
        return _missing(location)
    expected = " or ".join(dict.fromkeys(_expected(location, error) for error in errors))
    if kind == "value_error" and not expected.startswith("expected "):
        return expected
    expected = f"expected {expected.removeprefix('expected ')}"
    if isinstance(value, Mapping | BaseModel):
        return f"found a table, {expected}" if kind != "value_error" else expected
    return f"found {_shown(value)}, {expected}{_suggestion(value, errors)}"


def _expected(location: Location, error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case "literal_error":
            options = [repr(option) for option in _options(error)]
            return f"one of {', '.join(options)}" if len(options) > 1 else options[0]
        case "tuple_type" if isinstance(error["input"], str):
            return f'a list such as ["{error["input"]}"]'
        case "model_type" if _section(location) is ColumnSection:
            return 'a type such as "float64", or a table'
        case "greater_than_equal":
            return f"a whole number, at least {context['ge']}"
        case "string_pattern_mismatch":
            return _PATTERNS.get(str(location[-1]), f"text that matches {context['pattern']}")
        case _:
            return _EXPECTED.get(kind) or str(error["msg"]).removeprefix("Value error, ")


def _options(error: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def _suggestion(value: object, errors: Sequence[Mapping[str, Any]]) -> str:
    options = [
        option for error in errors if error["type"] == "literal_error" for option in _options(error)
    ]
    if not isinstance(value, str) or not options:
        return ""
    alias = _ALIASES.get(value.lower(), "")
    near = [alias] if alias in options else difflib.get_close_matches(value.lower(), options, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return repr(value)
        case list() | tuple():
            return "a list" if value else "an empty list"
        case _:
            return str(value)


def _missing(location: Location) -> str:
    section = _section(location)
    if section is None:
        return "this key is required"
    required = [name for name, field in section.model_fields.items() if field.is_required()]
    return f"this table is required, with {' and '.join(required)}"


def _known_keys(location: Location) -> str:
    """A suggestion for an unknown key."""
    section, name = _section(location[:-1]), str(location[-1])
    if section is None:
        return ""
    if near := difflib.get_close_matches(name.lower(), section.model_fields, n=1):
        return f"; did you mean {near[0]!r}?"
    for table in (("input",), ("input", "csv"), ("model",), ("output",), ("run",), ("checks",)):
        known = _section(table)
        if known and name in known.model_fields:
            return f"; it belongs under [{dotted(table)}]"
    return f"; known keys: {', '.join(section.model_fields)}"


def _section(location: Location) -> type[BaseModel] | None:
    """The pydantic model of a table in the job file, None if the location is not a table."""
    section: Any = JobSettings
    for part in location:
        if typing.get_origin(section) is dict:
            section = typing.get_args(section)[1]
        elif isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(str(part))
            section = field.annotation if field else None
        else:
            return None
    return section if isinstance(section, type) and issubclass(section, BaseModel) else None
