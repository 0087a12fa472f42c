"""Which dates are fully predicted, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Literal, get_args

from batch.inputs.survey import Survey
from batch.job.job_file import Job
from batch.output.plan import list_plans, read_plan
from batch.output.version import Live
from batch.records.documents import Document
from batch.store.base import Missing, Store

#: The state of a date; of several, the first. missing: no input, or one not taken in yet.
State = Literal["unreadable", "held", "waiting", "missing", "older recipe", "complete"]
_STATES: tuple[State, ...] = get_args(State)
_A_DAY, _A_WEEK = timedelta(days=1), timedelta(weeks=1)


class DateRange(Document, frozen=True):
    """Consecutive dates in one state; `affected` of their inputs are in that state."""

    first: date
    last: date
    state: State
    inputs: int
    affected: int


@dataclass(frozen=True)
class Trouble:
    """The paths of inputs that could not be read, and of those held by a check."""

    unreadable: Collection[str] = ()
    held: Collection[str] = ()


def cover(job: Job, survey: Survey, live: Live, trouble: Trouble) -> tuple[DateRange, ...]:
    """The state of every date from the first to the last input; none for a path without {date}.

    Dates outside the output's window are left out.
    """
    if not job.pattern.has_date:
        return ()
    state_of = _judge(survey, live, trouble)
    states: dict[date, Counter[State]] = defaultdict(Counter)
    for path in {*survey.present, *live.ledger.paths()} - {*survey.too_old}:
        as_of = job.pattern.date(path)
        if as_of and not _is_too_old(job, survey, as_of):
            states[as_of.date()][state_of(path)] += 1
    days = [(day, states.get(day, Counter[State]())) for day in _expected(sorted(states))]
    return tuple(
        _range([*group]) for _, group in groupby(days, lambda day: (_worst(day[1]), bool(day[1])))
    )


def outdated_inputs(live: Live) -> list[str]:
    """Inputs predicted by another recipe than the newest predictions."""
    if live.manifest is None:
        return []
    return live.ledger.outdated(live.manifest.model.recipe.split("/")[-2])


def held_inputs(store: Store, live: Live) -> set[str]:
    """The inputs of runs held by a check."""
    plans, published = list_plans(store), live.ledger.run_ids()
    paths = set[str]()
    for run_id in plans.run_ids:
        if plans.is_held(run_id) and not plans.is_given_up(run_id) and run_id not in published:
            try:
                plan = read_plan(store, run_id)
            except Missing:
                continue  # Published or abandoned meanwhile.
            paths |= {planned.path for slice_ in plan.slices for planned in slice_.inputs}
    return paths


def _judge(survey: Survey, live: Live, trouble: Trouble) -> Callable[[str], State]:
    """The state of one input."""
    todo = {planned.path for planned in survey.todo}
    waiting = {wait.path for wait in survey.waiting}
    states: tuple[tuple[State, Collection[str]], ...] = (
        ("unreadable", {*trouble.unreadable} & (todo | waiting)),
        ("held", trouble.held),
        ("waiting", waiting),
        ("missing", todo),
        ("older recipe", {*outdated_inputs(live)}),
    )

    def state_of(path: str) -> State:
        return next((state for state, paths in states if path in paths), "complete")

    return state_of


def _is_too_old(job: Job, survey: Survey, as_of: datetime) -> bool:
    window = job.settings.output.window
    return bool(window and as_of < survey.listing.now - window)


def _expected(days: list[date]) -> Iterator[date]:
    """The dates that have inputs, and those between them that should."""
    step = _step(days)
    for day, following in pairwise(days):
        yield day
        while following - (day := day + step) >= step:
            yield day
    yield from days[-1:]


def _step(days: list[date]) -> timedelta:
    """The interval between inputs: in a weekly or monthly job none is missing in between."""
    gaps = [following - day for day, following in pairwise(days)]
    closest = min(gaps, default=_A_DAY)
    return closest if closest >= _A_WEEK and len(gaps) > 1 else _A_DAY


def _worst(states: Counter[State]) -> State:
    return next((state for state in _STATES if states[state]), "missing")


def _range(days: list[tuple[date, Counter[State]]]) -> DateRange:
    state = _worst(days[0][1])
    return DateRange(
        first=days[0][0],
        last=days[-1][0],
        state=state,
        inputs=sum(states.total() for _, states in days),
        affected=sum(states[state] for _, states in days),
    )
