"""Applications that poll an output the whole time: no version is torn, none goes back."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.client import Predictions
from tests.faults.findings import Findings

_PAUSES = (0.05, 0.4)


class Reader(threading.Thread):
    """Looks again and again, until it is stopped."""

    def __init__(self, output: Path, findings: Findings) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self.output = output
        self.findings = findings
        self.version = 0
        self.random = random.Random(f"{findings.seed}/{self.name}")
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self.random.uniform(*_PAUSES)):
                if (self.output / "manifest.json").exists():
                    started = time.monotonic()
                    trouble = self.look()
                    if trouble and not self.findings.held("damaged", started):
                        self.findings.violation(f"{self.name} at version {self.version}: {trouble}")
        except Exception:  # noqa: BLE001 - a thread that ends unseen would make a soak of nothing
            self.findings.violation(f"{self.name} broke:\n{traceback.format_exc()}")

    def look(self) -> str:
        """One look; what is wrong, if anything."""
        raise NotImplementedError

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()

    def see(self, version: int) -> str:
        """Note what is served."""
        before, self.version = self.version, version
        self.findings.count("versions that readers saw", version != before)
        return f"version {version} came after version {before}" if version < before else ""


class ClientReader(Reader):
    """An application that uses the package's own client."""

    _predictions: Predictions | None = None

    def look(self) -> str:
        if self._predictions is None:
            self._predictions = Predictions(self.output)
        found = self._predictions
        found.refresh()
        if found.last_error:
            return f"the client says: {found.last_error!r}"
        rows = found.table(all_rows=True).num_rows
        expected = sum(file.rows for file in found.manifest.files)
        if rows != expected or found.manifest.totals.predicted != rows:
            return f"the client holds {rows} rows, the manifest says {expected}"
        return self.see(found.version)


class PlainReader(Reader):
    """An application in another language: JSON, hashes and Parquet, nothing of ours."""

    def __init__(self, output: Path, findings: Findings) -> None:
        super().__init__(output, findings)
        self._whole: set[tuple[str, str]] = set()

    def look(self) -> str:
        manifest = json.loads((self.output / "manifest.json").read_bytes())
        numbered = self.output / "manifests" / f"{manifest['version']:010}.json"
        if json.loads(numbered.read_bytes()) != manifest:
            return f"manifest.json is not a copy of {numbered.name}"
        for file in (*manifest["files"], *manifest["rejects"]):
            if trouble := self._trouble(file):
                return trouble
        return self.see(manifest["version"])

    def _trouble(self, file: dict[str, Any]) -> str:
        """Parts never change: those that were whole are read again now and then only."""
        path = self.output / file["path"]
        known = (file["path"], file["sha256"]) in self._whole
        if known and self.random.random() > 0.02:
            return "" if path.stat().st_size == file["bytes"] else f"{file['path']}: another size"
        data = path.read_bytes()
        if (len(data), hashlib.sha256(data).hexdigest()) != (file["bytes"], file["sha256"]):
            return f"{file['path']} is not what the manifest says"
        if pq.read_metadata(pa.BufferReader(data)).num_rows != file["rows"]:
            return f"{file['path']}: another number of rows"
        self._whole.add((file["path"], file["sha256"]))
        return ""
