"""What one process needs to predict slices, made once and kept."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from batch.errors import DoesNotFit
from batch.inputs.prefetch import Brought
from batch.job.job import Job
from batch.model.recipe import Recipe
from batch.model.sidecar import Sidecar
from batch.output import layout
from batch.output.open import open_output
from batch.output.plan import Receipt, Slice
from batch.records.chunk import CHUNK_BYTES
from batch.records.columns import InputColumn
from batch.run.memory import bytes_for_chunk
from batch.run.predict.threads import Lanes
from batch.run.predict.workers import Parallelism
from batch.run.resume import read_receipt
from batch.store import open_store
from batch.store.base import Exists, Store

if TYPE_CHECKING:
    from batch.model.score import Scorer
    from batch.run.predict.slice import Tools


@dataclass(frozen=True)
class Assignment:
    """One run as a worker process gets it: small, and picklable.

    `code_folder` holds the hooks of the model. `tell` hears of every chunk and `lanes` are those of
    the run, where it has no other process. `ahead` is the folder that inputs from afar come to.
    """

    job: Job
    recipe: Recipe
    sidecar: Sidecar | None
    run_id: str
    parallelism: Parallelism
    code_folder: Path
    open_output: Callable[[Job], Store] = open_output
    tell: Callable[[int], None] | None = None
    lanes: Lanes | None = None
    ahead: Path | None = None
    attempt: str = field(default_factory=layout.new_commit_id)

    def predict(self, piece: Slice) -> Receipt:
        """Predict one slice, or take the receipt of whoever was quicker."""
        from batch.run.predict.slice import predict_slice

        tools = tools_of(self)
        if self.lanes:
            tools = dataclasses.replace(tools, lanes=self.lanes)
        if self.ahead:
            tools = dataclasses.replace(tools, inputs=Brought(tools.inputs, self.ahead))
        try:
            return predict_slice(piece, tools)
        except Exists:
            return read_receipt(tools.output, piece, self.recipe.digest())


_tools: dict[str, Tools] = {}


def tools_of(assignment: Assignment) -> Tools:
    """The loaded model, the decoder and the stores of a run; loaded once per process.

    Raises `DoesNotFit` for a model that does not fit.
    """
    # Not by the run's id: one that is continued in this process has other stores and settings.
    if assignment.attempt not in _tools:
        _tools.clear()
        _tools[assignment.attempt] = _make_tools(assignment)
    return _tools[assignment.attempt]


def _make_tools(assignment: Assignment) -> Tools:
    from batch.inputs.decoding import open_decoder
    from batch.run.predict.batches import Batching
    from batch.run.predict.slice import Tools

    job, recipe = assignment.job, assignment.recipe
    output = assignment.open_output(job)
    scorer = _load(assignment, output)
    settings, chunk_rows = job.settings.input, job.settings.run.chunk_rows
    chunk_bytes = _chunk_bytes(assignment)
    return Tools(
        inputs=open_store(job.pattern.base),
        output=output,
        decode=open_decoder(
            settings.resolved_format,
            columns_to_read(job, recipe, scorer),
            key=recipe.key,
            text=recipe.text,
            chunk_rows=chunk_rows,
            chunk_bytes=chunk_bytes,
        ),
        batching=Batching(
            scorer.score,
            tuple(column.name for column in scorer.columns),
            (*recipe.key, *recipe.passthrough),
            chunk_rows=chunk_rows,
        ),
        chunk_bytes=chunk_bytes,
        settings=settings,
        run_id=assignment.run_id,
        recipe=recipe,
        reference=scorer.reference,
        tell=assignment.tell or _say_nothing,
    )


def _load(assignment: Assignment, output: Store) -> Scorer:
    from batch.model.published import load_model

    # First, and for good: hooks may import their own modules late.
    sys.path.insert(0, str(assignment.code_folder))
    scorer = load_model(
        output,
        assignment.recipe,
        assignment.sidecar,
        code_folder=assignment.code_folder,
        allow_version_mismatch=assignment.job.settings.model.allow_version_mismatch,
    )
    if assignment.parallelism != Parallelism(1, 1):
        scorer.use_one_thread()
    return scorer


def _chunk_bytes(assignment: Assignment) -> int:
    limit = assignment.job.settings.run.memory
    if limit is None:
        return CHUNK_BYTES
    return min(CHUNK_BYTES, bytes_for_chunk(limit, threads=assignment.parallelism.threads))


def _say_nothing(records: int) -> None:
    """The coordinator counts slices."""


def columns_to_read(job: Job, recipe: Recipe, scorer: Scorer) -> tuple[InputColumn, ...]:
    """Key, passed-through columns and those of the model, each once.

    Raises `DoesNotFit` that names the columns of a text format that have no type from anywhere.
    """
    carried = {*recipe.key, *recipe.passthrough}
    columns = {column.name: column for column in recipe.columns if column.name in carried}
    columns |= {column.name: column for column in scorer.columns if column.name not in columns}
    untyped = [column.name for column in columns.values() if column.type is None]
    if untyped and job.settings.input.resolved_format != "parquet":
        raise DoesNotFit(
            f"{job.file}: no type for the columns {', '.join(untyped)}: neither [input.columns] "
            "nor a sidecar of the model says it",
            f'add for example {untyped[0]} = "float64" under [input.columns], or save the model '
            "with save_model",
        )
    return tuple(columns.values())
