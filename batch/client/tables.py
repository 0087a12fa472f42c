"""One table from many parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.records.arrays import in_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from batch.output.manifest import Column


def union(tables: Sequence[pa.Table], columns: Iterable[Column]) -> pa.Table:
    """The rows of all tables under `columns`, each in one chunk; what a table lacks is null."""
    import pyarrow as pa

    found = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    return pa.table({column.name: _contiguous(found, column) for column in columns})


def plain(table: pa.Table) -> pa.Table:
    """The table with the types that the manifest names: nothing is dictionary-encoded."""
    import pyarrow as pa

    decoded = pa.schema(
        [
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in table.schema
        ]
    )
    return table.cast(decoded)


def _contiguous(table: pa.Table, column: Column) -> pa.Array:
    import pyarrow as pa

    if column.name not in table.column_names:
        return pa.nulls(table.num_rows, _type_of(column))
    chunks = table[column.name]
    if pa.types.is_dictionary(chunks.type):
        chunks = chunks.unify_dictionaries()
    if pa.types.is_string(chunks.type) and chunks.nbytes >= 2**31:
        chunks = chunks.cast(pa.large_string())  # One chunk of strings ends at 2 GiB.
    return in_one(chunks)


def _type_of(column: Column) -> pa.DataType:
    import pyarrow as pa

    from batch.records.columns import named_type

    try:
        return named_type(column.type)
    except ValueError:  # A type without a short name; there is no value of it either.
        return pa.null()
