"""Read one part into memory, with the columns and types of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.errors import Damaged
from batch.output.part_reader import ENCODED, open_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from batch.output.manifest import PartFile
    from batch.store.base import Store


def read_part(store: Store, file: PartFile, *, types: Mapping[str, str]) -> pa.Table:
    """Those columns of `types` that the part has; `_input` comes dictionary-encoded.

    Raises `Damaged` when size, sha256, rows or a type is not the manifest's.
    """
    from batch.records.columns import type_name

    source = f"{store.url}/{file.path}"
    with open_part(store, file, check="memory", encoded=ENCODED) as part:
        schema = part.schema.to_arrow_schema()  # Here nothing is encoded.
        present = [name for name in schema.names if name in types]
        for name in present:
            _require(source, f"type of {name}", type_name(schema.field(name).type), types[name])
        table = part.read(columns=present)
        _require(source, "rows", table.num_rows, file.rows)
        return table


def _require(source: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Damaged(f"{source}: {what}: found {found}, expected {expected}")
