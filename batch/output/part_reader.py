"""Read published parts. Every reader opens them here, and only the very files that a manifest lists."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from batch.errors import BadData, Damaged
from batch.output.manifest import PartFile
from batch.records.arrays import arrow_owned, neighbours
from batch.records.columns import INPUT
from batch.store.base import Missing, Store
from batch.store.cache import Content, fetch_content, read_content
from batch.wording import command

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

#: What is compared with the manifest before a part is opened: its sha256 (through this host's cache
#: if the store is remote); the sha256 of the very bytes that are then read, in memory; or its size
#: alone, in the store itself, by readers who check the rows or need only some of them.
Check = Literal["sha256", "memory", "size"]
#: One string for each row would be most of the memory: there are few inputs.
ENCODED = (INPUT,)
#: Row groups are read together up to this many rows: a part of small inputs has hundreds of them.
_TOGETHER_ROWS = 1 << 18


@contextmanager
def open_part(
    store: Store, file: PartFile, *, check: Check, encoded: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    """Open a published part; inside the `with`, do nothing but read it.

    The columns `encoded` come dictionary-encoded. Raises `Damaged`, which names the store's URL and
    the path, for a part that is missing, cannot be read, or is not the one that was published.
    """
    import pyarrow.parquet as pq

    source = f"{store.url}/{file.path}"
    try:
        with (
            _content(store, file, check) as content,
            _unreadable_is_damaged(source),
            pq.ParquetFile(content, read_dictionary=list(encoded)) as part,
        ):
            yield part
    except (BadData, Missing, Damaged) as error:
        raise Damaged(error.message, command("verify", store.url)) from None


def read_rows(
    store: Store, file: PartFile, names: Sequence[str], *, check: Check = "sha256"
) -> pa.Table:
    """Those of the columns that the part has; `_input` comes dictionary-encoded.

    Raises `Damaged` like `open_part`.
    """
    with open_part(store, file, check=check, encoded=ENCODED) as part:
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

    with open_part(store, file, check="sha256", encoded=ENCODED) as part:
        present, tables = _present(part, names), []
        for groups in _together(part):
            mask = holds(part.read_row_groups(groups, columns=list(by)))
            if pc.any(mask, min_count=0).as_py():
                tables.append(part.read_row_groups(groups, columns=present).filter(mask))
        # Without a row there are still columns.
        return pa.concat_tables(tables) if tables else part.read_row_groups([], columns=present)


def read_batches(store: Store, file: PartFile, *, check: Check) -> Iterator[pa.RecordBatch]:
    """All rows, batch by batch. Raises `Damaged` like `open_part`.

    Unlike inside `open_part`, the caller may raise anything: it is not taken for damage of the part.
    """
    with open_part(store, file, check=check) as part:
        yield from part.iter_batches()


@contextmanager
def _content(store: Store, file: PartFile, check: Check) -> Iterator[Path | pa.NativeFile]:
    content = Content(file.path, file.sha256, file.bytes)
    match check:
        case "sha256":
            with fetch_content(store, content) as local:
                yield local
        case "memory":
            import pyarrow as pa

            # Read once: the bytes that are verified are the bytes that are used.
            yield pa.BufferReader(arrow_owned(read_content(store, content)))
        case "size":
            with store.fetch(file.path) as local:
                size = local.stat().st_size
                if size != file.bytes:
                    raise BadData(
                        f"{store.url}/{file.path}: bytes: found {size}, expected {file.bytes}"
                    )
                yield local


@contextmanager
def _unreadable_is_damaged(source: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except MemoryError:  # Arrow's own is an ArrowException too.
        raise
    except (pa.ArrowException, ValueError) as error:
        reason: Exception = error
    except OSError as error:
        # Arrow gives no number for a file that is no Parquet file. A full table of open files, or
        # a server that is away, must not make a repair throw away what is whole.
        if error.errno not in {None, errno.EIO}:
            raise
        reason = error
    else:
        return
    first_line = (str(reason).splitlines() or [type(reason).__name__])[0]
    raise Damaged(f"{source}: cannot be read: {first_line}")


def _present(part: pq.ParquetFile, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in part.schema_arrow.names]


def _together(part: pq.ParquetFile) -> Iterator[list[int]]:
    counts = [part.metadata.row_group(index).num_rows for index in range(part.num_row_groups)]
    return neighbours(range(len(counts)), size=counts.__getitem__, most=_TOGETHER_ROWS)
