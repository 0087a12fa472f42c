"""What a run that found something predicts, and by which recipe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batch.job.job import Job
from batch.model.recipe import Recipe, compose
from batch.model.sidecar import Sidecar, read_model_file
from batch.output.plan import PlannedInput
from batch.output.version import Live
from batch.records.chunk import UnreadableInput
from batch.records.columns import InputColumn
from batch.store.base import Changed, Missing, Source, Store


@dataclass(frozen=True)
class Incoming:
    """Inputs to take in, and where they are read from."""

    todo: Sequence[PlannedInput]
    source: Source


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
