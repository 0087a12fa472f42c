"""Objects that versions name and that are missing or altered."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from batch.errors import StoreDown, reading
from batch.output.manifest import Manifest
from batch.records.documents import Document
from batch.store.base import Missing, Store
from batch.store.digest import hash_file

_FOLDERS = ("data", "rejects", "ledger", "models")
#: What hints say where the job file, and so the command, is not known.
REPAIR = "repair JOB"


class Finding(Document, frozen=True):
    """One object that is not as it was published.

    `versions` are the kept ones that need it, the live one first; `hint` says what to do.
    """

    path: str
    what: str
    versions: tuple[int, ...]
    hint: str = ""


@dataclass
class _Named:
    """What manifests say of an object, and the versions that name it."""

    bytes: int | None
    sha256: str | None
    versions: list[int] = field(default_factory=list)


def damaged_objects(
    store: Store, manifests: Sequence[Manifest], *, deep: bool, repair: str = REPAIR
) -> dict[str, Finding]:
    """The damaged objects among those that these versions name, given newest first, by path.

    Missing or of another size; with `deep`, of another content as well.
    """
    # Listed after the manifests were read: what they name was there before them.
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
    """The findings with every version that names their object, not only the live one."""
    named = _named(manifests)
    for finding in findings:
        versions = tuple(named[finding.path].versions) if finding.path in named else ()
        yield msgspec.structs.replace(finding, versions=versions or finding.versions)


def examine(store: Store, path: str, judge: Callable[[Path], str]) -> str:
    """What `judge` finds wrong with an object; one that cannot be read is damaged too.

    Raises `NotPermitted` and `StoreDown` for errors that say nothing of the object itself.
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
    except (pa.ArrowException, ValueError) as error:
        return f"cannot be read: {_first_line(error)}"
    except OSError as error:
        # Arrow gives no number for a file that is no Parquet file. A full table of open files, or
        # a server that is away, must not make a repair throw away what is whole.
        if error.errno not in {None, errno.EIO}:
            raise StoreDown(f"{store.url}/{path}: {_first_line(error)}") from error
        return f"cannot be read: {_first_line(error)}"


def _named(manifests: Iterable[Manifest]) -> dict[str, _Named]:
    found: dict[str, _Named] = {}
    for manifest in manifests:
        for path, size, sha256 in _objects(manifest):
            found.setdefault(path, _Named(size, sha256)).versions.append(manifest.version)
    return found


def _objects(manifest: Manifest) -> Iterator[tuple[str, int | None, str | None]]:
    """Path, size and sha256 of all that a version names."""
    for file in (*manifest.files, *manifest.rejects):
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
        return f"found {found:,} bytes, expected {expected:,}"
    return ""


def _altered(local: Path, path: str, sha256: str | None) -> str:
    """What is wrong with the content; a recipe and a sidecar have its hash in their names."""
    if sha256:
        return "" if hash_file(local) == sha256 else "its sha256 is not the manifest's"
    *_, folder, name = path.split("/")
    data, within = local.read_bytes(), name
    if not name.startswith("sidecar"):
        # As the recipe's digest is made, whatever fields it had at that time.
        data, within = msgspec.json.encode(msgspec.json.decode(data), order="sorted"), folder
    digest = hashlib.sha256(data).hexdigest()[:16]
    return "" if digest in within else "its content is not the one its name tells"


def _hint(path: str, live: Manifest, repair: str) -> str:
    """What to do about an object of these versions, of which `live` is the newest."""
    folder, live_paths = path.split("/", maxsplit=1)[0], {found for found, *_ in _objects(live)}
    if path not in live_paths:
        return "restore it from a backup, or do without: no rollback to these versions"
    if folder == "models":
        return "remove it if it is there; the next run with this model writes it again"
    return f"restore it from a backup, or `{repair}`" if folder == "ledger" else repair


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
