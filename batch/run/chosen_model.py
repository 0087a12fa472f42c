"""The model that a backfill predicts by: the job's own, another file, or that of an earlier version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batch.errors import DoesNotFit
from batch.job.job import Job
from batch.model.model_file import model_file
from batch.model.recipe import Recipe
from batch.model.sidecar import Sidecar
from batch.output.plan import PlannedInput
from batch.output.read import read_document, read_kept
from batch.output.version import Live
from batch.run.recipes import Incoming, recipe_of
from batch.run.selection import Request
from batch.store import open_store
from batch.store.base import Store

_VERSION = re.compile(r"v(\d+)")


@dataclass(frozen=True)
class ChosenModel:
    """A model file, how it predicts, and the folder of its hooks.

    With `keeps_model` it is another one than the job's: applications are not told of it.
    """

    path: Path
    recipe: Recipe
    sidecar: Sidecar | None
    code_folder: Path
    keeps_model: bool


@contextmanager
def chosen_model(
    job: Job, store: Store, live: Live, request: Request, todo: Sequence[PlannedInput]
) -> Iterator[ChosenModel]:
    """The model that a request names, by default the job's own.

    Raises `NoInput` for a version that is not kept, `DoesNotFit` for a model that does not fit.
    """
    version = _VERSION.fullmatch(request.model or "")
    if version:
        with _model_of_version(store, live, int(version[1])) as chosen:
            yield chosen
        return
    other = _located(request.model) if request.model else None
    with model_file(other or job.model_url) as path:
        incoming = Incoming(todo, open_store(job.pattern.base))
        recipe, sidecar = recipe_of(job, store, live, incoming, model=path, other=other)
        yield ChosenModel(path, recipe, sidecar, job.folder, keeps_model=bool(other))


@contextmanager
def _model_of_version(store: Store, live: Live, version: int) -> Iterator[ChosenModel]:
    """With the very recipe of that version, hooks and settings included."""
    from batch.model.published import published_code, read_recipe

    manifest = read_kept(store, live.manifest, version)
    info = manifest.model
    if manifest.made_by != info.sha256:
        raise DoesNotFit(
            f"version {version} was made by a backfill with another model, {manifest.made_by[:12]}, and "
            f"applications were told of {info.sha256[:12]} still",
            "pass the file of that model, or a version made by a run with it",
        )
    recipe = read_recipe(store, info)
    sidecar = read_document(store, info.sidecar, Sidecar) if info.sidecar else None
    with store.fetch(info.path) as path, published_code(store, recipe) as folder:
        yield ChosenModel(path, recipe, sidecar, folder, keeps_model=True)


def _located(model: str) -> str:
    return model if "://" in model else str(Path(model).absolute())
