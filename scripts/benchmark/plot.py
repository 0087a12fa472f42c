"""The figures as a picture: a bar for each contender, below each other for each scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from scripts.benchmark.lineup import AGAIN, BYTES, MODEL, OURS, START
from scripts.benchmark.process import Sample
from scripts.benchmark.report import Result

_WIDTH, _LEFT, _RIGHT = 800, 150, 110
_ROW, _BAR, _TITLE, _GAP = 21, 13, 26, 20
_OURS, _OTHERS, _FLOOR = "#0b7285", "#adb5bd", "#dee2e6"
_STYLE = (
    "text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif;"
    " font-size: 12px; fill: #343a40 } .title { font-weight: 600; font-size: 13px }"
    " .quiet { fill: #868e96 } .ours { font-weight: 600; fill: #0b7285 }"
)


@dataclass(frozen=True)
class _Bar:
    name: str
    seconds: Sequence[float]

    @property
    def is_ours(self) -> bool:
        return self.name in {OURS, AGAIN}

    @property
    def colour(self) -> str:
        if self.name in {BYTES, MODEL, START}:
            return _FLOOR
        return _OURS if self.is_ours else _OTHERS


def draw(results: Sequence[Result]) -> str:
    """An SVG of the wall times of every scenario in which the program meets others."""
    pieces, top = [], 34
    for result in results:
        samples = result.samples()
        if OURS in samples and len(samples) > 2:
            block = list(_scenario(result, samples, top))
            pieces += block
            top += _TITLE + _ROW * len(samples) + _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>',
            f'<text x="16" y="24" class="quiet">{_caption(results)}</text>',
            *pieces,
            "</svg>\n",
        ]
    )


def _caption(results: Sequence[Result]) -> str:
    rounds = max(len(result.rounds) for result in results)
    return f"Seconds from start to end, median of {rounds} rounds; lines from the least to the most. Less is better."


def _scenario(result: Result, samples: dict[str, list[Sample]], top: int) -> Iterator[str]:
    bars = [_Bar(name, [one["wall_seconds"] for one in found]) for name, found in samples.items()]
    scale = (_WIDTH - _LEFT - _RIGHT) / max(max(bar.seconds) for bar in bars)
    title = f"{result.title[:1].upper()}{result.title[1:]}"
    yield f'<text x="16" y="{top + 16}" class="title">{escape(title)}</text>'
    for number, bar in enumerate(bars):
        yield from _bar(bar, top + _TITLE + number * _ROW, scale)


def _bar(bar: _Bar, top: int, scale: float) -> Iterator[str]:
    middle, text, end = median(bar.seconds), top + 10.5, _LEFT + max(bar.seconds) * scale
    kind = ' class="ours"' if bar.is_ours else ""
    yield f'<text x="{_LEFT - 8}" y="{text}" text-anchor="end"{kind}>{escape(bar.name)}</text>'
    width = max(1.0, middle * scale)
    yield f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{bar.colour}"/>'
    least, most = (_LEFT + value * scale for value in (min(bar.seconds), max(bar.seconds)))
    yield (
        f'<path d="M{least:.1f} {top + _BAR / 2}H{most:.1f}" stroke="#495057" stroke-width="1.2"/>'
    )
    yield f'<text x="{end + 8:.1f}" y="{text}"{kind}>{middle:,.{2 if middle < 10 else 1}f} s</text>'
