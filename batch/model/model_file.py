"""The model file of a job or a command line, as files on this host's disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batch.model.published import model_info
from batch.model.recipe import Recipe
from batch.model.sidecar import Sidecar, sidecar_path
from batch.output.manifest import ModelInfo
from batch.store import open_store
from batch.store.base import Missing


@dataclass(frozen=True)
class ChosenModel:
    """A model file, its recipe, and the folder of its hooks.

    With `keeps_model` it differs from the job's model, and the manifest keeps naming the latter.
    """

    path: Path
    recipe: Recipe
    sidecar: Sidecar | None
    code_folder: Path
    keeps_model: bool = False

    @property
    def info(self) -> ModelInfo:
        """The manifest's description of it."""
        return model_info(self.recipe, self.sidecar)

    @property
    def is_thread_safe(self) -> bool:
        """Whether threads may predict concurrently: unknown, so False, for hooks and without a sidecar."""
        has_hooks = self.recipe.preprocess or self.recipe.postprocess
        return not has_hooks and self.sidecar is not None and self.sidecar.is_thread_safe


@contextmanager
def model_file(url: str) -> Iterator[Path]:
    """A path of the model file, with its sidecar next to it if there is one; neither need exist."""
    folder, _, name = url.rpartition("/")
    store = open_store(folder)
    if not store.is_remote:
        yield Path(url)
        return
    from batch.store.spool import spooled

    with spooled() as place:
        place.mkdir()
        model = place / name
        # The sidecar first: `save_model` writes the model before it, so its model exists already.
        for file in (sidecar_path(model), model):
            with suppress(Missing), store.fetch(file.name) as copy:
                copy.rename(file)
        yield model
