"""The model in OUTPUT: the exact bytes, hooks and settings that made the predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.errors import BadData, TryAgain
from batch.model.recipe import Recipe, code_files
from batch.model.sidecar import Sidecar, installed_versions
from batch.output import layout
from batch.output.manifest import ModelInfo
from batch.output.read import read_document
from batch.records.documents import encode
from batch.store.base import Exists, Missing, Store, read_whole
from batch.store.cache import Content, fetch_content
from batch.store.files import hash_file

if TYPE_CHECKING:
    from batch.model.score import Scorer


class PublishedModel:
    """A model for an application: predicts single records exactly as a run does."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    @property
    def estimator(self) -> Any:
        """The estimator itself, as it was saved."""
        return self._scorer.estimator

    def score_records(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions for raw JSON records, in order. Raises `BadData` for an invalid record."""
        from batch.model.load import records_to_batch

        if not records:
            return []
        batch, misfits = records_to_batch(records, self._scorer.columns)
        types = {column.name: column.type for column in self._scorer.columns}
        for index, column in sorted(misfits.items()):
            raise BadData(
                f"record {index}: column {column!r}: found {records[index].get(column)!r}, "
                f"expected {types[column] or 'a value of its type'}"
            )
        return list(self._scorer.score(batch).to_pylist())


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


def publish_model(
    store: Store, model_path: Path, recipe: Recipe, sidecar: Sidecar | None, *, code_folder: Path
) -> ModelInfo:
    """Keep a copy of the model, its sidecar and its hook files in OUTPUT; create-only.

    Raises `TryAgain` if the model or a hook file changed since the recipe was computed.
    """
    info = model_info(recipe, sidecar)
    _copy_model(store, model_path, info)
    folder = layout.recipe_folder(recipe.model_sha256, recipe.digest())
    if sidecar and info.sidecar:
        _create(store, info.sidecar, encode(sidecar))
    _require_code(recipe, code_folder)
    for name in recipe.code:
        _create(store, f"{folder}/{name}", (code_folder / name).read_bytes())
    # The recipe last: if it exists, every file it refers to exists.
    _create(store, info.recipe, encode(recipe))
    return info


def model_info(recipe: Recipe, sidecar: Sidecar | None) -> ModelInfo:
    """The manifest's description of a recipe's model."""
    digest = recipe.digest()
    return ModelInfo(
        sha256=recipe.model_sha256,
        path=layout.model_path(recipe.model_sha256),
        format="joblib",
        class_name=sidecar.class_name if sidecar else "",
        versions=sidecar.versions if sidecar else installed_versions(),
        recipe=layout.recipe_path(recipe.model_sha256, digest),
        sidecar=layout.saved_sidecar_path(recipe.model_sha256, digest, encode(sidecar))
        if sidecar
        else None,
    )


def read_recipe(store: Store, info: ModelInfo) -> Recipe:
    """The recipe of a published model."""
    return read_document(store, info.recipe, Recipe)


def load_model(
    store: Store,
    recipe: Recipe,
    sidecar: Sidecar | None,
    *,
    code_folder: Path,
    allow_version_mismatch: bool,
) -> Scorer:
    """Load the copy of a recipe's model in OUTPUT with the hooks of `code_folder`.

    Raises `DoesNotFit` like `load_scorer`, `BadData` for a damaged copy, `TryAgain` for hook files
    that differ from the recipe's.
    """
    from batch.model.load import load_scorer

    model = Content(
        layout.model_path(recipe.model_sha256),
        recipe.model_sha256,
        hint="delete this damaged copy; the next run writes it again",
    )
    with fetch_content(store, model) as local:
        _require_code(recipe, code_folder)
        return load_scorer(
            local,
            recipe,
            sidecar,
            code_folder=code_folder,
            allow_version_mismatch=allow_version_mismatch,
        )


def load_published(store: Store, info: ModelInfo) -> PublishedModel:
    """The model behind a manifest, with its own hooks, for an application."""
    recipe = read_recipe(store, info)
    sidecar = read_document(store, info.sidecar, Sidecar) if info.sidecar else None
    with published_code(store, recipe) as folder:
        return PublishedModel(
            load_model(store, recipe, sidecar, code_folder=folder, allow_version_mismatch=False)
        )


@contextmanager
def published_code(store: Store, recipe: Recipe) -> Iterator[Path]:
    """The hook files of a published recipe, in a temporary folder."""
    with tempfile.TemporaryDirectory(
        prefix="batch-predict-hooks-", ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        for file in recipe.code:
            path = f"{layout.recipe_folder(recipe.model_sha256, recipe.digest())}/{file}"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(read_whole(store, path).data)
        yield folder


def _copy_model(store: Store, model_path: Path, info: ModelInfo) -> None:
    try:
        store.stat(info.path)
    except Missing:
        pass
    else:
        return
    try:
        with store.upload(info.path) as copy:
            copy.write_bytes(model_path.read_bytes())
            if hash_file(copy) != info.sha256:
                raise TryAgain(
                    f"{model_path}: replaced while the run was starting",
                    "the next run uses the new model",
                )
    except Exists:
        pass  # Another host was faster; the name is the hash, so the bytes are the same.


def _create(store: Store, path: str, data: bytes) -> None:
    with suppress(Exists):  # Each of these names contains a hash of the content.
        store.create(path, data)


def _require_code(recipe: Recipe, folder: Path) -> None:
    if code_files(folder, [_module(name) for name in recipe.code]) != recipe.code:
        raise TryAgain(
            f"{folder}: the hook files changed while the run was starting",
            "the next run uses the new ones",
        )


def _module(file_name: str) -> str:
    return file_name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
