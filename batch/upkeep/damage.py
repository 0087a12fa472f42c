"""Missing or altered objects that versions list."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from batch.errors import BatchError, StoreDown, reading
from batch.output.manifest import Manifest
from batch.records.documents import Document
from batch.store.base import Missing, Store
from batch.store.files import hash_file
from batch.wording import counted

_FOLDERS = ("data", "rejects", "ledger", "models")
#: What hints say where the job file, and so the command, is not known.
REPAIR = "repair JOB"


class Finding(Document, frozen=True):
    """One object that is not as it was published.

    `versions` are the kept ones that need it, newest first; `hint` is the next step.
    """

    path: str
    what: str
    versions: tuple[int, ...]
    hint: str = ""


@dataclass
class _Named:
    """An object as manifests describe it, and the versions that list it."""

    bytes: int | None
    sha256: str | None
    versions: list[int] = field(default_factory=list)


def damaged_objects(
    store: Store, manifests: Sequence[Manifest], *, deep: bool, repair: str = REPAIR
) -> dict[str, Finding]:
    """The damaged objects of these versions, by path; the versions are given newest first.

    Missing or of another size; with `deep`, with other content too.
    """
    # Listed after the manifests were read: their objects were there before them.
    sizes = {entry.path: entry.size for folder in _FOLDERS for entry in store.list(folder).entries}
    damaged = {}
    for path, named in _named(manifests).items():
        what = _wrong_size(sizes.get(path), named.bytes)
        if deep and not what:
            what = examine(store, path, lambda local: _altered(local, path, named.sha256))  # noqa: B023  # called at once
        if what:
            damaged[path] = Finding(
                path=path,
                what=what,
                versions=tuple(named.versions),
                hint=_hint(path, manifests[0], repair),
            )
    return damaged


def with_versions(findings: Iterable[Finding], manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """The findings with every version that lists their object, not only the live one."""
    named = _named(manifests)
    for finding in findings:
        versions = tuple(named[finding.path].versions) if finding.path in named else ()
        yield msgspec.structs.replace(finding, versions=versions or finding.versions)


def examine(store: Store, path: str, judge: Callable[[Path], str]) -> str:
    """The damage of an object found by `judge`, "" for none; an unreadable one is damaged too.

    Raises `NotPermitted` and `StoreDown` for errors that say nothing about the object itself.
    """
    try:
        with store.fetch(path) as local, reading(local):
            return judge(local)
    except (Missing, FileNotFoundError):
        return "missing"
    except StoreDown as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO:
            return f"cannot be read: {error.message}"
        raise
    except ValueError as error:
        return f"cannot be read: {error}"
    except OSError as error:
        # A full table of open files, or a server that is away, must not make a repair throw away
        # what is whole.
        if error.errno != errno.EIO:
            raise StoreDown(f"{store.url}/{path}: {error}") from error
        return f"cannot be read: {error}"


def without_place(error: BatchError, store: Store, path: str) -> str:
    """The message, less the place that a finding states beside it."""
    return error.message.removeprefix(f"{store.url}/{path}: ")


def _named(manifests: Iterable[Manifest]) -> dict[str, _Named]:
    objects: dict[str, _Named] = {}
    for manifest in manifests:
        for path, size, sha256 in _objects(manifest):
            objects.setdefault(path, _Named(size, sha256)).versions.append(manifest.version)
    return objects


def _objects(manifest: Manifest) -> Iterator[tuple[str, int | None, str | None]]:
    """Path, size and sha256 of every object of a version."""
    for file in manifest.all_files:
        yield file.path, file.bytes, file.sha256
    for segment in manifest.ledger:
        yield segment.path, None, segment.sha256
    model = manifest.model
    yield model.path, None, model.sha256
    yield model.recipe, None, None
    if model.sidecar:
        yield model.sidecar, None, None


def _wrong_size(found: int | None, expected: int | None) -> str:
    if found is None:
        return "missing"
    if expected is not None and found != expected:
        return f"found {counted(found, 'byte')}, expected {expected:,}"
    return ""


def _altered(local: Path, path: str, sha256: str | None) -> str:
    """How the content differs; a recipe and a sidecar have its hash in their names."""
    if sha256:
        return "" if hash_file(local) == sha256 else "its sha256 differs from the manifest"
    *_, folder, name = path.split("/")
    data, within = local.read_bytes(), name
    if not name.startswith("sidecar"):
        # As the recipe's digest is made, whatever fields it had at that time.
        data, within = msgspec.json.encode(msgspec.json.decode(data), order="sorted"), folder
    digest = hashlib.sha256(data).hexdigest()[:16]
    return "" if digest in within else "its content does not match the hash in its name"


def _hint(path: str, live: Manifest, repair: str) -> str:
    """The next step for an object of these versions, of which `live` is the newest."""
    folder, live_paths = path.split("/", maxsplit=1)[0], {found for found, *_ in _objects(live)}
    if path not in live_paths:
        return "restore it from a backup, or leave it: only a rollback to these versions needs it"
    if folder == "models":
        return "remove it if it is there; the next run with this model writes it again"
    return f"restore it from a backup, or `{repair}`" if folder == "ledger" else repair
