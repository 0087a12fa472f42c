"""What a producer writes into an input, and what a run has to make of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
import xxhash

#: Above planning.SMALL_BYTES: an input with so many blank lines gets a slice of its own.
PADDING_BYTES = (4 << 20) + 1

Form = Literal["whole", "unreadable", "half"]


@dataclass(frozen=True)
class Content:
    """The bytes of one input; everything about them follows from these few values.

    `bad` numbers the records that must be rejected. An `unreadable` content is refused as a
    whole; a `half` one lacks its final newline, so it has to wait.
    """

    origin: str
    serial: int
    rows: int
    bad: tuple[int, ...] = ()
    padding: int = 0
    form: Form = "whole"

    def data(self) -> bytes:
        """The file."""
        lines = ["id,x" if self._lacks_a_column else "id,x,y"]
        for row, (x, y) in enumerate(_features(self.serial, self.rows).tolist()):
            lines.append(self._line(row, x, y))
        if self.form == "unreadable" and not self._lacks_a_column:
            lines.append(f'"{self.origin}:never closed,1,2')
        text = "".join(f"{line}\n" for line in lines) + "\n" * self.padding
        return text[:-2].encode() if self.form == "half" else text.encode()

    def digest(self) -> str:
        """As the ledger names this content."""
        return digest(self.data())

    def first(self, rows: int) -> Content:
        """What lies in the file while it is being written."""
        bad = tuple(row for row in self.bad if row < rows)
        return dataclasses.replace(self, rows=rows, bad=bad, padding=0, form="whole")

    @property
    def _lacks_a_column(self) -> bool:
        return self.form == "unreadable" and self.serial % 2 == 0

    def _line(self, row: int, x: float, y: float) -> str:
        name = f"{self.origin}:{self.serial}:{row}"
        if self._lacks_a_column:
            return f"{name},{x!r}"
        if row not in self.bad:
            return f"{name},{x!r},{y!r}"
        return f"{name},{x!r}" if row % 2 else f"{name},many,{y!r}"


@dataclass(frozen=True)
class Predictions:
    """What the plain model says of the good records of a content, in their order."""

    rows: np.ndarray[Any, Any]
    ids: list[str]
    labels: list[str]
    probabilities: np.ndarray[Any, Any]


@lru_cache(maxsize=2_000)
def predict(content: Content, model: Any) -> Predictions:
    """Ask the model at once for all good records of a content; without records it needs none."""
    rows = np.setdiff1d(np.arange(content.rows), content.bad)
    ids = [f"{content.origin}:{content.serial}:{row}" for row in rows]
    if not ids:
        return Predictions(rows, [], [], np.empty((0, 2)))
    frame = pd.DataFrame(_features(content.serial, content.rows)[rows], columns=["x", "y"])
    return Predictions(rows, ids, list(model.predict(frame)), model.predict_proba(frame))


def digest(data: bytes) -> str:
    """A digest as the ledger has it."""
    return xxhash.xxh3_128_hexdigest(data)


def _features(serial: int, rows: int) -> np.ndarray[Any, Any]:
    # Row by row from one stream: the first rows are the same however many follow.
    return np.random.default_rng(serial).normal(1.5, 2.0, (rows, 2))
