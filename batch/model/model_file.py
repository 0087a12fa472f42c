"""The model that a job, or a person, names: as files on this host's disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch.model.sidecar import sidecar_path
from batch.store import open_store
from batch.store.base import Missing


@contextmanager
def model_file(url: str) -> Iterator[Path]:
    """A path of the model file, its sidecar beside it if there is one; neither need exist."""
    folder, _, name = url.rpartition("/")
    store = open_store(folder)
    if not store.is_remote:
        yield Path(url)
        return
    from batch.store.spool import spooled

    with spooled() as place:
        place.mkdir()
        model = place / name
        # In the order in which `save_model` is used: a model is there before its sidecar.
        for file in (sidecar_path(model), model):
            with suppress(Missing), store.fetch(file.name) as copy:
                copy.rename(file)
        yield model
