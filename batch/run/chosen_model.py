"""The model that a run or a backfill predicts by, and how it predicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batch.errors import DoesNotFit
from batch.job.job_file import Job
from batch.model.published import ChosenModel
from batch.model.recipe import Recipe, compose
from batch.model.sidecar import Sidecar, model_file, read_model_file
from batch.output.plan import PlannedInput
from batch.output.read import read_document, read_kept
from batch.output.version import Live
from batch.records.chunk import UnreadableInput
from batch.records.columns import InputColumn
from batch.run.selection import Request
from batch.store.base import Changed, Missing, Source, Store

_VERSION = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class Incoming:
    """Inputs to take in, and where they are read from."""

    todo: Sequence[PlannedInput]
    source: Source


@contextmanager
def job_model(
    job: Job, store: Store, live: Live, incoming: Incoming, *, other: str | None = None
) -> Iterator[ChosenModel]:
    """The model that is in place for a job, or an `other` file, and how it predicts.

    Raises `DoesNotFit`.
    """
    with model_file(other or job.model_url) as path:
        recipe, sidecar = recipe_of(job, store, live, incoming, model=path, other=other)
        yield ChosenModel(path, recipe, sidecar, job.folder, keeps_model=bool(other))


@contextmanager
def requested_model(
    job: Job, store: Store, live: Live, incoming: Incoming, request: Request
) -> Iterator[ChosenModel]:
    """The model that a request names, by default the job's own.

    Raises `NoInput` for a version that is not kept, `DoesNotFit` for a model that does not fit.
    """
    version = _VERSION.fullmatch(request.model or "")
    if version:
        with _model_of_version(store, live, int(version[1])) as model:
            yield model
        return
    other = _located(request.model) if request.model else None
    with job_model(job, store, live, incoming, other=other) as model:
        yield model


@contextmanager
def _model_of_version(store: Store, live: Live, version: int) -> Iterator[ChosenModel]:
    """With the very recipe of that version, hooks and settings included."""
    from batch.model.published import published_code, read_recipe

    manifest = read_kept(store, live.manifest, version)
    info = manifest.model
    if manifest.made_by != info.sha256:
        raise DoesNotFit(
            f"version {version} was made by a backfill with another model ({manifest.made_by[:12]}) "
            f"than the one published with it ({info.sha256[:12]})",
            "pass the file of that model, or a version made by a run with it",
        )
    recipe = read_recipe(store, info)
    sidecar = read_document(store, info.sidecar, Sidecar) if info.sidecar else None
    with store.fetch(info.path) as path, published_code(store, recipe) as folder:
        yield ChosenModel(path, recipe, sidecar, folder, keeps_model=True)


def _located(model: str) -> str:
    return model if "://" in model else str(Path(model).absolute())


def recipe_of(
    job: Job, store: Store, live: Live, incoming: Incoming, *, model: Path,
    other: str | None = None,
) -> tuple[Recipe, Sidecar | None]:  # fmt: skip
    """The recipe of the model that is in place now, with its sidecar. Raises `DoesNotFit`.

    `other` is where the model comes from if that is not the job's own path.
    """
    pin = None if other else job.settings.model.sha256
    sha256, sidecar = read_model_file(model, pin=pin, source=other or job.model_url)
    return compose(job, sha256, sidecar, _pinned_columns(job, store, live, incoming)), sidecar


def _pinned_columns(
    job: Job, store: Store, live: Live, incoming: Incoming
) -> dict[str, InputColumn]:
    """The types of the key and the passed-through columns that only Parquet files tell.

    Once published they stay what they are; before, the first readable input decides.
    """
    if job.settings.input.resolved_format != "parquet":
        return {}
    from batch.inputs.decoding.parquet import file_columns
    from batch.model.published import read_recipe

    carried = dict.fromkeys([*job.settings.input.key, *job.settings.output.passthrough])
    pinned: dict[str, InputColumn] = {}
    if live.manifest:
        with suppress(Missing):  # Then this run writes it again.
            recipe = read_recipe(store, live.manifest.model)
            pinned = {column.name: column for column in recipe.columns if column.name in carried}
    unknown = [name for name in carried if name not in pinned]
    for planned in incoming.todo if unknown else ():
        try:
            with incoming.source.fetch(
                planned.path, token=planned.token, size=planned.size
            ) as local:
                return pinned | {column.name: column for column in file_columns(local, unknown)}
        except (UnreadableInput, Missing, Changed):
            continue  # It becomes an unreadable input; the next one tells the types.
    return pinned
