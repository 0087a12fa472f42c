"""`diff`: compare two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batch.cli.text import AS_JSON, print_facts, print_json, print_records, print_table
from batch.wording import counted, decimal

if TYPE_CHECKING:
    from batch.reports.diff.compare import Compared, Comparison, KeyChange, SeenRow, Sizes

#: Lines of a table.
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
@AS_JSON
def diff(job: str, before: int | None, after: int | None, rows: int, as_json: bool) -> None:
    """Show which keys' predictions changed from V1 to V2, and why.

    Compares the latest row of each key, as applications see it; by default, in the live version
    and the one before it. JOB may also be an OUTPUT folder or URL. Reasons:

    \b
      new input       the input was not in V1
      changed input   the input's content changed
      other recipe    same content, predicted with another model, hook or option
      again           same content and recipe: the prediction depends on chance or time
      dropped         the input or its rows were removed: rollback, window, repair

    \b
    Example:
      batch-predict diff flight_delays
      batch-predict diff flight_delays 12 41 --json
    """
    from batch.reports.diff.compare import choose, compare
    from batch.reports.target import find_target

    store = find_target(job).store
    found = compare(store, *choose(store, before, after), shown=rows)
    if as_json:
        print_json(found)
    else:
        _print_comparison(found)


def _print_comparison(found: Comparison) -> None:
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
        again = f"; {counted(sizes.same, 'key')} predicted again" if sizes.same else ""
        return f"every key has the same predictions in both{again}"
    counts = f"{counted(sizes.changed, 'key')} changed, {sizes.new:,} new, {sizes.gone:,} gone"
    return f"{counts}; {sizes.same:,} predicted again, unchanged" if sizes.same else counts


def _print_dates(found: Comparison) -> None:
    """One line for each date and reason, and one for all."""
    shown = found.dates[-_SHOWN:]
    if left_out := len(found.dates) - len(shown):
        click.echo(f"{counted(left_out, 'earlier line')} omitted; --json has all")
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
    click.echo(f"largest changes of {found.number}:" if found.number else "some that changed:")
    print_records(
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
    return " ".join(
        decimal(value, 4) if isinstance(value, float) else str(value) for value in values
    )


def _place(one: KeyChange) -> str:
    before, after = (f"{_end(row.input)}, {row.row}" for row in (one.before, one.after))
    return after if before == after else f"{before} → {after}"


def _end(path: str) -> str:
    """What tells one input from another is mostly the end of its path."""
    return path if len(path) <= _PATH_CHARACTERS else "…" + path[1 - _PATH_CHARACTERS :]
