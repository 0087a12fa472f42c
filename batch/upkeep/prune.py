"""Delete files that no kept version and no future run needs.

Its safety is in the order. Manifests below `oldest_kept` are deleted first, so that none lists a
deleted file. Then candidates are listed, and only after that the references are read: pending
plans, and after them manifests, because a run publishes before it deletes its plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from batch.output import layout
from batch.output.manifest import Manifest
from batch.output.plan import Plan, list_plans, read_plan
from batch.output.publish import move_pointer
from batch.output.read import (
    RETENTION,
    Retention,
    list_versions,
    newest_manifest,
    read_manifest,
    read_pointer,
)
from batch.store.base import Entry, Missing, Store

_FOLDERS = ("data", "rejects", "ledger", "models", layout.PENDING)


@dataclass(frozen=True)
class Garbage:
    """Files that can be deleted: manifests that are no longer kept, and other objects."""

    manifests: tuple[Entry, ...] = ()
    objects: tuple[Entry, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in (*self.manifests, *self.objects))


@dataclass(frozen=True)
class _References:
    """References to objects that must stay: paths, and the runs, models and recipes they belong to."""

    paths: frozenset[str]
    run_ids: frozenset[str]
    models: frozenset[str]
    recipes: frozenset[str]

    def include(self, path: str) -> bool:
        folder, *rest = path.split("/")
        if path in self.paths:
            return True
        if folder == "models":
            return rest[0] in self.models and (len(rest) <= 2 or rest[1] in self.recipes)
        return folder != "ledger" and rest[0] in self.run_ids


def prune(
    store: Store, *, retain: timedelta, delete: bool, retention: Retention = RETENTION
) -> Garbage:
    """Find the garbage of an output, and `delete` it.

    Raises `Damaged` for a manifest or plan that cannot be read: then no object is deleted.
    """
    doomed = _below_oldest_kept(store, delete=delete)
    if delete:
        for entry in doomed:  # Oldest first: the rest is a chain without gaps.
            store.delete(entry.path)
    candidates = _candidates(store, retain, retention.safe_age)
    references = _references(store, retention.safe_age, keep_from=_oldest(store))
    garbage = [entry for entry in candidates if not references.include(entry.path)]
    if delete:
        for entry in sorted(garbage, key=_plans_first):
            store.delete(entry.path)
    return Garbage(tuple(doomed), tuple(garbage))


def _below_oldest_kept(store: Store, *, delete: bool) -> list[Entry]:
    if delete and (newest := newest_manifest(store)):
        # Readers of the newest version walk up from the pointer: it must not point into a gap.
        move_pointer(store, newest)
    oldest = _oldest(store)
    found = [(layout.version_of(entry.path), entry) for entry in store.list("manifests").entries]
    return [entry for version, entry in found if version is not None and version < oldest]


def _oldest(store: Store) -> int:
    """By the pointer, never by a newer manifest that the pointer has not reached."""
    pointer = read_pointer(store)
    return pointer[0].oldest_kept if pointer else 0


def _candidates(store: Store, retain: timedelta, safe_age: timedelta) -> list[Entry]:
    found = [
        entry
        for folder in _FOLDERS
        for listing in [store.list(folder)]
        for entry in listing.entries
        if listing.now - entry.modified > safe_age
    ]
    records = store.list(layout.RUNS)
    age = max(safe_age, retain)
    return found + [entry for entry in records.entries if records.now - entry.modified > age]


def _references(store: Store, safe_age: timedelta, *, keep_from: int) -> _References:
    alive = _plans(store, safe_age)
    manifests = _manifests(store, keep_from)
    recipes = {plan.recipe[:16] for plan in alive}
    models = {
        path.parent.parent.name
        for path in (PurePosixPath(entry.path) for entry in store.list("models").entries)
        if path.parent.name in recipes
    }
    for manifest in manifests:
        files = manifest.all_files
        models |= {manifest.model.sha256, *(file.model_sha256 for file in files)}
        recipes |= {
            PurePosixPath(manifest.model.recipe).parent.name,
            *(file.recipe[:16] for file in files),
        }
    return _References(
        paths=frozenset(path for manifest in manifests for path in _named(manifest)),
        # A plan may have adopted slices of other runs: their parts are below the ids of those runs.
        run_ids=frozenset(slice_.receipt.split("/")[1] for plan in alive for slice_ in plan.slices)
        | {plan.run_id for plan in alive},
        models=frozenset(models),
        recipes=frozenset(recipes),
    )


def _plans(store: Store, safe_age: timedelta) -> list[Plan]:
    """The plans that may still be published.

    Also one just abandoned: a run may have read it before, and be about to commit.
    """
    plans, found = list_plans(store), list[Plan]()
    for run_id in plans.run_ids:
        if plans.age(layout.dropped_path(run_id)) > safe_age:
            continue
        try:
            found.append(read_plan(store, run_id))
        except Missing:
            continue  # It was published meanwhile: the manifests, read next, name its parts.
    return found


def _manifests(store: Store, keep_from: int) -> list[Manifest]:
    found = []
    for version in list_versions(store):
        if version >= keep_from:
            try:
                found.append(read_manifest(store, version))
            except Missing:
                continue  # Another prune, which knows of a newer version, was quicker.
    return found


def _named(manifest: Manifest) -> Sequence[str]:
    parts = [file.path for file in manifest.all_files]
    return parts + [segment.path for segment in manifest.ledger]


def _plans_first(entry: Entry) -> bool:
    # A note that a plan is dropped must outlive the plan.
    return not entry.path.endswith("/" + layout.PLAN)
