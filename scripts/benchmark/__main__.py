"""The benchmarks: `scripts/bench --s3`."""

from __future__ import annotations

import click

from scripts.benchmark.s3 import measure


@click.command()
@click.option("--s3", "on_s3", is_flag=True, required=True, help="A run on S3.")
@click.option("--rows", default=4_000_000, show_default=True, help="Rows of 20 features and a key.")
@click.option("--files", default=16, show_default=True, help="Parquet files that hold them.")
@click.option("--repeats", default=3, show_default=True, help="Of each; the median counts.")
@click.option("--megabytes", default=50, show_default=True, help="Of the network, per second.")
def main(on_s3: bool, rows: int, files: int, repeats: int, megabytes: int) -> None:
    """Measure, and print medians and ratios."""
    assert on_s3
    measure(rows=rows, files=files, repeats=repeats, bytes_per_second=megabytes * 1e6)


if __name__ == "__main__":
    main()
