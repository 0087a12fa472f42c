"""Everything that an input decodes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch.inputs.decoding import open_decoder
from batch.job.settings import Format
from batch.records.columns import InputColumn, TextOptions

TEXT = TextOptions(delimiter=",", decimal=".", encoding="utf-8", names=None, null_values=("",))


def column(name: str, kind: Any = None, **options: Any) -> InputColumn:
    """A column that may not be null; by default of the file's own type, where it has one."""
    return InputColumn(name=name, type=kind, **{"nullable": False} | options)


class Decoded:
    """The records and rejects of a file, in its order."""

    def __init__(
        self, input_format: Format, path: Path, columns: Sequence[InputColumn], *,
        text: TextOptions = TEXT, chunk_rows: int = 1000, **size: int,
    ) -> None:  # fmt: skip
        decode = open_decoder(
            input_format, columns, key=["a"], text=text, chunk_rows=chunk_rows, **size
        )
        self.rows: list[int] = []
        self.records: list[tuple[Any, ...]] = []
        self.types: list[list[str]] = []
        self.raw: list[str] = []
        self.rejects: dict[int, str] = {}
        self.raw_rejects: dict[int, str] = {}
        self.chunks = 0
        for untyped in decode(str(path)):
            chunk = untyped()
            assert chunk.records.num_rows == len(chunk.rows) <= chunk_rows
            assert chunk.records.schema.names == [column.name for column in columns]
            self.chunks += 1
            self.records += [tuple(record.values()) for record in chunk.records.to_pylist()]
            self.types.append([str(field.type) for field in chunk.records.schema])
            self.raw += [chunk.raw(index) for index in range(len(chunk.rows))]
            numbers = [reject.row for reject in chunk.rejects]
            assert numbers == sorted(set(numbers))
            before = max([*self.rows, *self.rejects], default=-1)
            rows = chunk.rows.to_pylist()
            assert all(number > before for number in [*rows, *numbers])
            self.rows += rows
            for reject in chunk.rejects:
                self.rejects[reject.row] = f"{reject.column}: {reject.reason}"
                self.raw_rejects[reject.row] = reject.raw
