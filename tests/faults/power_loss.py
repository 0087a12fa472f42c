"""What a command promises about power cuts, judged in every state that one may leave."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tests.faults.crash_states import FileSystem, Operation, Tree

#: A new folder in a new folder, so that every name on the way to the output is at stake.
OUT = "published/out"
POINTER = f"{OUT}/manifest.json"

_MANIFEST = re.compile(rf"{OUT}/manifests/\d{{10}}\.json")
_NOTHING = {"version": 0}


@dataclass(frozen=True)
class Promise:
    """What no power cut may take back.

    `shown` are the manifests that readers saw, `reported` the version of the last command that
    said it was done. `spoiled` are manifests that somebody else damaged before.
    """

    shown: frozenset[bytes] = frozenset()
    reported: int = 0
    spoiled: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class Recording:
    """What a command did to a job's folder; `inputs` and the job file are as it found them.

    `damaged` is a file that somebody damaged before.
    """

    begin: FileSystem
    before: Promise
    operations: tuple[Operation, ...]
    exit_code: int
    inputs: Tree
    damaged: str = ""

    def moments(self) -> Iterator[tuple[str, FileSystem, Promise]]:
        """Before it began, after each operation, and after the end; it is one file system."""
        system, promise = self.begin.copy(), self.before
        yield "before it began", system, promise
        for number, operation in enumerate(self.operations, start=1):
            system.apply(operation)
            promise = replace(promise, shown=promise.shown | _shown(system.tree()))
            yield f"{number}: {operation}", system, promise
        if self.exit_code == 0:
            newest = max(map(version_of, manifests(system.tree())), default=0)
            yield "after the end", system, replace(promise, reported=newest)

    def end(self) -> tuple[FileSystem, Promise]:
        """What it left, and what it promised."""
        *_, (_, system, promise) = self.moments()
        return system, promise

    def states(self, *, seed: str, subsets: int = 3) -> Iterator[State]:
        """What a power cut at every moment may leave, each state and promise once."""
        chance, seen = random.Random(seed), set[object]()
        for moment, system, promise in self.moments():
            for label, tree in system.crash_states(chance, subsets=subsets):
                if (key := (frozenset(tree.items()), promise)) not in seen:
                    seen.add(key)
                    yield State(f"{moment}: {label}", tree, promise)


@dataclass(frozen=True)
class State:
    """What a power cut left, and what must not be missing."""

    label: str
    tree: Tree
    promise: Promise

    def troubles(self) -> list[str]:
        """Every way in which the state breaks the promise; looks at bytes and hashes alone."""
        try:
            found = {version_of(data): data for data in manifests(self.tree)}
            pointer = parsed(self.tree[POINTER] or b"") if POINTER in self.tree else _NOTHING
        except ValueError:
            return ["a manifest or the pointer is torn"]
        oldest = parsed(found[max(found)])["oldest_kept"] if found else 1
        kept = {number: data for number, data in found.items() if number >= oldest}
        there = [_NOTHING, *map(parsed, found.values())]
        troubles = [f"version {number} is missing" for number in _gaps(kept)]
        for number, data in kept.items():
            if data not in self.promise.spoiled:
                troubles += [f"version {number}: {what}" for what in misses(self.tree, data)]
        for manifest in map(parsed, self.promise.shown):
            if manifest not in there and manifest["version"] >= oldest:
                troubles.append(f"version {manifest['version']} was shown and is gone")
        if pointer not in there:
            troubles.append("the pointer shows what is not there")
        if pointer["version"] < self.promise.reported:
            troubles.append(f"the pointer is behind version {self.promise.reported}")
        return troubles


def manifests(tree: Tree) -> list[bytes]:
    """The content of every manifest, whole or not."""
    return [data for path, data in tree.items() if data is not None and _MANIFEST.fullmatch(path)]


def misses(tree: Tree, manifest: bytes) -> Iterator[str]:
    """What a manifest names and the tree does not hold as it says."""
    document = parsed(manifest)
    model = document["model"]
    for file in [*document["files"], *document["rejects"], *document["ledger"], model]:
        content = tree.get(f"{OUT}/{file['path']}")
        if content is None:
            yield f"{file['path']} is missing"
        elif _sha256(content) != file["sha256"]:
            yield f"{file['path']} is torn"
    for path in (model["recipe"], model["sidecar"]):
        try:
            parsed(tree.get(f"{OUT}/{path}") or b"")
        except ValueError:
            yield f"{path} is missing or torn"


def version_of(manifest: bytes) -> int:
    """Its number. Raises `ValueError` for one that is torn."""
    return int(parsed(manifest)["version"])


@cache
def parsed(document: bytes) -> dict[str, Any]:
    """A JSON document. Raises `ValueError` for one that is torn."""
    return dict(json.loads(document))


@cache
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shown(tree: Tree) -> frozenset[bytes]:
    pointer = tree.get(POINTER)
    return frozenset() if pointer is None else frozenset([pointer])


def _gaps(versions: dict[int, bytes]) -> list[int]:
    return sorted({*range(min(versions), max(versions))} - {*versions}) if versions else []
