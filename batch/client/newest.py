"""Find the newest manifest of an output, as a reader that never repairs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.errors import DoesNotFit, StoreDown, TryAgain
from batch.output import layout
from batch.output.manifest import Manifest, decode_manifest
from batch.output.read import list_versions
from batch.store.base import Missing

if TYPE_CHECKING:
    from batch.store.base import Store


class NotPublished(TryAgain):
    """The output holds no version yet."""


def read_newest(store: Store, *, unless: str | None = None) -> tuple[Manifest, str | None] | None:
    """The manifest that the pointer holds and the pointer's token; None while it is `unless`.

    Without a pointer the newest of `manifests/` counts (token None): the numbered file is the
    commit, the pointer only a copy that the publisher has not written yet.
    Raises `NotPublished` when there is no version at all.
    """
    try:
        blob = store.read(layout.POINTER, unless=unless)
        path, token = layout.POINTER, blob.token if blob else unless
    except Missing:
        path, token = _newest_path(store), None
        blob = store.read(path)
    if blob is None:
        return None
    return decode_manifest(blob.data, source=f"{store.url}/{path}"), token


def is_newer(found: Manifest, current: Manifest, source: str) -> bool:
    """Whether to load the manifest found. Raises for one that can only be of another output."""
    for name in ("job", "key", "mode"):
        old, new = getattr(current, name), getattr(found, name)
        if new != old:
            raise DoesNotFit(
                f"{source}: version {found.version}: {name}: found {new!r}, expected {old!r}",
                "if that is intended, restart the application",
            )
    same = found.version == current.version
    if found.version < current.version or (same and found.commit_id != current.commit_id):
        raise StoreDown(
            f"{source}: found version {found.version} of {found.published_at:%Y-%m-%d %H:%M} UTC, "
            f"expected {current.version} of {current.published_at:%Y-%m-%d %H:%M} UTC or a newer one",
            "the output was replaced by another one, or restored: if that is intended, restart the "
            "application",
        )
    return not same


def _newest_path(store: Store) -> str:
    versions = list_versions(store)
    if not versions:
        raise NotPublished(
            f"{store.url}: nothing is published here yet",
            "run the job that writes this output, or use the output.path of its job file",
        )
    return layout.manifest_path(versions[-1])
