"""Predict past inputs again, on purpose, and publish one new version."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from statistics import median

import msgspec

from batch.errors import BadUsage, DoesNotFit
from batch.inputs.prefetch import Ahead
from batch.inputs.survey import survey_inputs
from batch.job.job_file import Job
from batch.model.published import ChosenModel
from batch.output.ledger import Ledger
from batch.output.manifest import Manifest
from batch.output.plan import PlannedInput
from batch.output.publish import require_not_paused, require_same_output
from batch.output.read import read_live
from batch.output.run_record import RunRecord, read_records
from batch.output.version import Live
from batch.run.attempt import Attempt, Options, attempt, open_live, replanned
from batch.run.chosen_model import Incoming, requested_model
from batch.run.completion import judge_work, publish_work
from batch.run.execute import execute, plan_work
from batch.run.outcome import Outcome, RunResult
from batch.run.selection import Choice, Request, choose, require_dates
from batch.store import open_store
from batch.store.base import Store
from batch.wording import command, counted

#: From how many past runs the speed is taken, and how many records are searched for them.
_PAST_RUNS, _PAST_RECORDS = 5, 50


@dataclass(frozen=True)
class Day:
    """What a backfill would do with the inputs of one date (UTC).

    `records` are those that the ledger knows; `new` inputs were never taken in, the others are
    replaced; `models` are the sha256 of those that predicted them.
    """

    day: date
    inputs: int
    bytes: int
    records: int
    new: int
    models: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A backfill that was not started; `seconds` is None where no past run tells the speed."""

    version: int
    has_dates: bool
    choice: Choice
    model: str
    days: tuple[Day, ...]
    seconds: float | None


def propose(job: Job, request: Request, options: Options) -> Proposal:
    """What a backfill would do, by date; writes nothing. Raises what would stop it."""
    _require_fit(job, request)
    store = options.open_output(job)
    live = read_live(store)
    require_same_output(live, job)
    require_not_paused(live, job)
    with _chosen(job, store, live, request) as (choice, model):
        return Proposal(
            version=live.version,
            has_dates=job.pattern.has_date,
            choice=choice,
            model=model.recipe.model_sha256,
            days=tuple(_days(choice.todo, live)),
            seconds=_estimate(choice.todo, live.ledger, read_records(store, last=_PAST_RECORDS)),
        )


def backfill(job: Job, request: Request, options: Options) -> RunResult:
    """Predict again what the request means, and publish it as one version.

    One that was interrupted goes on where it was when the same is asked for again. Runs go on
    beside it: what one of them takes in first stays, and is named. Raises `BadUsage`.
    """
    _require_fit(job, request)
    with attempt(job, options, kind="backfill") as this:
        this.take_lock()
        this.result = _backfill(this, request)
    return this.result


@replanned
def _backfill(this: Attempt, request: Request) -> RunResult:
    job = this.job
    live = open_live(this)
    with (
        _chosen(job, this.store, live, request) as (choice, model),
        Ahead(open_store(job.pattern.base)) as ahead,
    ):
        this.trace.waiting = len(choice.waiting)
        if not choice.todo:
            return _nothing(live, choice, request)
        asked = msgspec.json.encode(request).decode()
        work = plan_work(this, live, model, choice.todo, asked)
        work = execute(this, work, model, ahead)
    checks = judge_work(this, live, work)
    result = publish_work(this, live, work, checks)
    _require_some_read(result, choice, live.ledger)
    return result


@contextmanager
def _chosen(
    job: Job, store: Store, live: Live, request: Request
) -> Iterator[tuple[Choice, ChosenModel]]:
    survey = survey_inputs(job, live.ledger, again=True)
    incoming = Incoming(survey.todo, open_store(job.pattern.base))
    with requested_model(job, store, live, incoming, request) as model:
        choice = choose(job, survey, live.ledger, request, recipe=model.recipe.digest())
        if job.settings.output.mode == "replace" and choice.waiting:
            choice = dataclasses.replace(choice, todo=())  # A version holds all, or is not made.
        yield choice, model


def _require_fit(job: Job, request: Request) -> None:
    """Refuse a request that means nothing for this job. Raises `BadUsage`."""
    require_dates(request)
    replaces = job.settings.output.mode == "replace"
    if replaces and not request.is_everything:
        raise BadUsage(
            f'{job.name}: output.mode is "replace": a backfill predicts the present input again, '
            "all of it",
            command("backfill", job.reference),
        )
    if request.is_everything and not replaces:
        raise BadUsage(
            f"{job.name}: no inputs selected",
            "use --from/--to, --input or --only; --input '*' selects all",
        )


def _require_some_read(result: RunResult, choice: Choice, ledger: Ledger) -> None:
    """Inputs that were predicted before, and of which none can be read: it is the model."""
    if result.outcome != Outcome.UNREADABLE or any(one.path not in ledger for one in choice.todo):
        return
    first = result.unreadable[0]
    raise DoesNotFit(
        f"nothing published: this model can read none of the {counted(len(choice.todo), 'input')} "
        f"that were predicted before; first: {first.path}: {first.reason}",
        "choose another model, or correct [input.columns]",
    )


def _nothing(live: Live, choice: Choice, request: Request) -> RunResult:
    waiting = f"; {counted(len(choice.waiting), 'input')} not ready yet" if choice.waiting else ""
    if choice.too_old:
        waiting += f"; {len(choice.too_old):,} older than output.window"
    which = f" {request.only}" if request.only else " left to predict"
    return RunResult(
        Outcome.NOTHING_TO_DO,
        f"nothing to do: {counted(choice.in_range, 'input')} in range, none{which}{waiting}; "
        f"version {live.version} is still live",
        version=live.version,
        waiting=len(choice.waiting),
    )


def _days(todo: Iterable[PlannedInput], live: Live) -> Iterator[Day]:
    models = _models(live.manifest)
    by_day = defaultdict[date, list[PlannedInput]](list)
    for planned in todo:
        by_day[planned.as_of.date()].append(planned)
    for day, inputs in sorted(by_day.items()):
        entries = [entry for entry in (live.ledger.get(one.path) for one in inputs) if entry]
        yield Day(
            day=day,
            inputs=len(inputs),
            bytes=sum(one.size for one in inputs),
            records=sum(entry.records for entry in entries),
            new=len(inputs) - len(entries),
            models=tuple(sorted({models.get(entry.recipe, "") for entry in entries} - {""})),
        )


def _models(manifest: Manifest | None) -> dict[str, str]:
    """The model of every recipe that live files were predicted by."""
    files = (*manifest.files, *manifest.rejects) if manifest else ()
    return {file.recipe: file.model_sha256 for file in files}


def _estimate(
    todo: Iterable[PlannedInput], ledger: Ledger, records: Iterable[RunRecord]
) -> float | None:
    """Seconds, from the speed of the last runs and the records that the inputs have or may have."""
    past = [record for record in records if record.outcome == "published" and record.added.records]
    past = past[-_PAST_RUNS:]
    known = list(ledger)
    size, held = sum(entry.size for entry in known), sum(entry.records for entry in known)
    if not past or not size:
        return None
    predicting = sum(record.seconds.get("predict", 0.0) for record in past)
    around = median(
        (record.ended_at - record.started_at).total_seconds() - record.seconds.get("predict", 0.0)
        for record in past
    )
    each = predicting / sum(record.added.records for record in past)
    rows = 0.0
    for planned in todo:
        entry = ledger.get(planned.path)
        rows += entry.records if entry else planned.size * held / size
    return around + rows * each
