"""Look for damage: all that the kept versions name is there, and the live one holds what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from batch.errors import BatchError, Damaged, DoesNotFit
from batch.output import layout
from batch.output.manifest import Counts, Manifest
from batch.output.read import newest_manifest, read_manifest, read_pointer
from batch.records.documents import Document
from batch.store.base import Missing, Store
from batch.upkeep.audit import Damage, audit
from batch.upkeep.damage import REPAIR, Finding, damaged_objects, with_versions


class Health(Document, frozen=True):
    """How an output is; `notes` are findings that need nobody.

    `version` is None where no manifest can be read.
    """

    job: str
    output: str
    version: int | None
    deep: bool
    ok: bool
    totals: Counts
    parts: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]


@dataclass(frozen=True)
class Inspection:
    """What was found: of the whole output, and of the live version what a repair needs.

    `unwritten` tells that the pointer holds the newest version and `manifests/` lacks it.
    """

    live: Manifest | None
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    damage: Damage
    unwritten: bool


def verify(store: Store, *, deep: bool, repair: str = REPAIR) -> Health:
    """Whether every object is there and the live version is whole; with `deep`, byte by byte.

    Damage is a finding and never raised; a store that does not answer is. `repair` is the command
    that hints name.
    """
    found = inspect(store, deep=deep, repair=repair)
    return Health(
        job=found.live.job if found.live else "",
        output=store.url,
        version=found.live.version if found.live else None,
        deep=deep,
        ok=not found.findings,
        totals=found.live.totals if found.live else Counts(),
        parts=len(found.live.files) if found.live else 0,
        findings=found.findings,
        notes=found.notes,
    )


def inspect(store: Store, *, deep: bool, repair: str = REPAIR) -> Inspection:
    """Look at the pointer, the chain of versions, their objects, and the rows of the live one."""
    history = _History(repair)
    history.read(store)
    if not history.kept:
        return Inspection(None, tuple(history.findings), tuple(history.notes), Damage(), False)
    live = history.kept[0]
    broken = damaged_objects(store, history.kept, deep=deep, repair=repair)
    damage = audit(store, live, broken=broken, deep=deep, repair=repair)
    of_rows = with_versions(damage.findings, history.kept)
    findings = _still_kept(store, [*history.findings, *broken.values(), *of_rows])
    # What a repair left behind is known, and nothing can be done about it.
    repaired = max((found.version for found in history.kept if found.kind == "repair"), default=0)
    known = [found for found in findings if max(found.versions, default=repaired) < repaired]
    return Inspection(
        live,
        tuple(found for found in findings if found not in known),
        (*history.notes, *known),
        damage,
        history.unwritten,
    )


@dataclass
class _History:
    """The pointer and the kept versions, newest first, as far as they can be read."""

    repair: str
    kept: list[Manifest] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    unwritten: bool = False

    def read(self, store: Store) -> None:
        pointer = self._pointer(store)
        # Listed after the pointer was read: what it names is there.
        names = [layout.version_of(entry.path) for entry in store.list(layout.MANIFESTS).entries]
        versions = {version for version in names if version is not None}
        versions |= {pointer.version} if pointer else set()
        for version in range(max(versions, default=0), 0, -1):
            if self.kept and version < self.kept[0].oldest_kept:
                break
            if self.kept or version in versions:  # Above the newest nothing need be there.
                manifest = self._manifest(store, version, pointer)
                self.kept += [manifest] if manifest else []
        self._check_chain()
        if pointer and self.kept:
            self._check_pointer(pointer)

    def _pointer(self, store: Store) -> Manifest | None:
        try:
            found = read_pointer(store)
        except (Damaged, DoesNotFit) as error:
            self.findings.append(_finding(layout.POINTER, error.message, 0, error.hint))
            return None
        if found is None:
            self.notes.append(_finding(layout.POINTER, "missing", 0, "the next run writes it"))
        return found[0] if found else None

    def _manifest(self, store: Store, version: int, pointer: Manifest | None) -> Manifest | None:
        """A version; the newest one may be in the pointer alone."""
        try:
            manifest = read_manifest(store, version)
            if manifest.version == version:
                return manifest
            what = f"holds version {manifest.version}"
        except Missing:
            what = "missing"
        except (Damaged, DoesNotFit) as error:
            what = error.message
        path = layout.manifest_path(version)
        if pointer and pointer.version == version and not self.kept:
            self.unwritten = what == "missing"
            hint = f"`{self.repair}` writes it again from {layout.POINTER}"
            if not self.unwritten:
                hint = f"remove it, and {hint}"
            self.findings.append(_finding(path, what, version, hint))
            return pointer
        hint = "restore it from a backup, or do without: no rollback to this version"
        if not self.kept:
            hint = "restore it from a backup: it is the newest version"
        self.findings.append(_finding(path, what, version, hint))
        return None

    def _check_chain(self) -> None:
        for newer, older in zip(self.kept, self.kept[1:], strict=False):
            path = layout.manifest_path(newer.version)
            if newer.parent != newer.version - 1:
                what = f"its parent is {newer.parent}, not {newer.version - 1}"
                self.findings.append(_finding(path, what, newer.version))
            if newer.oldest_kept < older.oldest_kept:
                what = f"oldest_kept falls from {older.oldest_kept} to {newer.oldest_kept}"
                self.findings.append(_finding(path, what, newer.version))

    def _check_pointer(self, pointer: Manifest) -> None:
        live = self.kept[0]
        if pointer.version < live.version:
            what = f"holds version {pointer.version}, the newest is {live.version}"
            self.notes.append(_finding(layout.POINTER, what, live.version, "the next run moves it"))
        same = [manifest for manifest in self.kept if manifest.version == pointer.version]
        if same and same[0] != pointer:
            self.findings.append(
                _finding(
                    layout.POINTER,
                    f"differs from {layout.manifest_path(pointer.version)}",
                    live.version,
                    "remove it, and the next run writes it anew",
                )
            )


def _finding(path: str, what: str, version: int, hint: str = "") -> Finding:
    return Finding(path=path, what=what, versions=(version,) if version else (), hint=hint)


def _still_kept(store: Store, findings: Sequence[Finding]) -> list[Finding]:
    """Less what another process pruned while we looked."""
    try:
        newest = newest_manifest(store) if findings else None
    except BatchError:
        newest = None
    oldest = newest.oldest_kept if newest else 0
    kept = [
        (found, tuple(version for version in found.versions if version >= oldest))
        for found in findings
    ]
    return [
        msgspec.structs.replace(found, versions=versions)
        for found, versions in kept
        if versions or not found.versions
    ]
