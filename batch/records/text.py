"""How text becomes values: which texts are null, and what a file's name says of its compression."""

from __future__ import annotations

from pathlib import Path

from batch.records.documents import Document

#: What pandas reads as null unless told otherwise (pandas.read_csv, parameter `na_values`).
PANDAS_NULLS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


KEY_NULLS = ("",)


def compression_of(path: str) -> str | None:
    """`gzip`, `zstd` or None, from the suffix."""
    return {".gz": "gzip", ".zst": "zstd"}.get(Path(path).suffix)


class TextOptions(Document, frozen=True):
    """How the text of an input becomes values; `names` None: the first line names the columns."""

    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...] | None
    null_values: tuple[str, ...]
