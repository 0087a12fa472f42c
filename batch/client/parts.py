"""Read parts: what is not the very file that the manifest names is never used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.errors import BadData
from batch.store.cache import Content, read_content

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from batch.output.manifest import PartFile
    from batch.store.base import Store

_HINT = "the file is damaged: restore it, or publish a version without it"


def read_part(store: Store, file: PartFile, *, types: Mapping[str, str]) -> pa.Table:
    """Those columns of `types` that the part has; `_input` comes dictionary-encoded.

    Raises `BadData` when size, sha256, rows or a type is not what the manifest says.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from batch.records.arrays import arrow_owned
    from batch.records.columns import type_name

    # Read once: the bytes that are verified are the bytes that are used.
    data = read_content(store, Content(file.path, file.sha256, file.bytes, _HINT))
    source = f"{store.url}/{file.path}"
    try:
        schema = pq.read_schema(pa.BufferReader(data))
        present = [name for name in schema.names if name in types]
        for name in present:
            _require(source, f"type of {name}", type_name(schema.field(name).type), types[name])
        # One string for each row would be most of the memory: there are few inputs.
        reader = pq.ParquetFile(pa.BufferReader(arrow_owned(data)), read_dictionary=["_input"])
        table = reader.read(columns=present)
    except pa.ArrowException as error:
        raise BadData(f"{source}: not a Parquet file that can be read: {error}") from None
    _require(source, "rows", table.num_rows, file.rows)
    return table


def _require(source: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BadData(f"{source}: {what}: found {found}, expected {expected}", _HINT)
