"""The command that compares two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import as_count

if TYPE_CHECKING:
    from batch.reports.diff.compare import Compared, Comparison, KeyChange, SeenRow, Sizes

#: Lines of a table that a person reads.
_SHOWN = 40
_PATH_CHARACTERS = 24
_VERSION = click.IntRange(min=1)


@click.command()
@click.argument("job")
@click.argument("before", required=False, type=_VERSION, metavar="[V1]")
@click.argument("after", required=False, type=_VERSION, metavar="[V2]")
@click.option(
    "--rows", default=5, show_default=True, help="How many of the largest changes to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def diff(job: str, before: int | None, after: int | None, rows: int, as_json: bool) -> None:
    """Say which keys of JOB have other predictions in version V2 than in V1, and why.

    What counts is the latest row of a key, as applications see it. By default the live version
    is compared with the one before it. JOB may also be an OUTPUT folder. Why:

    \b
      new input       its input was not there before
      changed input   the content of its input is another one
      other recipe    the same content, predicted by another model, hook or option
      again           the same content by the same recipe: it depends on chance or time
      dropped         its input or its rows left: rollback, window, repair

    \b
    Example:
      batch-predict diff flight_delays
      batch-predict diff flight_delays 12 41 --json
    """
    from batch.cli.text import print_json
    from batch.reports.diff.compare import choose, compare
    from batch.reports.target import find_target

    store = find_target(job).store
    found = compare(store, *choose(store, before, after), shown=rows)
    if as_json:
        print_json(found)
    else:
        _print_comparison(found)


def _print_comparison(found: Comparison) -> None:
    from batch.cli.text import print_facts

    before, after = found.before, found.after
    click.echo(f"{found.job}: from version {before.version} to version {after.version}")
    print_facts([(f"version {one.version}", _described(one)) for one in (before, after)])
    click.echo(f"  {_summed_up(found)}")
    if found.dates:
        click.echo()
        _print_dates(found)
    if found.largest:
        click.echo()
        _print_largest(found)


def _described(one: Compared) -> str:
    return (
        f"{one.kind} of {one.published_at:%Y-%m-%d %H:%M:%S} UTC by {one.published_by}, "
        f"model {one.model[:12]}"
    )


def _summed_up(found: Comparison) -> str:
    sizes = found.totals
    if found.is_equal:
        anew = f"; {as_count(sizes.same, 'key')} predicted anew" if sizes.same else ""
        return f"every key has the same predictions in both{anew}"
    counts = f"{as_count(sizes.changed, 'key')} changed, {sizes.new:,} new, {sizes.gone:,} gone"
    return f"{counts}; {sizes.same:,} predicted anew came out the same" if sizes.same else counts


def _print_dates(found: Comparison) -> None:
    """One line for each date and reason, and one for all."""
    from batch.cli.text import print_table

    shown = found.dates[-_SHOWN:]
    if left_out := len(found.dates) - len(shown):
        click.echo(f"{as_count(left_out, 'earlier line')} left out; --json has all")
    names = _columns(found)
    print_table(
        [[one.date, one.why, *_cells(one, names)] for one in shown]
        + [["total", "", *_cells(found.totals, names)]],
        ["date", "why", *names.values()],
    )
    if found.totals.mean is not None:
        click.echo(f"mean and largest: absolute change of {found.number}")


def _columns(found: Comparison) -> dict[str, str]:
    """The sizes that tell something, and their names for a person."""
    totals = found.totals
    names = {"new": "new", "gone": "gone", "changed": "changed"}
    names |= {"same": "same"} if totals.same else {}
    names |= {"labels": f"other {found.label}"} if found.label and totals.changed else {}
    return names | ({"mean": "mean", "largest": "largest"} if totals.mean is not None else {})


def _cells(sizes: Sizes, names: dict[str, str]) -> list[object]:
    values = (getattr(sizes, name) for name in names)
    return [_rounded(value) if isinstance(value, float) else value for value in values]


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _print_largest(found: Comparison) -> None:
    from batch.cli.text import print_table

    click.echo(f"largest changes of {found.number}:" if found.number else "some that changed:")
    print_table(
        [
            [*one.key.values(), _value(one.before, found), _value(one.after, found), one.why,
             _place(one)]
            for one in found.largest
        ],
        [*found.largest[0].key, "before", "after", "why", "input, record"],
    )  # fmt: skip


def _value(row: SeenRow, found: Comparison) -> str:
    """The label and the number, as far as there are any; else all there is."""
    names = [name for name in (found.label, found.number) if name] or list(row.predictions)
    values = [row.predictions.get(name) for name in names]
    return " ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)


def _place(one: KeyChange) -> str:
    before, after = (f"{_end(row.input)}, {row.row}" for row in (one.before, one.after))
    return after if before == after else f"{before} → {after}"


def _end(path: str) -> str:
    """What tells one input from another is mostly the end of its path."""
    return path if len(path) <= _PATH_CHARACTERS else "…" + path[1 - _PATH_CHARACTERS :]
