"""One table from many parts, and the rule that finds the latest row of each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.client.arrays import to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import pyarrow as pa

    from batch.manifest import Column

#: The latest row of a key is the one with the greatest of these, compared in this order.
LATEST_BY = ("_as_of", "_input", "_row")


def union(tables: Sequence[pa.Table], columns: Iterable[Column]) -> pa.Table:
    """The rows of all tables under `columns`, each in one chunk; what a table lacks is null."""
    import pyarrow as pa

    found = pa.concat_tables(tables, promote_options="default") if tables else pa.table({})
    return pa.table({column.name: _contiguous(found, column) for column in columns})


def earliest_first(table: pa.Table) -> np.ndarray:
    """Row numbers sorted by `LATEST_BY`; quick where the parts come nearly sorted."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    as_of, inputs, row = (table[name].combine_chunks() for name in LATEST_BY)
    if pa.types.is_dictionary(inputs.type):
        rank = to_numpy(pc.rank(inputs.dictionary).cast("int64"))[to_numpy(inputs.indices)]
    else:  # No part at all: there was nothing to encode.
        rank = np.zeros(0, np.int64)
    return np.lexsort((to_numpy(row), rank, to_numpy(as_of.cast("int64"))))


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
    return chunks.combine_chunks()


def _type_of(column: Column) -> pa.DataType:
    import pyarrow as pa

    from batch.columns import named_type

    try:
        return named_type(column.type)
    except ValueError:  # A type without a short name; there is no value of it either.
        return pa.null()
