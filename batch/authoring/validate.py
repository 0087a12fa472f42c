"""Validate a job: its file, its model, its output, and the first records of its newest input."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from batch.authoring.trial import (
    LoadedModel,
    Trial,
    TrialInput,
    importing_from,
    load_model,
    newest_input,
    predict_first,
)
from batch.errors import BadData, BatchError, DoesNotFit, NoInput
from batch.inputs.survey import survey_inputs
from batch.job.job_file import Job, load_job
from batch.logs import utc_now
from batch.output.ledger import Ledger
from batch.run.outcome import Trace
from batch.wording import command, counted

#: How many records of the newest input are read and predicted.
TRIED_ROWS = 100

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Finding:
    """One mistake, and what to do about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """The mistakes in a job, notes, and facts that were verified.

    `exit_code` is that of the worst mistake, 0 without mistakes.
    """

    job: str
    exit_code: int
    mistakes: tuple[Finding, ...]
    notes: tuple[str, ...]
    facts: tuple[str, ...]


def validate(name: str) -> Verdict:
    """Check everything a run relies on, and report every mistake; writes nothing."""
    findings = _Findings(name)
    job = findings.attempt(lambda: load_job(name))
    if job is not None:
        _check(job, findings)
    return findings.verdict()


@dataclass
class _Findings:
    """The results of the checks so far."""

    job: str
    exit_code: int = 0
    mistakes: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], _Result]) -> _Result | None:
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


def _find_input(job: Job, findings: _Findings) -> TrialInput | None:
    """The newest input. Having none yet is not a mistake in the job."""
    try:
        surveyed = survey_inputs(job, Ledger())
        findings.facts.append(counted(len(surveyed.present), "input"))
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
    findings.facts.insert(
        1, f"{counted(golden, 'golden row')} verified" if golden else "no sidecar"
    )
    _judge_features(job, model, findings)
    if not job.settings.input.csv.header:
        return  # Without a header, [input.columns] lists every column of the file, used or not.
    read = [column.name for column in model.columns]
    for name in job.settings.input.columns:
        if name not in read:
            near = difflib.get_close_matches(name, read, n=1)
            suggestion = f"; did you mean {near[0]!r}?" if near else ""
            findings.notes.append(f"input.columns.{name}: unused column{suggestion}")


def _judge_features(job: Job, model: LoadedModel, findings: _Findings) -> None:
    """Compare the features in the job file with those the model was trained on."""
    own = getattr(model.scorer.estimator, "feature_names_in_", None)
    features = model.scorer.features
    if own is None or features is None or tuple(map(str, own)) == features:
        return
    declared = [features] if isinstance(features, str) else list(features)
    unknown = [name for name in declared if name not in own]
    missing = [str(name) for name in own if name not in declared]
    detail = "; ".join(
        f"{problem}: {', '.join(names)}"
        for problem, names in (("unknown", unknown), ("missing", missing))
        if names
    )
    findings.add(DoesNotFit(f"{job.file}: model.features does not match the features the model "
                             f"was trained on: {detail or 'different order'}",
                             "remove model.features to use the model's own"))  # fmt: skip


def _judge_trial(trial: Trial, findings: _Findings) -> None:
    if not trial.rejects:
        findings.facts.append(f"predicted {counted(trial.predicted, 'record')} of {trial.input}")
        return
    summary = (
        f"{trial.input}: {len(trial.rejects):,} of {counted(trial.records, 'record')} rejected; "
        f"first: {trial.first_reject}"
    )
    allowed = trial.job.settings.input.rejects_allowed(trial.records)
    if len(trial.rejects) > allowed or not trial.predicted:
        findings.add(BadData(f"{summary}; limit: {allowed:,}",
                             f"`{command('try', trial.job.reference)}` shows them; correct the input or "
                             "[input.columns], or raise input.max_rejected"))  # fmt: skip
    else:
        findings.notes.append(summary)
