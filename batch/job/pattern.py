"""The input path of a job: which names are inputs, and the date of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

_WILDCARD = re.compile(r"\*\*/|\*\*|\*|\?|\{date(?::(?P<format>[^{}]*))?\}")
_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%j": r"\d{3}",
    "%y": r"\d{2}",
    "%b": r"[A-Za-z]{3}",
    "%%": "%",
}
_GLOBS = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
ISO_DATE = "%Y-%m-%d"


@dataclass(frozen=True)
class InputPattern:
    """A path with `*`, `**`, `?` and `{date}` or `{date:FORMAT}`, split at its first wildcard.

    Raises ValueError for a date format without year, month and day, and for `{other}`.
    """

    path: str

    def __post_init__(self) -> None:
        for date_format in self._date_formats:
            _date_regex(date_format)
        unknown = re.search(r"\{[^{}]*\}", _WILDCARD.sub("", self.path))
        if unknown:
            raise ValueError(
                f"unknown wildcard {unknown[0]}: use {{date}}, {{date:FORMAT}}, *, ** or ?"
            )

    @property
    def base(self) -> str:
        """The folder before the first wildcard; paths of inputs are relative to it."""
        return self.path[: self._split]

    @property
    def names(self) -> str:
        """The part after `base`, with the wildcards."""
        return self.path[self._split :]

    @property
    def has_date(self) -> bool:
        return bool(self._date_formats)

    def matches(self, name: str) -> bool:
        """Whether a path relative to `base` is an input; one with an impossible date is not."""
        match = self._regex.fullmatch(name)
        return match is not None and self._dates(match.groups()) is not None

    def date(self, name: str) -> datetime | None:
        """The date in a matching path, at midnight UTC; None for a pattern without `{date}`."""
        match = self._regex.fullmatch(name)
        dates = self._dates(match.groups()) if match else None
        return dates[0] if dates else None

    @cached_property
    def _split(self) -> int:
        first = _WILDCARD.search(self.path)
        return self.path.rfind("/", 0, first.start() if first else None) + 1

    @cached_property
    def _date_formats(self) -> tuple[str, ...]:
        wildcards = _WILDCARD.finditer(self.path)
        return tuple(
            match["format"] or ISO_DATE for match in wildcards if match[0].startswith("{date")
        )

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        expression, position = "", 0
        for match in _WILDCARD.finditer(self.names):
            expression += re.escape(self.names[position : match.start()])
            expression += _GLOBS.get(match[0]) or _date_regex(match["format"] or ISO_DATE)
            position = match.end()
        return re.compile(expression + re.escape(self.names[position:]))

    @cached_property
    def _parsed(self) -> dict[tuple[str, ...], list[datetime] | None]:
        # Many inputs share a date, and each is parsed twice.
        return {}

    def _dates(self, texts: tuple[str, ...]) -> list[datetime] | None:
        """The dates in a path: [] for a pattern without dates, None if impossible or contradictory."""
        try:
            return self._parsed[texts]
        except KeyError:
            return self._parsed.setdefault(texts, _parse_all(texts, self._date_formats))


def _parse_all(texts: tuple[str, ...], date_formats: tuple[str, ...]) -> list[datetime] | None:
    try:
        dates = [
            _parse(text, date_format).replace(tzinfo=UTC)
            for text, date_format in zip(texts, date_formats, strict=True)
        ]
    except ValueError:
        return None
    return dates if len(set(dates)) <= 1 else None


def _parse(text: str, date_format: str) -> datetime:
    if date_format == ISO_DATE:  # The usual format: strptime is slow, and slow to import.
        return datetime.fromisoformat(text)
    return datetime.strptime(text, date_format)  # noqa: DTZ007  # The caller sets UTC.


def _date_regex(date_format: str) -> str:
    if not re.search(r"%[Yy]", date_format) or not (
        "%j" in date_format or (re.search(r"%[mb]", date_format) and "%d" in date_format)
    ):
        raise ValueError(f"{{date:{date_format}}} needs a year, a month and a day")
    unknown = set(re.findall(r"%.", date_format)) - _DIRECTIVES.keys()
    if unknown:
        raise ValueError(
            f"{{date:{date_format}}}: unknown {', '.join(sorted(unknown))}; expected "
            f"{' '.join(_DIRECTIVES)}"
        )
    parts = re.split(r"(%.)", date_format)
    return "(" + "".join(_DIRECTIVES.get(part) or re.escape(part) for part in parts) + ")"
