"""What everybody sees of an output must keep the promise at every moment.

Judges by the oracle, what the clients serve too. What was judged once is only compared byte by
byte from then on: thousands of crash points share most of their versions.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import pandas as pd
import xxhash

from batch.client import NotPublished, Predictions
from tests.support import oracle
from tests.support.jobs import JobFolder

if TYPE_CHECKING:
    from tests.faults.bench import Folder

#: The predictions of a record; None for one that must be rejected.
Wanted = dict[str, Any] | None
#: By the path of an input: the digest of the content that was taken in, and its records.
Taken = dict[str, tuple[str, int]]


@dataclass(frozen=True)
class Judged:
    """A version that keeps the promise: its rows as a client serves them, and its inputs."""

    manifest: dict[str, Any]
    served: Counter[tuple[Any, ...]]
    taken: Taken


@dataclass
class Watcher:
    """Looks at an output from time to time: nothing that was seen may be taken back.

    `damaged` is a file that somebody damaged on purpose.
    """

    job: Folder
    client: Predictions | None = None
    versions: dict[int, bytes] = field(default_factory=dict)
    pointer: int = 0
    damaged: str = ""

    def look(self) -> Judged | None:
        """Judge all there is now; returns the newest version, None if it has damage on purpose."""
        self.job.mirror()
        versions = _versions(self.job.output)
        oldest = self._look_at_pointer(versions)
        kept = {number: data for number, data in versions.items() if number >= oldest}
        for number, data in self.versions.items():
            assert number < oldest or kept[number] == data, f"version {number} was altered"
        self._look_at_versions(kept)
        if kept and self.damaged in {path for path, _ in named_by(_decode(kept[max(kept)]))}:
            return None
        judged = judge(self.job, kept[max(kept)]) if kept else None
        self._look_as_client(judged)
        return judged

    def _look_at_versions(self, kept: dict[int, bytes]) -> None:
        manifests = [_decode(kept[number]) for number in sorted(kept)]
        for older, newer in pairwise(manifests):
            assert newer["parent"] == older["version"] == newer["version"] - 1
        named = {file for manifest in manifests for file in named_by(manifest)}
        for path, sha256 in named:
            data = (self.job.output / path).read_bytes()
            is_whole = not sha256 or hashlib.sha256(data).hexdigest() == sha256
            assert is_whole or path == self.damaged, f"{path}: not whole"
        self.versions = kept

    def _look_at_pointer(self, versions: dict[int, bytes]) -> int:
        """Returns the oldest version that it promises to keep."""
        path = self.job.output / "manifest.json"
        if not self.pointer and not path.exists():
            return 1
        found = _decode(path.read_bytes())
        assert found == _decode(versions[found["version"]]), "the pointer is a copy of a version"
        assert found["version"] >= self.pointer, "the pointer went back"
        self.pointer = found["version"]
        return int(found["oldest_kept"])

    def _look_as_client(self, judged: Judged | None) -> None:
        before = self.client.version if self.client else 0
        is_new = self.client.refresh() if self.client else True
        if self.client is None:
            self.client = load_client(self.job.output)
        assert (self.client is None) == (judged is None)
        if self.client is None:
            return
        assert self.client.last_error is None
        assert self.client.version >= max(before, self.pointer)
        if is_new:
            served = Counter(map(_comparable, self.client.table(all_rows=True).to_pylist()))
            assert served == judge(self.job, self.versions[self.client.version]).served

    def fork(self) -> Watcher:
        """Another one that has seen as much, without loading it again."""
        return Watcher(
            self.job, copy.copy(self.client), dict(self.versions), self.pointer, self.damaged
        )


def load_client(output: Path) -> Predictions | None:
    """What an application sees that starts now."""
    try:
        return Predictions(output)
    except NotPublished:
        return None


@lru_cache(maxsize=1000)
def _decode(data: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def named_by(manifest: dict[str, Any]) -> set[tuple[str, str]]:
    """All that a version names, with its sha256 where that is known."""
    files = [*manifest["files"], *manifest["rejects"], *manifest["ledger"]]
    model = manifest["model"]
    return {
        *((file["path"], file["sha256"]) for file in files),
        (model["path"], model["sha256"]), (model["recipe"], ""), (model["sidecar"], ""),
    }  # fmt: skip


_judged: dict[bytes, Judged] = {}


def judge(job: JobFolder, data: bytes) -> Judged:
    """Let the oracle decide on a version, given as it is on disk; all it names was found whole."""
    if data not in _judged:
        _judged[data] = _judge(job, _decode(data))
    return _judged[data]


def _judge(job: JobFolder, manifest: dict[str, Any]) -> Judged:
    ledger = oracle.ledger_of(job.output, manifest)
    rows = oracle.rows_of(job.output, manifest)
    rejects = oracle.rows_of(job.output, manifest, "rejects")
    oracle._judge_records(manifest, ledger, rows, rejects)
    for path, entry in ledger.items():
        assert entry["records"] in {len(known[entry["digest"]]), 0}, path
    for row in rows:
        wanted = known[ledger[row["_input"]]["digest"]][row["_row"]]
        assert wanted is not None, row
        assert all(oracle._close(row[name], value) for name, value in wanted.items()), row
    for row in rejects:
        assert known[ledger[row["_input"]]["digest"]][row["_row"]] is None, row
    return Judged(
        manifest,
        served=Counter(map(_comparable, rows)),
        taken={path: (entry["digest"], entry["records"]) for path, entry in ledger.items()},
    )


def digest_of(content: bytes) -> str:
    """What the ledger tells contents apart by."""
    return str(xxhash.xxh3_128_hexdigest(content))


#: What must become of each content that ever was an input, by its digest.
known: dict[str, list[Wanted]] = {}


def learn(model: Path, content: bytes) -> None:
    """Predict a CSV input by the plain model, for later comparison."""
    if digest_of(content) not in known:
        known[digest_of(content)] = _predict(_load(model), content)


@cache
def _load(model: Path) -> Any:
    return joblib.load(model)


def _predict(model: Any, content: bytes) -> list[Wanted]:
    frame = pd.read_csv(io.BytesIO(content), dtype=str)
    features = frame[["x", "y"]].apply(pd.to_numeric, errors="coerce")
    wanted: list[Wanted] = []
    for row in range(len(frame)):
        one = features.iloc[[row]].astype(float)
        if one.isna().any(axis=None):
            wanted.append(None)
            continue
        no, yes = model.predict_proba(one)[0]
        wanted.append({
            "id": frame["id"][row], "prediction": model.predict(one)[0],
            "probability_no": no, "probability_yes": yes,
        })  # fmt: skip
    return wanted


def _comparable(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("id", "prediction", "probability_no", "probability_yes"))


def _versions(output: Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in (output / "manifests").glob("*.json")}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
