"""The model that a backfill predicts by: the job's own, another file, or that of an earlier version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch.errors import DoesNotFit
from batch.job.job import Job
from batch.model.model_file import ChosenModel, model_file
from batch.model.sidecar import Sidecar
from batch.output.read import read_document, read_kept
from batch.output.version import Live
from batch.run.recipes import Incoming, recipe_of
from batch.run.selection import Request
from batch.store.base import Store

_VERSION = re.compile(r"v(\d+)")


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
            f"version {version} was made by a backfill with another model, {manifest.made_by[:12]}, and "
            f"applications were told of {info.sha256[:12]} still",
            "name the file of that model, or a version that a run with it made",
        )
    recipe = read_recipe(store, info)
    sidecar = read_document(store, info.sidecar, Sidecar) if info.sidecar else None
    with store.fetch(info.path) as path, published_code(store, recipe) as folder:
        yield ChosenModel(path, recipe, sidecar, folder, keeps_model=True)


def _located(model: str) -> str:
    return model if "://" in model else str(Path(model).absolute())
