"""Try a job on a few records: everything a run does, without writing anything."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import BadData, NoInput
from batch.inputs.survey import survey_inputs
from batch.job.job_file import Job
from batch.logs import utc_now
from batch.model.recipe import Recipe
from batch.model.sidecar import Sidecar
from batch.output.ledger import Ledger
from batch.output.plan import PlannedInput
from batch.output.publish import require_same_output
from batch.output.read import open_output, read_live
from batch.records.chunk import Chunk, Reject, UnreadableInput
from batch.records.columns import InputColumn
from batch.run.chosen_model import Incoming, job_model
from batch.run.outcome import Trace
from batch.store import open_store

if TYPE_CHECKING:
    import pyarrow as pa

    from batch.model.score import Scorer


@dataclass(frozen=True)
class TrialInput:
    """One input, and the job with an input path that leads to it."""

    job: Job
    planned: PlannedInput


@dataclass(frozen=True)
class LoadedModel:
    """The model at the job's own path, verified like a run verifies its copy in OUTPUT."""

    recipe: Recipe
    sidecar: Sidecar | None
    scorer: Scorer
    columns: tuple[InputColumn, ...]


@dataclass(frozen=True)
class Trial:
    """The result for the first records of an input.

    `records` is the number read, including rejects; `predictions` are the rows as in a part, None
    if there are none. `seconds` is the wall time by stage.
    """

    job: Job
    input: str
    as_of: datetime
    records: int
    predictions: pa.Table | None
    rejects: tuple[Reject, ...]
    seconds: dict[str, float]

    @property
    def predicted(self) -> int:
        return self.predictions.num_rows if self.predictions is not None else 0

    @property
    def first_reject(self) -> str:
        """The position of the first reject, and the reason."""
        return str(self.rejects[0])


def try_job(job: Job, *, rows: int = 100, path: str | None = None) -> Trial:
    """Predict the first `rows` records of the newest input, or of the file at `path`.

    Raises the errors that would stop a run: `NoInput`, `DoesNotFit`, and `BadData` for an unreadable input.
    """
    trace = Trace(job=job.name, kind="run", started_at=utc_now())
    with trace.timed("find input"):
        source = given_input(job, path) if path else newest_input(job)
    with importing_from(job.folder):
        with trace.timed("load model"):
            model = load_model(job, source)
        return predict_first(model, source, rows, trace)


def newest_input(job: Job) -> TrialInput:
    """The newest input, even if a run would still wait for it.

    Raises `NoInput` if nothing matches.
    """
    nothing_waits = {"min_age": timedelta.min, "final_newline": "optional"}
    surveyed = survey_inputs(_with_input(job, **nothing_waits), Ledger())
    return TrialInput(job, max(surveyed.todo, key=lambda planned: (planned.as_of, planned.path)))


def given_input(job: Job, path: str) -> TrialInput:
    """A file that need not match the pattern of the job, in the job's format."""
    file = Path(path).absolute()
    if not file.is_file():
        raise NoInput(f"{path}: no such file", "set --input to a file of records")
    status = file.stat()
    as_of = None
    if file.is_relative_to(job.pattern.base):
        as_of = job.pattern.date(file.relative_to(job.pattern.base).as_posix())
    planned = PlannedInput(
        path=file.name,
        size=status.st_size,
        token="",
        as_of=as_of or datetime.fromtimestamp(status.st_mtime, UTC),
        reason="new",
    )
    location = {"path": str(file), "format": job.settings.input.resolved_format}
    return TrialInput(_with_input(job, **location), planned)


def load_model(job: Job, source: TrialInput | None) -> LoadedModel:
    """Load the model at the job's own path for this output and, if given, this input.

    Raises `NoInput`, `TryAgain` and `DoesNotFit` like a run before its first record.
    """
    from batch.model.load import load_scorer
    from batch.run.predict.predictor import columns_to_read

    output = open_output(job)
    live = read_live(output)
    require_same_output(live, job)
    todo = (source.planned,) if source else ()
    asked = source.job if source else job
    incoming = Incoming(todo, open_store(asked.pattern.base))
    with job_model(asked, output, live, incoming) as model:
        scorer = load_scorer(
            model.path,
            model.recipe,
            model.sidecar,
            code_folder=job.folder,
            allow_version_mismatch=job.settings.model.allow_version_mismatch,
        )
    columns = columns_to_read(job, model.recipe, scorer)
    return LoadedModel(model.recipe, model.sidecar, scorer, columns)


def predict_first(model: LoadedModel, source: TrialInput, rows: int, trace: Trace) -> Trial:
    """Read and predict the first `rows` records of an input. Raises `BadData`, `DoesNotFit`."""
    import pyarrow as pa

    from batch.run.predict.batches import placed, score_all, side_by_side

    name, rejects = source.planned.path, list[Reject]()
    try:
        with trace.timed("read"):
            chunks = list(_read_first(model, source, rows))
            rejects += [reject for chunk in chunks for reject in chunk.rejects]
            tables = [placed(chunk, source.planned) for chunk in chunks]
            records = pa.concat_tables(tables) if tables else pa.table({})
        predictions = None
        if records.num_rows:
            with trace.timed("predict"):
                wanted = [column.name for column in model.scorer.columns]
                batch = records.select(wanted).combine_chunks().to_batches()[0]
                scored = score_all(batch, model.scorer.score)
            rejects += [_failure(chunks, *failure) for failure in scored.failures]
            if scored.predictions is not None:
                copied = [*model.recipe.key, *model.recipe.passthrough]
                predicted = records if scored.positions is None else records.take(scored.positions)
                predictions = side_by_side(predicted, copied, scored.predictions)
    except UnreadableInput as error:
        raise BadData(f"{name}: {error.message}", "correct the input, or [input] in the job file") from None  # fmt: skip
    return Trial(
        job=source.job,
        input=name,
        as_of=source.planned.as_of,
        records=len(rejects) + (predictions.num_rows if predictions is not None else 0),
        predictions=predictions,
        rejects=tuple(sorted(rejects, key=lambda reject: reject.row)),
        seconds=trace.seconds,
    )


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let hooks import modules from the job folder later; unload them afterwards, for the next job."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]


def _with_input(job: Job, **changes: object) -> Job:
    changed = job.settings.input.model_copy(update=changes)
    return dataclasses.replace(job, settings=job.settings.model_copy(update={"input": changed}))


def _read_first(model: LoadedModel, source: TrialInput, rows: int) -> Iterator[Chunk]:
    from batch.inputs.decoding import open_decoder

    settings = source.job.settings
    decode = open_decoder(
        settings.input.resolved_format,
        model.columns,
        key=model.recipe.key,
        text=model.recipe.text,
        chunk_rows=min(rows, settings.run.chunk_rows),
    )
    with open_store(source.job.pattern.base).fetch(source.planned.path) as local:
        for untyped in decode(str(local)):
            chunk = untyped()
            yield _below(chunk, rows)
            numbers = [*chunk.rows[-1:].to_pylist(), *(reject.row for reject in chunk.rejects)]
            if max(numbers, default=0) >= rows - 1:
                return


def _below(chunk: Chunk, rows: int) -> Chunk:
    """The records of a chunk with a number below `rows`."""
    import pyarrow.compute as pc

    count = pc.sum(pc.less(chunk.rows, rows), min_count=0).as_py()
    rejects = tuple(reject for reject in chunk.rejects if reject.row < rows)
    return Chunk(chunk.records.slice(0, count), chunk.rows.slice(0, count), rejects, chunk.raw)


def _failure(chunks: list[Chunk], position: int, reason: str) -> Reject:
    """The reject for a record on which the model raised an error."""
    for chunk in chunks:
        if position < len(chunk.rows):
            return Reject(chunk.rows[position].as_py(), "", reason, chunk.raw(position))
        position -= len(chunk.rows)
    raise IndexError(position)
