"""The benchmark: `scripts/bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from scripts.benchmark.material import ROOT, Material
from scripts.benchmark.page import write_page
from scripts.benchmark.process import adopt_orphans
from scripts.benchmark.report import save, text_lines
from scripts.benchmark.rounds import Bench
from scripts.benchmark.s3 import measure as measure_s3
from scripts.benchmark.scenarios import SCENARIOS, STANDARD, Size

PAGE = ROOT / "docs" / "benchmark.md"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default=4_000_000, show_default=True, help="Rows of 20 features and a key.")
@click.option("--files", default=16, show_default=True, help="Files that hold them.")
@click.option("--repeats", type=int, help="Rounds; the median counts. By default 5, on S3 3.")
@click.option("--only", metavar="TEXT", multiple=True, help="The scenario of this name, or those whose names contain it.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Also scenarios that take long.")
@click.option("--full", is_flag=True, help="As many rows for slow models and text too; by default a quarter.")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="List the scenarios and their targets.")
@click.option("--scratch", default="build/bench", type=click.Path(path_type=Path), help="A folder for data, models and answers.")  # fmt: skip
@click.option("--json", "figures", type=click.Path(path_type=Path), help="The file for figures; by default SCRATCH/figures.json.")  # fmt: skip
@click.option("--page", is_flag=True, help="Measure nothing: put the figures into docs/benchmark.md.")  # fmt: skip
@click.option("--s3", "on_s3", is_flag=True, help="A run on S3, and nothing else.")
@click.option("--megabytes", default=50, show_default=True, help="Network speed with --s3, per second.")  # fmt: skip
def main(  # noqa: PLR0913, PLR0917  # A command has as many parameters as options.
    rows: int, files: int, repeats: int | None, only: tuple[str, ...], everything: bool, full: bool,
    listing: bool, scratch: Path, figures: Path | None, page: bool, on_s3: bool, megabytes: int,
) -> None:  # fmt: skip
    """Measure whole processes in turn, and print medians, ratios and targets."""
    figures = figures or scratch / "figures.json"
    if page:
        write_page(figures, PAGE)
        return
    if on_s3:
        measure_s3(rows=rows, files=files, repeats=repeats or 3, bytes_per_second=megabytes * 1e6)
        return
    size = Size(rows, files, 1 if full else 4)
    chosen = [name for name in SCENARIOS if everything or name in _names(only)]
    if listing:
        _list(chosen, size)
        return
    adopt_orphans()
    bench = Bench(Material(scratch.resolve()), repeats or 5)
    for name in chosen:
        result = SCENARIOS[name](bench, size)
        click.echo("\n".join(text_lines(result)) + "\n")
        save([result], figures)


def _names(only: Sequence[str]) -> set[str]:
    """The requested scenarios: by whole name, else by a part of it."""
    if not only:
        return {*STANDARD}
    return {
        name
        for text in only
        for name in SCENARIOS
        if name == text or (text in name and text not in SCENARIOS)
    }


def _list(chosen: Sequence[str], size: Size) -> None:
    for name in chosen:
        result = SCENARIOS[name](Bench(Material(Path(), makes=False)), size)
        click.echo(f"{name:18} {result.title}{'' if name in STANDARD else ' (--all)'}")
        for verdict in result.verdicts:
            click.echo(f"  {verdict.title:72} at most {verdict.limit_text}")


if __name__ == "__main__":
    main()
