"""Options for text inputs: null texts, and the compression that a file name implies."""

from __future__ import annotations

from pathlib import Path

from batch.records.documents import Document

#: The texts pandas reads as null by default (pandas.read_csv, parameter `na_values`).
PANDAS_NULLS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip

#: In a key only the empty text is null.
KEY_NULLS = ("",)


def compression_of(path: str) -> str | None:
    """`gzip`, `zstd` or None, from the suffix."""
    return {".gz": "gzip", ".zst": "zstd"}.get(Path(path).suffix)


class TextOptions(Document, frozen=True):
    """How the text of an input is parsed; `names` None: the first line has the column names."""

    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...] | None
    null_values: tuple[str, ...]
