"""What a sample of the input tells: its format, how its text is written, its columns."""

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
from batch.records.columns import ColumnType
from batch.records.text import PANDAS_NULLS, compression_of

#: How much of a sample is looked at.
SAMPLE_BYTES = 16 << 20
SAMPLE_RECORDS = 10_000

_DELIMITERS = (",", ";", "\t", "|")
#: What means null besides that which pandas takes for it, where all else is a number.
_NULL_TEXTS = {"-", "--", "?", ".", "\\N", "(null)", "(none)", "none", "NONE", "Null", "NAN",
               "na", "N.A.", "n.a.", "missing", "unknown", "nil", "NIL"}  # fmt: skip
_WHOLE, _NUMBER = r"[+-]?\d{1,18}(\.0*)?", r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"


@dataclass(frozen=True)
class SampleColumn:
    """One column as the sample shows it; a `type` of None means that no value was there."""

    type: ColumnType | None
    has_nulls: bool


@dataclass(frozen=True)
class Sample:
    """One file of records, looked at.

    `null_texts` mean null besides those that pandas knows. `ends_whole` tells whether the last
    line is ended. `notes` say what is a guess.
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
        """Whether the name says the format, so that the job file need not."""
        return _format_by_suffix(self.path) == self.format


def read_sample(path: Path, *, key: Sequence[str], read: Collection[str] = ()) -> Sample:
    """Look at a file of records.

    The delimiter is the one by which the header has all of `key`; decimal mark and null texts are
    those of the columns `read` (empty: of all). Raises `NoInput`, and `BadData` for a file that
    is none of the formats.
    """
    if not path.is_file():
        raise NoInput(f"{path}: no such file", "give --input one file of records")
    try:
        match _format_by_suffix(path) or _format_by_content(path):
            case "parquet":
                return _read_parquet(path)
            case "jsonl":
                return _read_jsonl(path)
            case _:
                return _read_csv(path, key, read)
    except (OSError, csv.Error, ValueError) as error:
        # Arrow's errors are OSError or ValueError too.
        raise BadData(f"{path}: not readable as a sample: {error}",
                      "give --input one whole file of CSV, JSON lines or Parquet") from None  # fmt: skip


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

    stream, blocks, left = open_bytes(str(path)), list[bytes](), SAMPLE_BYTES
    while left > 0 and (block := stream.read(left)):
        blocks.append(block)
        left -= len(block)
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
            continue  # It becomes a reject; the last line may only be cut.
        if isinstance(record, dict):
            records.append(record)
    if not records:
        raise ValueError("no line of it is a JSON object")
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: _json_column([record.get(name) for record in records]) for name in names}
    return Sample(path, "jsonl", columns)


def _json_column(values: Sequence[Any]) -> SampleColumn:
    kinds = {type(value) for value in values if value is not None}
    found: ColumnType | None = "string"
    if not kinds:
        found = None
    elif kinds == {bool}:
        found = "bool"
    elif kinds <= {int, float}:
        whole = all(float(value).is_integer() for value in values if value is not None)
        found = "int64" if whole and int in kinds else "float64"
    return SampleColumn(found, None in values)


def _read_csv(path: Path, key: Sequence[str], read: Collection[str]) -> Sample:
    data = _start_of(path)
    is_whole = len(data) < SAMPLE_BYTES
    encoding, notes = _encoding(data, is_whole=is_whole)
    text = data.decode(encoding, errors="ignore").removeprefix("\ufeff")
    delimiter = _delimiter(text, key)
    names, *rows = itertools.islice(_records(text, delimiter), SAMPLE_RECORDS + 1)
    if not is_whole and rows:
        rows.pop()  # It may be cut.
    whole_rows = [row for row in rows if len(row) == len(names)]
    values = {name: [row[index] for row in whole_rows] for index, name in enumerate(names)}
    looked_at = [values[name] for name in names if not read or name in read]
    decimal = _decimal(looked_at)
    nulls = _null_texts(looked_at, decimal)
    return Sample(
        path,
        "csv",
        {name: _csv_column(found, decimal, nulls) for name, found in values.items()},
        delimiter=delimiter,
        decimal=decimal,
        encoding=encoding,
        null_texts=nulls,
        ends_whole=bool(compression_of(path.name)) or not is_whole or data[-1:] in b"\r\n",
        notes=notes,
    )


def _encoding(data: bytes, *, is_whole: bool) -> tuple[str, tuple[str, ...]]:
    """The encoding of text, and a note where it is a guess."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    for name in ("utf-8", "cp1252", "latin-1"):
        try:
            codecs.getincrementaldecoder(name)().decode(data, final=is_whole)
        except UnicodeDecodeError:
            continue
        note = f'encoding = "{name}" is a guess: look at letters that are not English'
        return name, () if name == "utf-8" else (note,)
    raise AssertionError("every byte is a letter of latin-1")


def _delimiter(text: str, key: Sequence[str]) -> str:
    """The delimiter by which the header has every key column and the most names."""
    headers = {mark: next(_records(text, mark), []) for mark in _DELIMITERS}
    if not any(headers.values()):
        raise ValueError("it is empty, so it names no columns")
    fitting = [delimiter for delimiter in _DELIMITERS if set(key) <= set(headers[delimiter])]
    return max(fitting or _DELIMITERS, key=lambda delimiter: len(headers[delimiter]))


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return (row for row in lines if row)


def _decimal(columns: Iterable[Sequence[str]]) -> str:
    """A comma where numbers have one and no number has a point."""
    marks = set()
    for values in columns:
        present = [value for value in values if not _is_null(value)]
        for mark in (".", ","):
            number = _matching(_NUMBER, mark)
            if any(mark in value for value in present) and all(map(number, present)):
                marks.add(mark)
    return "," if marks == {","} else "."


def _null_texts(columns: Iterable[Sequence[str]], decimal: str) -> tuple[str, ...]:
    """Texts that stand between numbers and, as far as one knows, mean that there is none."""
    number, found = _matching(_NUMBER, decimal), dict[str, None]()
    for values in columns:
        others = {value for value in values if not _is_null(value) and not number(value)}
        if others and others <= _NULL_TEXTS and any(map(number, values)):
            found |= dict.fromkeys(sorted(others))
    return tuple(found)


def _csv_column(values: Sequence[str], decimal: str, nulls: Collection[str]) -> SampleColumn:
    present = [value for value in values if not _is_null(value) and value not in nulls]
    found: ColumnType | None = "string"
    if not present:
        found = None
    elif all(map(_matching(_WHOLE, decimal), present)):
        found = "int64"
    elif all(map(_matching(_NUMBER, decimal), present)):
        found = "float64"
    elif all(value.strip().lower() in {"true", "false"} for value in present):
        found = "bool"
    return SampleColumn(found, len(present) < len(values))


def _is_null(value: str) -> bool:
    return value in PANDAS_NULLS


def _matching(number: str, decimal: str) -> Callable[[str], re.Match[str] | None]:
    expression = re.compile(number.replace(r"\.", re.escape(decimal)))
    return lambda value: expression.fullmatch(value.strip())
