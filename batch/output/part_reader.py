"""Read rows of published parts: only of the very files that the manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batch.errors import BadData, Damaged
from batch.output.manifest import PartFile
from batch.records.columns import INPUT
from batch.records.groups import neighbours
from batch.store.base import Missing, Store
from batch.store.cache import Content, fetch_content

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Row groups are read together up to so many rows: a part of small inputs has hundreds of them.
_TOGETHER_ROWS = 1 << 18


def read_rows(store: Store, file: PartFile, names: Sequence[str]) -> pa.Table:
    """Those of the columns that the part has; `_input` comes dictionary-encoded.

    Raises `Damaged` for a part that is missing, or not the one that was published.
    """
    with _opened(store, file) as part:
        return part.read(columns=_present(part, names))


def read_rows_where(
    store: Store,
    file: PartFile,
    names: Sequence[str],
    *,
    by: Sequence[str],
    holds: Callable[[pa.Table], pa.ChunkedArray],
) -> pa.Table:
    """The rows for which `holds` is true of the columns `by`, which are read before all others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with _opened(store, file) as part:
        present, found = _present(part, names), []
        for groups in _together(part):
            mask = holds(part.read_row_groups(groups, columns=list(by)))
            if pc.any(mask, min_count=0).as_py():
                found.append(part.read_row_groups(groups, columns=present).filter(mask))
        # Without a row there are still columns.
        return pa.concat_tables(found) if found else part.read_row_groups([], columns=present)


@contextmanager
def _opened(store: Store, file: PartFile) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            fetch_content(store, Content(file.path, file.sha256, file.bytes)) as local,
            # One string for each row would be most of the memory: there are few inputs.
            pq.ParquetFile(local, read_dictionary=[INPUT]) as part,
        ):
            yield part
    except (BadData, Missing) as error:
        raise Damaged(error.message, "restore the file; nothing else is lost") from None
    except pa.ArrowException as error:
        raise Damaged(
            f"{store.url}/{file.path}: cannot be read: {error}",
            "restore the file; nothing else is lost",
        ) from None


def _present(part: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in part.schema_arrow.names]


def _together(part: pq.ParquetFile) -> Iterator[list[int]]:
    counts = [part.metadata.row_group(index).num_rows for index in range(part.num_row_groups)]
    return neighbours(range(len(counts)), size=counts.__getitem__, most=_TOGETHER_ROWS)
