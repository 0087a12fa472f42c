"""What a process needs to predict slices, made once per process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from batch.errors import DoesNotFit
from batch.inputs.decoding import open_decoder
from batch.job.job_file import Job
from batch.job.settings import InputSection
from batch.model.published import ChosenModel, load_model
from batch.model.recipe import Recipe
from batch.records.chunk import CHUNK_BYTES, Decoder
from batch.records.columns import InputColumn
from batch.run.machine import Parallelism, bytes_for_chunk
from batch.run.predict.batches import Batching
from batch.run.predict.threads import Lanes
from batch.store import open_store
from batch.store.base import Source, Store

if TYPE_CHECKING:  # scikit-learn and pandas come with the model, while the first inputs download.
    from batch.model.score import Scorer


@dataclass(frozen=True)
class Reader:
    """Where inputs are read from, how, and how many rejects make one unreadable."""

    inputs: Source
    decode: Decoder
    settings: InputSection


@dataclass(frozen=True)
class Predictor:
    """Predicts the slices of one run.

    `batching` predicts, in `lanes` for several chunks at once. `tell` is called with the number of
    records of each chunk that was predicted.
    """

    run_id: str
    recipe: Recipe
    reader: Reader
    batching: Batching
    output: Store
    lanes: Lanes = field(default_factory=partial(Lanes, 1))
    tell: Callable[[int], None] = lambda _: None


def load_predictor(
    job: Job, model: ChosenModel, run_id: str, parallelism: Parallelism,
    open_output: Callable[[Job], Store],
) -> Predictor:  # fmt: skip
    """Load the model's copy in OUTPUT, and open the stores. Raises `DoesNotFit`, `Missing`."""
    output, recipe, run = open_output(job), model.recipe, job.settings.run
    # First, and for good: hooks may import their own modules late.
    sys.path.insert(0, str(model.code_folder))
    scorer = load_model(
        output,
        recipe,
        model.sidecar,
        code_folder=model.code_folder,
        allow_version_mismatch=job.settings.model.allow_version_mismatch,
    )
    if parallelism != Parallelism(1, 1):
        scorer.use_one_thread()
    # The model is loaded: what is left of the memory is for chunks.
    chunk_bytes = CHUNK_BYTES
    if run.memory is not None:
        chunk_bytes = min(chunk_bytes, bytes_for_chunk(run.memory, threads=parallelism.threads))
    decode = open_decoder(
        job.settings.input.resolved_format,
        columns_to_read(job, recipe, scorer),
        key=recipe.key,
        text=recipe.text,
        chunk_rows=run.chunk_rows,
        chunk_bytes=chunk_bytes,
    )
    batching = Batching(
        scorer.score,
        tuple(column.name for column in scorer.columns),
        (*recipe.key, *recipe.passthrough),
        chunk_rows=run.chunk_rows,
        chunk_bytes=chunk_bytes,
        reference=scorer.reference,
    )
    reader = Reader(open_store(job.pattern.base), decode, job.settings.input)
    return Predictor(run_id, recipe, reader, batching, output)


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
            f"{job.file}: no type for the columns {', '.join(untyped)}, neither in [input.columns] "
            "nor in the model's sidecar",
            f'add for example {untyped[0]} = "float64" under [input.columns], or save the model '
            "with save_model",
        )
    return tuple(columns.values())
