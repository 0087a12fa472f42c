"""Validate a job: its file, its model, its output, and the first records of its newest input."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from batch.authoring.trial import (
    LoadedModel,
    Source,
    Trial,
    importing_from,
    load_model,
    newest_input,
    predict_first,
)
from batch.errors import BadData, BatchError, DoesNotFit, NoInput
from batch.inputs.survey import survey_inputs
from batch.job.job import Job
from batch.job.job_file import load_job
from batch.logs import utc_now
from batch.output.ledger import Ledger
from batch.run.outcome import Trace
from batch.wording import command

#: How many records of the newest input are read and predicted.
TRIED_ROWS = 100

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a job, what is worth knowing, and what is right.

    `exit_code` is that of the worst mistake, 0 if there is none.
    """

    job: str
    exit_code: int
    mistakes: tuple[Finding, ...]
    notes: tuple[str, ...]
    facts: tuple[str, ...]


def validate(name: str) -> Verdict:
    """Check all that a run relies on, and report every mistake; writes nothing."""
    findings = _Findings(name)
    job = findings.attempt(lambda: load_job(name))
    if job is not None:
        _check(job, findings)
    return findings.verdict()


@dataclass
class _Findings:
    """What the checks found so far."""

    job: str
    exit_code: int = 0
    mistakes: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], _Found]) -> _Found | None:
        """The result of a check, None if it found a mistake."""
        try:
            return step()
        except BatchError as error:
            self.add(error)
            return None

    def add(self, error: BatchError) -> None:
        """A mistake; the hint belongs to the last line of its message."""
        self.exit_code = max(self.exit_code, error.exit_code)
        *first, last = error.message.splitlines()
        self.mistakes += [Finding(message=line) for line in first]
        self.mistakes.append(Finding(message=last, hint=error.hint))

    def verdict(self) -> Verdict:
        return Verdict(
            job=self.job,
            exit_code=self.exit_code,
            mistakes=tuple(self.mistakes),
            notes=tuple(self.notes),
            facts=tuple(self.facts),
        )


def _check(job: Job, findings: _Findings) -> None:
    source = _find_input(job, findings)
    with importing_from(job.folder):
        model = findings.attempt(lambda: load_model(job, source))
        if model is None:
            return
        _judge_model(job, model, findings)
        if source:
            trace = Trace(job=job.name, kind="run", started_at=utc_now())
            trial = findings.attempt(lambda: predict_first(model, source, TRIED_ROWS, trace))
            if trial:
                _judge_trial(trial, findings)


def _find_input(job: Job, findings: _Findings) -> Source | None:
    """The newest input. That there is none yet is no mistake of the job."""
    try:
        found = survey_inputs(job, Ledger())
        findings.facts.append(_count(len(found.present), "input"))
        return newest_input(job)
    except NoInput as error:
        findings.notes.append(f"{error.message}; {error.hint}" if error.hint else error.message)
    except BatchError as error:
        findings.add(error)
    return None


def _judge_model(job: Job, model: LoadedModel, findings: _Findings) -> None:
    estimator, sidecar = model.scorer.estimator, model.sidecar
    golden = len(sidecar.golden.records) if sidecar else 0
    findings.facts.insert(0, type(estimator).__name__)
    findings.facts.insert(1, f"{golden} golden rows agree" if golden else "no sidecar")
    _judge_features(job, model, findings)
    if not job.settings.input.csv.header:
        return  # There, [input.columns] names every column of the file, read or not.
    read = [column.name for column in model.columns]
    for name in job.settings.input.columns:
        if name not in read:
            near = difflib.get_close_matches(name, read, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            findings.notes.append(f"input.columns.{name}: nothing reads this column{meant}")


def _judge_features(job: Job, model: LoadedModel, findings: _Findings) -> None:
    """The features that the job file names against those that the model was fitted with."""
    own = getattr(model.scorer.estimator, "feature_names_in_", None)
    found = model.scorer.features
    if own is None or found is None or tuple(map(str, own)) == found:
        return
    said = [found] if isinstance(found, str) else list(found)
    wrong = [name for name in said if name not in own]
    missing = [str(name) for name in own if name not in said]
    detail = "; ".join(
        f"{what} {', '.join(names)}"
        for what, names in (("unknown:", wrong), ("missing:", missing))
        if names
    )
    findings.add(DoesNotFit(f"{job.file}: model.features: not those that the model was fitted "
                             f"with: {detail or 'another order'}",
                             "remove model.features: by default they are the model's own"))  # fmt: skip


def _judge_trial(trial: Trial, findings: _Findings) -> None:
    if not trial.rejects:
        findings.facts.append(f"predicted {_count(trial.predicted, 'record')} of {trial.input}")
        return
    summary = (
        f"{trial.input}: {len(trial.rejects):,} of {trial.records:,} records are rejects, "
        f"the first: {trial.first_reject}"
    )
    allowed = trial.job.settings.input.rejects_allowed(trial.records)
    if len(trial.rejects) > allowed or not trial.predicted:
        findings.add(BadData(f"{summary}; allowed are {allowed}",
                             f"`{command('try', trial.job.reference)}` shows them; correct the input or [input.columns], "
                             "or raise input.max_rejected"))  # fmt: skip
    else:
        findings.notes.append(summary)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
