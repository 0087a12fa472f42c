"""What is counted of a slice: each of its inputs while it is read, and the rows of its part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from batch.errors import BatchError
from batch.job.settings import InputSection
from batch.model.recipe import Recipe
from batch.output.part_writer import REJECT_SCHEMA
from batch.output.plan import InputResult, PlannedInput
from batch.records.chunk import RAW_CHARACTERS, Chunk, Reject, UnreadableInput
from batch.records.columns import AS_OF, INPUT, OUR_COLUMNS, ROW
from batch.records.histogram import Histogram, empty_histogram, fill
from batch.store.base import Changed, Missing, Source
from batch.store.files import digest_file
from batch.wording import counted


class Resent(BatchError):
    """The content, of this digest, is the one that was taken in before."""

    def __init__(self, digest: str) -> None:
        super().__init__("sent again with the same content")
        self.digest = digest

    def __reduce__(self) -> tuple[type[Resent], tuple[str]]:
        return type(self), (self.digest,)


class Moved(BatchError):
    """The input is gone, or another one than was planned."""


#: What can become of an input besides being taken in.
LEFT_OUT = (Resent, Moved, UnreadableInput)


@dataclass
class Tally:
    """One input while it is read: what was found so far."""

    planned: PlannedInput
    digest: str = ""
    records: int = 0
    rejected: int = 0
    first: Reject | None = None
    rejects: list[Reject] = field(default_factory=list)
    unreadable: str = ""

    def take(self, chunk: Chunk) -> None:
        """Count the records of a chunk."""
        self.records += chunk.records.num_rows + len(chunk.rejects)
        self.reject(*chunk.rejects)

    def reject(self, *rejects: Reject) -> None:
        """Keep rejects until they are written; they are counted for good."""
        self.rejects.extend(rejects)
        self.rejected += len(rejects)
        earliest = [reject for reject in (self.first, *rejects) if reject]
        self.first = min(earliest, key=lambda reject: reject.row, default=None)

    def take_rejects(self) -> pa.Table:
        """The rejects kept so far, as rows to write; they are not kept any longer."""
        table = reject_table(self.rejects, self.planned)
        self.rejects.clear()
        return table

    def verdict(self, settings: InputSection) -> str:
        """Why the input counts as unreadable, "" if it does not."""
        allowed = settings.rejects_allowed(self.records)
        if self.first is None or (self.rejected <= allowed and self.rejected < self.records):
            return ""
        return (
            f"{self.rejected:,} of {counted(self.records, 'record')} rejected (limit: {allowed:,}); "
            f"first: {self.first}"
        )


@dataclass(frozen=True)
class Piece:
    """Records of one input that wait for the model."""

    tally: Tally
    chunk: Chunk

    @property
    def rows(self) -> int:
        return int(self.chunk.records.num_rows)

    @property
    def schema(self) -> pa.Schema:
        return self.chunk.records.schema


class PredictedRows:
    """The rows of a part so far.

    `by_input` counts them by the path of their input, `nulls` those with a null among the
    predictions; `histogram` is None for predictions that have none.
    """

    def __init__(self, recipe: Recipe, reference: Histogram | None) -> None:
        self.by_input: Counter[str] = Counter()
        self.nulls = 0
        self.histogram: Histogram | None = None
        self._reference = reference
        self._carried = {*recipe.key, *recipe.passthrough, *OUR_COLUMNS}

    def add(self, rows: pa.Table) -> None:
        """Count rows of the part in."""
        for pair in rows[INPUT].value_counts().to_pylist():
            self.by_input[pair["values"]] += pair["counts"]
        names = [name for name in rows.column_names if name not in self._carried]
        for batch in rows.select(names).to_batches():
            self.nulls += _rows_with_nulls(batch)
            histogram = self.histogram or empty_histogram(self._reference, batch)
            self.histogram = histogram and fill(histogram, batch)


def left_out(planned: PlannedInput, error: BatchError) -> InputResult:
    """The result of an input that one of `LEFT_OUT` kept out of the part."""
    if isinstance(error, Resent):
        return InputResult(path=planned.path, outcome="resent", digest=error.digest)
    if isinstance(error, UnreadableInput):
        return InputResult(path=planned.path, outcome="unreadable", reason=error.message)
    return InputResult(path=planned.path, outcome="changed", reason=error.message)


def note_failure(pieces: Iterable[Piece], position: int, reason: str) -> None:
    """Make a reject of the record at a position of these pieces together."""
    for piece in pieces:
        rows = piece.chunk.records.num_rows
        if position < rows:
            raw = piece.chunk.raw(position)
            row = piece.chunk.rows[position].as_py()
            piece.tally.reject(Reject(row, "", reason, raw))
            return
        position -= rows


@contextmanager
def opened(tally: Tally, inputs: Source) -> Iterator[Path]:
    """A local path to read the input from, inside the `with`; the tally gets its digest.

    Raises `Resent` before it is read, and `Moved` when another content, or none, is there before
    or after: that is the reason then, also where it was found to be unreadable.
    """
    planned = tally.planned
    failure: UnreadableInput | None = None
    try:
        with inputs.fetch(planned.path, token=planned.token, size=planned.size) as local:
            tally.digest = _digest(local)
            if tally.digest == planned.seen_digest:
                raise Resent(tally.digest)
            try:
                yield local
            except UnreadableInput as error:
                failure = error
    except (Missing, Changed) as error:
        raise Moved(error.message) from None
    if failure:
        raise failure


def reject_table(rejects: Sequence[Reject], planned: PlannedInput) -> pa.Table:
    """The rejects of an input, by record number; long raw records are cut."""
    return pa.Table.from_pylist(
        [
            {
                INPUT: planned.path,
                ROW: reject.row,
                AS_OF: planned.as_of,
                "column": reject.column,
                "reason": reject.reason,
                "raw": reject.raw[:RAW_CHARACTERS],
            }
            for reject in sorted(rejects, key=lambda reject: reject.row)
        ],
        schema=REJECT_SCHEMA,
    )


def _digest(local: Path) -> str:
    try:
        return digest_file(local)
    except OSError as error:
        raise UnreadableInput(f"cannot be read: {error.strerror or error}") from None


def _rows_with_nulls(batch: pa.RecordBatch) -> int:
    found = None
    for column in batch.columns:
        if column.null_count:
            nulls = pc.is_null(column)
            found = nulls if found is None else pc.or_(found, nulls)
    return found.true_count if found is not None else 0
