"""Find the date in a path, and derive the pattern that also matches other dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from batch.job.pattern import ISO_DATE

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:T(?P<time>\d\d(?P<colon>[-:]?)\d\d(?:(?P=colon)\d\d)?)(?!\d))?"
_NAME = r"(?:[A-Za-z_]+=)"
#: Every date format with its parts; text between them is kept as it is.
_FORMS = (
    # 2024-01-31, 2024_01_31, 20240131, 2024/01/31, 2024-01/31, 202401/31 …
    rf"(?P<Y>{_YEAR})(?P<a>[-_./]?)(?P<m>{_MONTH})(?P<b>(?P=a)|/)(?P<d>{_DAY})(?!\d){_TIME}",
    # year=2024/month=01/day=31
    rf"{_NAME}(?P<Y>{_YEAR})/{_NAME}(?P<m>{_MONTH})/{_NAME}(?P<d>{_DAY})(?!\d)",
    # 31.01.2024, and 01-31-2024
    rf"(?P<d>{_DAY})(?P<a>[-_.])(?P<m>{_MONTH})(?P=a)(?P<Y>{_YEAR})(?!\d)",
    rf"(?P<m>{_MONTH})(?P<a>[-_.])(?P<d>{_DAY})(?P=a)(?P<Y>{_YEAR})(?!\d)",
    # 31Jan2024, 31-Jan-2024
    rf"(?P<d>{_DAY})(?P<a>[-_.]?)(?P<b>[A-Z][a-z]{{2}})(?P=a)(?P<Y>{_YEAR})(?!\d)",
)  # fmt: skip


@dataclass(frozen=True)
class _Dated:
    """A part of a path that is a date in this format."""

    start: int
    end: int
    format: str
    date: datetime

    @property
    def wildcard(self) -> str:
        return "{date}" if self.format == ISO_DATE else f"{{date:{self.format}}}"


def dated_patterns(path: str) -> list[str]:
    """The patterns that a path may be an example of, the likeliest first; [] if it has no date.

    Every occurrence of the last date becomes `{date}` or `{date:…}`, and folders with its year or
    month become `*`. Other digits stay.
    """
    occurrences = list(_occurrences(path))
    if not occurrences:
        return []
    last = max(dated.end for dated in occurrences)
    return list(dict.fromkeys(
        _pattern(path, dated, occurrences) for dated in occurrences if dated.end == last
    ))  # fmt: skip


def _occurrences(path: str) -> Iterator[_Dated]:
    for form in _FORMS:
        for match in re.finditer(r"(?<!\d)" + form, path):
            date_format = _format(match)
            try:
                date = datetime.strptime(match[0], date_format)  # noqa: DTZ007  # Compared only.
            except ValueError:
                continue  # 31 February is not a date.
            yield _Dated(match.start(), match.end(), date_format, date)


def _format(match: re.Match[str]) -> str:
    """The matched text with each part of the date replaced by its directive."""
    groups = match.groupdict()
    spans = [(match.span(name), f"%{name}") for name in ("Y", "m", "d") if groups.get(name)]
    if "m" not in groups:
        spans.append((match.span("b"), "%b"))
    if groups.get("time"):
        colon = groups["colon"]
        parts = ["%H", "%M", "%S"][: len(groups["time"].replace(colon, "")) // 2]
        spans.append((match.span("time"), colon.join(parts)))
    text, position = "", match.start()
    for (start, end), directive in sorted(spans):
        text += match.string[position:start] + directive
        position = end
    return text + match.string[position : match.end()]


def _pattern(path: str, last: _Dated, occurrences: list[_Dated]) -> str:
    """The path with every occurrence of one date replaced."""
    replaced: list[_Dated] = [last]
    for dated in occurrences:
        is_separate = all(
            dated.end <= other.start or other.end <= dated.start for other in replaced
        )
        if is_separate and dated.date.date() == last.date.date():
            replaced.append(dated)
    replaced.sort(key=lambda dated: dated.start)
    text, position = "", 0
    for dated in replaced:
        # All dates in one path must agree to the second, or the path does not match.
        agrees = dated.date == last.date
        same_day = re.sub(r"[^/]+", "*", path[dated.start : dated.end])
        text += _without_months(path[position : dated.start], last.date)
        text += dated.wildcard if agrees else same_day
        position = dated.end
    return text + path[position:]


def _without_months(path: str, date: datetime) -> str:
    """Replace folders with the year of the date, and perhaps its month, by `*`."""
    year, month = f"{date:%Y}", f"{date:%m}"
    path = re.sub(rf"(?<![^/])({_NAME}?){year}[-_]?{month}/", r"\1*/", path)
    path = re.sub(rf"(?<![^/])({_NAME}?){year}/({_NAME}?){month}/", r"\1*/\2*/", path)
    return re.sub(rf"(?<![^/])({_NAME}?){year}/", r"\1*/", path)
