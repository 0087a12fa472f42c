"""The figures in docs/benchmark.md: Markdown tables between two comments, and the plot beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from scripts.benchmark.plot import draw
from scripts.benchmark.report import Result, load

_BEGIN, _END = "<!-- figures: scripts/bench --page writes them -->", "<!-- end of figures -->"


def write_page(figures: Path, page: Path) -> None:
    """Put the figures of a JSON file into the page, and the plot into its folder."""
    results = load(figures)
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = [_BEGIN, "", _machine(figures), "", *_targets(results), ""]
    for result in results:
        lines += [*_table(result), ""]
    page.write_text(before + "\n".join([*lines, _END]) + after)
    page.with_suffix(".svg").write_text(draw(results))


def _machine(figures: Path) -> str:
    found = json.loads(figures.read_text())["machine"]
    libraries = ", ".join(
        f"{name} {found[name]}"
        for name in ("python", "numpy", "pandas", "pyarrow", "scikit-learn", "joblib")
    )
    return (
        f"Measured on {found['cores']} cores of {found['processor']}, {found['memory_gigabytes']} GB,"
        f" {found['system']}; {libraries}."
    )


def _targets(results: Sequence[Result]) -> Iterator[str]:
    yield "| scenario | compared | at most | found | |"
    yield "| --- | --- | ---: | ---: | --- |"
    for result in results:
        for verdict in result.verdicts:
            yield (
                f"| {result.name} | {verdict.title} | {verdict.limit_text} | {verdict.found_text}"
                f" | {verdict.words} |"
            )


def _table(result: Result) -> Iterator[str]:
    yield f"**{result.name}**: {result.title}, {len(result.rounds)} rounds"
    yield ""
    yield "| | seconds | least to most | CPU seconds | peak MB |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, samples in result.samples().items():
        wall = [sample["wall_seconds"] for sample in samples]
        cpu, peak = (
            median(sample[measure] for sample in samples)
            for measure in ("cpu_seconds", "peak_bytes")
        )
        yield (
            f"| {name} | {median(wall):.2f} | {min(wall):.2f} to {max(wall):.2f}"
            f" | {cpu:.1f} | {peak / 1e6:,.0f} |"
        )
    for name, reason in result.missing.items():
        yield f"| {name} | {reason.replace('|', '/')} | | | |"
    yield from _reported(result)


def _reported(result: Result) -> Iterator[str]:
    """The measures that commands report themselves."""
    for name, samples in result.samples().items():
        measures = [
            key for key in samples[0] if key not in {"wall_seconds", "cpu_seconds", "peak_bytes"}
        ]
        if measures:
            texts = (f"{key} {median(one[key] for one in samples):.2f}" for key in measures)
            yield ""
            yield f"{name}: {', '.join(texts)}"
