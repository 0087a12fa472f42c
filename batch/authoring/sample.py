"""Inspect a sample of the input: its format, its text options, its columns."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from batch.errors import BadData, NoInput
from batch.job.settings import Format, InputSection
from batch.records.columns import PANDAS_NULLS, ColumnType, compression_of

#: How much of a sample is inspected.
SAMPLE_BYTES = 16 << 20
SAMPLE_RECORDS = 10_000

_DELIMITERS = (",", ";", "\t", "|")
#: Texts that mean null, in addition to those of pandas, if all other values are numbers.
_NULL_TEXTS = {"-", "--", "?", ".", "\\N", "(null)", "(none)", "none", "NONE", "Null", "NAN",
               "na", "N.A.", "n.a.", "missing", "unknown", "nil", "NIL"}  # fmt: skip
_WHOLE, _NUMBER = r"[+-]?\d{1,18}(\.0*)?", r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"


@dataclass(frozen=True)
class SampleColumn:
    """One column of the sample; a `type` of None means that it has no values."""

    type: ColumnType | None
    has_nulls: bool


@dataclass(frozen=True)
class Sample:
    """An inspected file of records.

    `null_texts` mean null in addition to those of pandas. `ends_whole` tells whether there is a
    final newline. `notes` tell what is a guess.
    """

    path: Path
    format: Format
    columns: Mapping[str, SampleColumn]
    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    null_texts: tuple[str, ...] = ()
    ends_whole: bool = True
    notes: tuple[str, ...] = ()

    @property
    def suffix_tells(self) -> bool:
        """Whether the suffix implies the format, so that the job file need not declare it."""
        return _format_by_suffix(self.path) == self.format


def read_sample(path: Path, *, key: Sequence[str], read: Collection[str] = ()) -> Sample:
    """Inspect a file of records.

    The delimiter is the one with which the header contains all of `key`; decimal mark and null
    texts are inferred from the columns `read` (empty: from all). Raises `NoInput`, and `BadData`
    for a file in none of the formats.
    """
    if not path.is_file():
        raise NoInput(f"{path}: no such file", "set --input to one file of records")
    try:
        match _format_by_suffix(path) or _format_by_content(path):
            case "parquet":
                return _read_parquet(path)
            case "jsonl":
                return _read_jsonl(path)
            case _:
                return _read_csv(path, key, read)
    except (OSError, csv.Error, ValueError) as error:
        # Arrow's errors are OSError or ValueError as well.
        raise BadData(f"{path}: not readable as a sample: {error}",
                      "set --input to one complete file of CSV, JSON Lines or Parquet") from None  # fmt: skip


def _format_by_suffix(path: Path) -> Format | None:
    try:
        return InputSection(path=path.name, key=("key",)).resolved_format
    except ValueError:
        return None


def _format_by_content(path: Path) -> Format:
    start = _start_of(path)[:1000].lstrip(b"\xef\xbb\xbf \r\n")
    return "parquet" if start[:4] == b"PAR1" else "jsonl" if start[:1] == b"{" else "csv"


def _start_of(path: Path) -> bytes:
    """The first bytes of a file, decompressed."""
    from batch.inputs.decoding.streams import open_bytes

    stream, blocks, remaining = open_bytes(str(path)), list[bytes](), SAMPLE_BYTES
    while remaining > 0 and (block := stream.read(remaining)):
        blocks.append(block)
        remaining -= len(block)
    return b"".join(blocks)


def _read_parquet(path: Path) -> Sample:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from batch.records.columns import type_of_arrow

    with pq.ParquetFile(path, pre_buffer=False) as file:
        schema = file.schema_arrow
        first = next(file.iter_batches(batch_size=SAMPLE_RECORDS), None)
    columns = {}
    for name in schema.names:
        values = first.column(name) if first else pa.array([])
        has_nulls = bool(pc.any(pc.is_null(values, nan_is_null=True)).as_py())
        columns[name] = SampleColumn(type_of_arrow(schema.field(name).type), has_nulls)
    return Sample(path, "parquet", columns)


def _read_jsonl(path: Path) -> Sample:
    records = []
    lines = (line for line in _start_of(path).splitlines() if line.strip())
    for line in itertools.islice(lines, SAMPLE_RECORDS):
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # It becomes a reject; or it is the last line, truncated here.
        if isinstance(record, dict):
            records.append(record)
    if not records:
        raise ValueError("no line is a JSON object")
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: _json_column([record.get(name) for record in records]) for name in names}
    return Sample(path, "jsonl", columns)


def _json_column(values: Sequence[Any]) -> SampleColumn:
    kinds = {type(value) for value in values if value is not None}
    column_type: ColumnType | None = "string"
    if not kinds:
        column_type = None
    elif kinds == {bool}:
        column_type = "bool"
    elif kinds <= {int, float}:
        whole = all(float(value).is_integer() for value in values if value is not None)
        column_type = "int64" if whole and int in kinds else "float64"
    return SampleColumn(column_type, None in values)


def _read_csv(path: Path, key: Sequence[str], read: Collection[str]) -> Sample:
    data = _start_of(path)
    is_whole = len(data) < SAMPLE_BYTES
    encoding, notes = _encoding(data, is_whole=is_whole)
    text = data.decode(encoding, errors="ignore").removeprefix("\ufeff")
    delimiter = _delimiter(text, key)
    names, *rows = itertools.islice(_records(text, delimiter), SAMPLE_RECORDS + 1)
    if not is_whole and rows:
        rows.pop()  # It may be truncated.
    whole_rows = [row for row in rows if len(row) == len(names)]
    values = {name: [row[index] for row in whole_rows] for index, name in enumerate(names)}
    inspected = [values[name] for name in names if not read or name in read]
    decimal = _decimal(inspected)
    nulls = _null_texts(inspected, decimal)
    return Sample(
        path,
        "csv",
        {name: _csv_column(texts, decimal, nulls) for name, texts in values.items()},
        delimiter=delimiter,
        decimal=decimal,
        encoding=encoding,
        null_texts=nulls,
        ends_whole=bool(compression_of(path.name)) or not is_whole or data[-1:] in b"\r\n",
        notes=notes,
    )


def _encoding(data: bytes, *, is_whole: bool) -> tuple[str, tuple[str, ...]]:
    """The encoding of text, and a note if it is a guess."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    for name in ("utf-8", "cp1252", "latin-1"):
        try:
            codecs.getincrementaldecoder(name)().decode(data, final=is_whole)
        except UnicodeDecodeError:
            continue
        note = f'encoding = "{name}" is a guess: check non-English letters'
        return name, () if name == "utf-8" else (note,)
    raise AssertionError("latin-1 decodes every byte")


def _delimiter(text: str, key: Sequence[str]) -> str:
    """The delimiter with which the header has every key column and the most names."""
    headers = {mark: next(_records(text, mark), []) for mark in _DELIMITERS}
    if not any(headers.values()):
        raise ValueError("the file is empty")
    fitting = [delimiter for delimiter in _DELIMITERS if set(key) <= set(headers[delimiter])]
    return max(fitting or _DELIMITERS, key=lambda delimiter: len(headers[delimiter]))


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return (row for row in lines if row)


def _decimal(columns: Iterable[Sequence[str]]) -> str:
    """A comma if numbers contain one and no number contains a point."""
    marks = set()
    for values in columns:
        present = [value for value in values if not _is_null(value)]
        for mark in (".", ","):
            number = _matching(_NUMBER, mark)
            if any(mark in value for value in present) and all(map(number, present)):
                marks.add(mark)
    return "," if marks == {","} else "."


def _null_texts(columns: Iterable[Sequence[str]], decimal: str) -> tuple[str, ...]:
    """Texts among numbers that are commonly used for a missing value."""
    number, texts = _matching(_NUMBER, decimal), dict[str, None]()
    for values in columns:
        others = {value for value in values if not _is_null(value) and not number(value)}
        if others and others <= _NULL_TEXTS and any(map(number, values)):
            texts |= dict.fromkeys(sorted(others))
    return tuple(texts)


def _csv_column(values: Sequence[str], decimal: str, nulls: Collection[str]) -> SampleColumn:
    present = [value for value in values if not _is_null(value) and value not in nulls]
    column_type: ColumnType | None = "string"
    if not present:
        column_type = None
    elif all(map(_matching(_WHOLE, decimal), present)):
        column_type = "int64"
    elif all(map(_matching(_NUMBER, decimal), present)):
        column_type = "float64"
    elif all(value.strip().lower() in {"true", "false"} for value in present):
        column_type = "bool"
    return SampleColumn(column_type, len(present) < len(values))


def _is_null(value: str) -> bool:
    return value in PANDAS_NULLS


def _matching(number: str, decimal: str) -> Callable[[str], re.Match[str] | None]:
    expression = re.compile(number.replace(r"\.", re.escape(decimal)))
    return lambda value: expression.fullmatch(value.strip())
