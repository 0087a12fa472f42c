"""Write the job file of a new job, from a model and a sample of its input."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from batch.authoring.dates import dated_patterns
from batch.authoring.sample import Sample, read_sample
from batch.authoring.template import JobDraft, ModelFacts, render
from batch.authoring.trial import Trial, given_input, importing_from, load_model, predict_first
from batch.errors import BadData, BadUsage, DoesNotFit, NoInput, NotPermitted
from batch.inputs.survey import survey_inputs
from batch.job.job_file import Job
from batch.job.settings import JobSettings, Method
from batch.logs import utc_now
from batch.model.recipe import compose
from batch.model.sidecar import read_model_file
from batch.output.ledger import Ledger
from batch.run.outcome import Trace
from batch.wording import command, counted

#: How many records of the sample are predicted before the job file is written.
TRIED_ROWS = 10_000
#: Paths with more steps up than this are written as absolute paths.
_NEAR_STEPS = 2


@dataclass(frozen=True)
class Initialized:
    """A new job file, the pattern of its inputs, and how many files match it now."""

    file: Path
    pattern: str
    matches: int
    notes: tuple[str, ...]


def initialize(folder: str, *, model: str, sample: str, key: Sequence[str]) -> Initialized:
    """Write FOLDER/job.toml, once it has predicted records of the sample.

    Raises `NoInput`, `BadData` or `DoesNotFit` for what would stop its first run; then nothing is
    written. A job file that is there already is never touched.
    """
    for path in (model, sample):
        if "://" in path:
            raise BadUsage(
                f"{path}: init reads local files only",
                "copy it to this machine, run init, and then set the path in job.toml to the URL",
            )
    home = Path(folder).resolve()
    file = home / "job.toml"
    if home.exists() and not home.is_dir():
        raise BadUsage(f"{folder}: found a file, expected a folder", "choose another folder")
    if file.exists():
        raise DoesNotFit(f"{Path(folder) / 'job.toml'}: already exists; init never overwrites",
                         "choose another folder, or edit the file and check it with "
                         f"`{command('validate', home)}`")  # fmt: skip
    facts = _inspect_model(home, model)
    inspected = read_sample(Path(sample), key=key, read=facts.reads or ())
    _require_columns(
        inspected, key, role="the key", hint="its first line must have the column names"
    )
    draft = JobDraft(
        folder=home,
        model=facts,
        sample=inspected,
        key=tuple(dict.fromkeys(key)),
        pattern=_reference(Path(sample), home),
        features=_features(facts, inspected, key),
    )
    draft, matches = _with_pattern(draft)
    trial = _try(draft)
    draft = _with_max_rejected(draft, trial)
    _write(file, render(draft))
    return Initialized(Path(folder) / "job.toml", draft.pattern, matches, _notes(draft, trial))


def _inspect_model(home: Path, model: str) -> ModelFacts:
    path = Path(model).absolute()
    sha256, sidecar = read_model_file(path)
    if sidecar:
        reads = tuple(column.name for column in sidecar.columns)
        return ModelFacts(_reference(path, home), sha256, sidecar, None, reads, sidecar.methods)
    estimator, features = _load_estimator(home, path, sha256)
    has = [method for method in ("predict", "predict_proba") if hasattr(estimator, method)]
    methods = cast("tuple[Method, ...]", tuple(has or ["transform"]))
    return ModelFacts(_reference(path, home), sha256, None, estimator, features, methods)


def _load_estimator(home: Path, path: Path, sha256: str) -> tuple[Any, tuple[str, ...] | None]:
    """A model without a sidecar, and the features it was trained on if it knows them."""
    from batch.model.load import load_scorer

    document = {"input": {"path": "x.csv", "key": ["key"]}, "model": {"path": str(path)},
                "output": {"path": "predictions"}}  # fmt: skip
    job = Job(home / "job.toml", JobSettings.model_validate(document))
    recipe = compose(job, sha256, None, {})
    # Calls no method: it is not known yet which ones the model has.
    recipe = msgspec.structs.replace(recipe, methods=(), inputs=recipe.key)
    scorer = load_scorer(path, recipe, None, code_folder=home)
    features = scorer.features
    return scorer.estimator, features if isinstance(features, tuple) else None


def _features(
    model: ModelFacts, sample: Sample, key: Sequence[str]
) -> tuple[str, ...] | str | None:
    """The features that the job file must declare; None if the model knows them.

    Raises `DoesNotFit` for a sample without the columns the model reads.
    """
    if model.reads is not None:
        _require_columns(
            sample,
            model.reads,
            role="read by the model",
            hint="if a function computes it, save the model with save_model(…, preprocess=FUNCTION)",
        )
        return None
    others = tuple(name for name in sample.columns if name not in key)
    count = getattr(model.estimator, "n_features_in_", None)
    if count is None and len(others) == 1:
        return others[0]  # A text model reads one column.
    if count == len(others):
        return others
    wanted = "unknown columns" if count is None else f"{counted(count, 'unknown column')}"
    raise DoesNotFit(
        f"{model.path}: the model reads {wanted}; the sample has, apart from the key, "
        f"{len(others)}: {', '.join(others)}",
        "save the model with batch.model.save_model, which records them",
    )


def _require_columns(sample: Sample, names: Sequence[str], *, role: str, hint: str) -> None:
    missing = [name for name in names if name not in sample.columns]
    if not missing:
        return
    columns = list(sample.columns)
    near = difflib.get_close_matches(missing[0], columns, n=1)
    raise DoesNotFit(
        f"{sample.path}: no column {', '.join(map(repr, missing))} ({role}); found "
        f"{', '.join(map(repr, columns))}",
        f"did you mean {near[0]!r}?" if near else hint,
    )


def _reference(path: Path, home: Path) -> str:
    """A path for the job file: relative if it is near, so that folders can be moved."""
    absolute = os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links to this day's data.
    relative = Path(os.path.relpath(absolute, home)).as_posix()
    reference = absolute if relative.startswith("../" * (_NEAR_STEPS + 1)) else relative
    if "${" in reference:
        raise DoesNotFit(f"{reference}: '${{' in a path would start a variable",
                         "rename the file or its folder")  # fmt: skip
    return reference


def _with_pattern(draft: JobDraft) -> tuple[JobDraft, int]:
    """The draft with the pattern that matches most files, and their number."""
    candidates = [dataclasses.replace(draft, pattern=pattern)
                  for pattern in (*dated_patterns(draft.pattern), draft.pattern)]  # fmt: skip
    counts = [_count_matches(candidate) for candidate in candidates]
    best = max(range(len(candidates)), key=lambda index: counts[index])
    if not counts[best]:
        raise NoInput(f"{draft.sample.path}: names that start with '.' or '_' or end in .tmp or "
                      ".part are never inputs", "rename the sample")  # fmt: skip
    return candidates[best], counts[best]


def _count_matches(draft: JobDraft) -> int:
    try:
        return len(survey_inputs(_job(draft), Ledger()).present)
    except NoInput:
        return 0


def _try(draft: JobDraft) -> Trial:
    """Predict the sample like a run. Raises `DoesNotFit` or `BadData`."""
    job = _job(draft)
    source = given_input(job, str(draft.sample.path))
    trace = Trace(job=job.name, kind="run", started_at=utc_now())
    with importing_from(job.folder):
        trial = predict_first(load_model(job, source), source, TRIED_ROWS, trace)
    if trial.rejects and not trial.predicted:
        raise BadData(f"{draft.sample.path}: every record is rejected; first: {trial.first_reject}",
                      "choose a sample that the model can predict")  # fmt: skip
    return trial


def _job(draft: JobDraft) -> Job:
    """The job of the future file, with absolute paths: its folder may not exist yet."""
    document = tomllib.loads(render(draft))
    for section in ("input", "model"):
        path = draft.folder / document[section]["path"]
        document[section]["path"] = os.path.normpath(path)
    return Job(draft.folder / "job.toml", JobSettings.model_validate(document))


def _with_max_rejected(draft: JobDraft, trial: Trial) -> JobDraft:
    """Raise the limit if the sample itself exceeds the default."""
    if len(trial.rejects) <= trial.job.settings.input.rejects_allowed(trial.records):
        return draft
    share = math.ceil(100 * len(trial.rejects) / trial.records)
    return dataclasses.replace(draft, max_rejected=f"{min(share, 100)}%")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except PermissionError as error:
        raise NotPermitted(f"{error.filename}: permission denied",
                           "choose a writable folder") from None  # fmt: skip
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadUsage(f"{error.filename}: {reason.lower()}", "choose another folder") from None


def _notes(draft: JobDraft, trial: Trial) -> tuple[str, ...]:
    notes = [*draft.sample.notes]
    if not draft.model.sidecar and draft.sample.format != "parquet":
        notes.append("the types under [input.columns] are inferred from the sample: check them; "
                     "save_model would record those of the training")  # fmt: skip
    if trial.rejects:
        notes.append(f"{len(trial.rejects):,} of {counted(trial.records, 'record')} in the sample "
                     f"rejected; first: {trial.first_reject}")  # fmt: skip
    age = utc_now().timestamp() - draft.sample.path.stat().st_mtime
    if age < trial.job.settings.input.min_age.total_seconds():
        notes.append("the sample has just changed: a run skips it until it is 60 s old")
    if "{date" not in draft.pattern:
        notes.append("no date in the sample's name: this file is the only input until input.path "
                     "contains * or {date}")  # fmt: skip
    return tuple(notes)
