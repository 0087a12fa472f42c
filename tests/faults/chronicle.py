"""Judges every version an output ever had, and the newest one row by row. Imports nothing of ours."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.faults.producers import Producer
from tests.support.contents import Content, Predictions, predict

Entry = dict[str, Any]
_PLACE = ["_input", "_row"]
#: These go back, or let go of inputs, on purpose.
_BACKWARD = {"rollback", "repair"}


class Chronicle:
    """What was published, compared with what the producer wrote. Raises `AssertionError`.

    Whole files are read once: parts and ledger segments never change.
    """

    def __init__(self, output: Path, producer: Producer) -> None:
        self.version = 0
        self.ledger: dict[str, Entry] = {}
        self.predicted = 0
        self.kinds: Counter[str] = Counter()
        self._output = output
        self._producer = producer
        self._models: dict[str, Any] = {}
        self._contained: dict[str, dict[str, int]] = {}
        self._segments: dict[str, list[Entry]] = {}
        self._settled: dict[str, Entry] = {}
        self._before: dict[int, dict[str, Any]] = {}

    def read_on(self) -> None:
        """Judge each version that came since the last call, by itself and against the one before."""
        while (path := self._path(self.version + 1)).exists():
            manifest = json.loads(path.read_bytes())
            assert manifest["version"] == self.version + 1, path.name
            assert manifest["parent"] == (self.version or None), path.name
            ledger = self._read_ledger(manifest)
            self._judge_version(manifest, ledger)
            self._judge_pause(manifest)
            if manifest["kind"] in _BACKWARD:
                self._settled = {}
            else:
                self._judge_step(manifest["version"], ledger)
            self.version, self.ledger = manifest["version"], ledger
            self._before[self.version] = manifest
            self.predicted += manifest["added"]["predicted"]
            self.kinds[manifest["kind"]] += 1
        beyond = [name.name for name in (self._output / "manifests").glob("*.json")]
        assert max(beyond, default=path.name) < path.name, f"there is no {path.name}: {max(beyond)}"

    def judge_inputs(self) -> None:
        """After runs that nobody disturbed: what lies there is taken in, the rest stays as it was.

        An input that is absent, unreadable or half-written keeps the rows that it had.
        """
        present, touched = self._producer.present, self._producer.touched
        for path, content in present.items():
            if content.form == "whole":
                assert path in self.ledger, f"{path} was never taken in"
                found = self.ledger[path]["digest"]
                assert found == content.digest(), f"{path}: its present content was not taken in"
        for path, entry in self._settled.items():
            if path not in touched:
                kept = self.ledger.get(path, {}).get("digest")
                assert kept == entry["digest"], f"{path}: nobody touched it, and its rows changed"
        self._settled = dict(self.ledger)
        touched.clear()

    def judge_rows(self) -> int:
        """Every record of the newest version, against the plain model; how many rows there are."""
        manifest = json.loads(self._path(self.version).read_bytes())
        rows, rejects = (self._rows(manifest, kind) for kind in ("files", "rejects"))
        models = {file["path"]: file["model_sha256"] for file in manifest["files"]}
        for path, entry in self.ledger.items():
            content = self._producer.known[path, entry["digest"]]
            _judge_rejects(path, content, rejects.pop(path, None))
            model = self._model(models[entry["parts"][0]]) if entry["parts"] else None
            _judge_predictions(path, predict(content, model), rows.pop(path, None))
        assert not rows, f"rows of {sorted(rows)}, which were never taken in"
        assert not rejects, f"rejects of {sorted(rejects)}, which were never taken in"
        return sum(file["rows"] for file in manifest["files"])

    def _path(self, version: int) -> Path:
        return self._output / "manifests" / f"{version:010}.json"

    def _read(self, file: Mapping[str, Any]) -> pa.Table:
        data = (self._output / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"], f"{file['path']}: damaged"
        return pq.read_table(pa.BufferReader(data))

    def _read_ledger(self, manifest: Mapping[str, Any]) -> dict[str, Entry]:
        """The last entry of every path, each checked when its segment is first seen."""
        ledger: dict[str, Entry] = {}
        for segment in manifest["ledger"]:
            if segment["path"] not in self._segments:
                entries = self._read(segment).to_pylist()
                assert len(entries) == segment["inputs"], segment["path"]
                for entry in entries:
                    self._judge_entry(manifest["version"], entry)
                self._segments[segment["path"]] = entries
            ledger |= {entry["path"]: entry for entry in self._segments[segment["path"]]}
        return ledger

    def _judge_entry(self, version: int, entry: Entry) -> None:
        """Whether it tells of a content that lay there whole."""
        place = (entry["path"], entry["digest"])
        where = f"version {version}: {entry['path']}"
        assert place in self._producer.known, f"{where}: taken in with a content it never had"
        assert place not in self._producer.torn, f"{where}: taken in while it was being written"
        content = self._producer.known[place]
        assert content.form == "whole", f"{where}: {content.form}, and taken in"
        counts = [entry[name] for name in ("records", "predicted", "rejected")]
        bad = len(content.bad)
        assert counts == [content.rows, content.rows - bad, bad], f"{where}: counts {counts}"

    def _judge_version(self, manifest: Mapping[str, Any], ledger: Mapping[str, Entry]) -> None:
        """Every part holds what the ledger says, no input is in it twice, none is missing."""
        for kind, parts, counted in (
            ("files", "parts", "predicted"), ("rejects", "rejects", "rejected")
        ):  # fmt: skip
            found: Counter[str] = Counter()
            where: dict[str, set[str]] = {}
            for file in manifest[kind]:
                assert (self._output / file["path"]).stat().st_size == file["bytes"], file["path"]
                for path, rows in self._inputs_in(file).items():
                    found[path] += rows
                    where.setdefault(path, set()).add(file["path"])
            for path, entry in ledger.items():
                said = f"version {manifest['version']}: {path}: {kind}"
                assert found.pop(path, 0) == entry[counted], f"{said}: another number of rows"
                assert where.get(path, set()) == set(entry[parts]), f"{said}: in {where.get(path)}"
            assert not found, f"version {manifest['version']}: {kind} of {sorted(found)}"
        for name in ("records", "predicted", "rejected"):
            total = sum(entry[name] for entry in ledger.values())
            assert manifest["totals"][name] == total, f"version {manifest['version']}: {name}"

    def _judge_pause(self, manifest: Mapping[str, Any]) -> None:
        """Only what a person decides follows a rollback, and a rollback holds an earlier version."""
        said = f"version {manifest['version']}"
        before = self._before.get(self.version)
        if before and before["paused"]:
            assert manifest["kind"] not in {"run", "window"}, f"{said}: published while paused"
        if manifest["kind"] == "rollback":
            same = [found["files"] == manifest["files"] for found in self._before.values()]
            assert any(same), f"{said}: no earlier version held the same"
        assert (manifest["kind"] == "rollback") <= bool(manifest["paused"]), f"{said}: not paused"
        if manifest["kind"] == "unpause":
            assert before is not None, said
            assert not manifest["paused"], f"{said}: still paused"
            assert manifest["files"] == before["files"], f"{said}: holds something else"

    def _judge_step(self, version: int, ledger: Mapping[str, Entry]) -> None:
        """No input leaves, and none goes back to a content that it had before."""
        lost = self.ledger.keys() - ledger.keys()
        assert not lost, f"version {version} lost {sorted(lost)}"
        for path, entry in self.ledger.items():
            before, after = (
                self._producer.moments[path, found["digest"]] for found in (entry, ledger[path])
            )
            goes_on = min(before) <= max(after)
            assert goes_on, f"version {version}: {path} went back to an earlier content"

    def _inputs_in(self, file: Mapping[str, Any]) -> dict[str, int]:
        """How many rows of each input a part holds."""
        if file["path"] not in self._contained:
            table = self._read(file)
            assert table.num_rows == file["rows"], file["path"]
            distinct = table.group_by(_PLACE).aggregate([]).num_rows
            assert distinct == table.num_rows, f"{file['path']}: a record is in it twice"
            counts = table["_input"].value_counts().to_pylist()
            self._contained[file["path"]] = {pair["values"]: pair["counts"] for pair in counts}
        return self._contained[file["path"]]

    def _rows(self, manifest: Mapping[str, Any], kind: str) -> dict[str, pa.Table]:
        """The rows of each input, in their order."""
        tables = [self._read(file) for file in manifest[kind]]
        if not tables:
            return {}
        table = pa.concat_tables(tables, promote_options="default").combine_chunks()
        table = table.sort_by([(name, "ascending") for name in _PLACE])
        ends = pc.run_end_encode(table["_input"].combine_chunks())
        starts = [0, *ends.run_ends.to_pylist()]
        return {
            path: table.slice(start, end - start)
            for path, start, end in zip(ends.values.to_pylist(), starts, starts[1:], strict=False)
        }

    def _model(self, sha256: str) -> Any:
        """The model that a part names, from the copy in the output."""
        if sha256 not in self._models:
            path = self._output / "models" / sha256 / "model.joblib"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
            self._models[sha256] = joblib.load(path)
        return self._models[sha256]


def _judge_predictions(path: str, expected: Predictions, rows: pa.Table | None) -> None:
    if rows is None:
        assert not expected.ids, f"{path}: its rows are missing"
        return
    assert rows["_row"].to_pylist() == expected.rows.tolist(), f"{path}: other records"
    assert rows["id"].to_pylist() == expected.ids, f"{path}: other keys"
    assert rows["prediction"].to_pylist() == expected.labels, f"{path}: other predictions"
    found = np.column_stack([rows["probability_no"], rows["probability_yes"]])
    close = np.allclose(found, expected.probabilities, rtol=1e-12, atol=0)
    assert close, f"{path}: other probabilities"


def _judge_rejects(path: str, content: Content, rejects: pa.Table | None) -> None:
    found = rejects["_row"].to_pylist() if rejects is not None else []
    assert found == list(content.bad), f"{path}: rejected {found}, expected {content.bad}"
