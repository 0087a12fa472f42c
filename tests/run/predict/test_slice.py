"""One slice becomes one part: every record once, or the input left out whole."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from batch.errors import DoesNotFit
from batch.inputs.decoding import open_decoder
from batch.job.settings import InputSection
from batch.model.frames import describe_columns, to_batch
from batch.model.recipe import Recipe
from batch.model.score import Scorer
from batch.output.part_writer import REJECT_SCHEMA
from batch.output.plan import InputResult, PlannedInput, Receipt, Slice
from batch.records.chunk import Decoder, UnreadableInput, Untyped
from batch.records.columns import InputColumn, TextOptions
from batch.records.documents import decode
from batch.records.histogram import reference_histogram
from batch.run.predict.batches import Batching, Score
from batch.run.predict.predictor import Predictor, Reader
from batch.run.predict.slice import predict_slice
from batch.run.predict.threads import Lanes
from batch.store import open_store
from batch.store.files import digest_file

DAY = datetime(2013, 12, 1, tzinfo=UTC)
TRAINING = pd.DataFrame({"carrier": ["AA", "UA"] * 5, "x": np.arange(10.0)})
TEXT = TextOptions(delimiter=",", decimal=".", encoding="utf-8", names=None, null_values=("",))
KEY, CARRIED = ("id",), ("carrier", "note")


@functools.cache
def scorer() -> Scorer:
    """A model that raises on carriers it does not know."""
    columns = ColumnTransformer(
        [("carrier", OneHotEncoder(), ["carrier"])], remainder="passthrough"
    )
    model = make_pipeline(columns, LinearRegression()).fit(TRAINING, TRAINING.x**2)
    raw = describe_columns(TRAINING)
    found = Scorer(model, raw, ("carrier", "x"), ("predict",))
    reference = reference_histogram(found.score(to_batch(TRAINING, raw)))
    return dataclasses.replace(found, reference=reference)


def expected(carrier: str, x: float) -> float:
    """What the model itself says."""
    frame = pd.DataFrame({"carrier": [carrier], "x": [x]})
    return float(scorer().estimator.predict(frame)[0])


class Bench:
    """An input folder, an output folder, and what it takes to predict slices."""

    def __init__(self, folder: Path, kind: Any = "csv", **options: Any) -> None:
        self.folder = folder
        self.kind = kind
        self.inputs, self.output = (open_store(str(folder / name)) for name in ("in", "out"))
        self.asked: list[int] = []
        self.told: list[int] = []
        chunk_rows = options.pop("chunk_rows", 100)
        settings = {"path": f"*.{kind}", "key": KEY, "max_rejected": 10} | options
        columns = (
            InputColumn(name="id", type="string", nullable=False),
            InputColumn(name="note", type="string", nullable=True),
            *scorer().columns,
        )
        recipe = Recipe(
            program="0", model_sha256="m" * 64, key=KEY, passthrough=CARRIED, columns=columns,
            inputs=("carrier", "x"), features=("carrier", "x"), methods=("predict",),
            preprocess=None, postprocess=None, code={}, text=TEXT,
        )  # fmt: skip
        decode = open_decoder(kind, columns, key=KEY, text=TEXT, chunk_rows=chunk_rows)
        self.predictor = Predictor(
            run_id="run",
            recipe=recipe,
            reader=Reader(self.inputs, decode, InputSection(**settings)),
            batching=Batching(
                self.score, ("carrier", "x"), (*KEY, *CARRIED), chunk_rows=chunk_rows,
                reference=scorer().reference,
            ),
            output=self.output,
            tell=self.told.append,
        )  # fmt: skip

    def scoring(self, score: Score) -> Predictor:
        """The predictor, with another model."""
        batching = dataclasses.replace(self.predictor.batching, score=score)
        return dataclasses.replace(self.predictor, batching=batching)

    def decoding(self, decode: Decoder) -> Predictor:
        """The predictor, with another decoder."""
        reader = dataclasses.replace(self.predictor.reader, decode=decode)
        return dataclasses.replace(self.predictor, reader=reader)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Ask the model, and remember for how many rows."""
        assert batch.num_rows
        self.asked.append(batch.num_rows)
        return scorer().score(batch)

    def write(self, name: str, records: list[Any]) -> None:
        """Write an input: records are (id, carrier, x, note), or raw lines of text."""
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ("id", "carrier", "x", "note")
        rows = [
            dict(zip(names, record, strict=True))
            for record in records
            if not isinstance(record, str)
        ]
        match self.kind:
            case "parquet":
                schema = [
                    ("id", "string"),
                    ("carrier", "string"),
                    ("x", "float64"),
                    ("note", "string"),
                ]
                pq.write_table(
                    pa.Table.from_pylist(rows, pa.schema(schema)), path, row_group_size=3
                )
            case "jsonl":
                lines = iter(map(json.dumps, rows))
                path.write_text("".join((record if isinstance(record, str) else next(lines)) + "\n"
                                        for record in records))  # fmt: skip
            case _:
                lines = (",".join("" if value is None else str(value) for value in row.values())
                         for row in rows)  # fmt: skip
                body = (record if isinstance(record, str) else next(lines) for record in records)
                path.write_text("\n".join([",".join(names), *body, ""]))

    def slice(self, *names: str, number: int = 0, **seen: str | None) -> Slice:
        """These inputs as a plan found them; `seen` are digests by stem."""
        found = {entry.path: entry for entry in self.inputs.list().entries}
        planned = tuple(
            PlannedInput(
                path=name, size=found[name].size, token=found[name].token,
                as_of=DAY + timedelta(days=index), reason="new",
                seen_digest=seen.get(Path(name).stem),
            )
            for index, name in enumerate(names)
        )  # fmt: skip
        return Slice(number=number, inputs=planned, receipt=f"pending/run/{number:05d}.json")

    def predict(self, *names: str, **options: Any) -> Receipt:
        """Predict inputs together; what the store holds afterwards must be what is named."""
        piece = self.slice(*names, **options)
        receipt = predict_slice(piece, self.predictor)
        blob = self.output.read(piece.receipt)
        assert blob is not None
        assert decode(blob.data, Receipt, source="receipt") == receipt
        self.judge(receipt)
        return receipt

    def judge(self, receipt: Receipt) -> None:
        """Every record of what was taken in is a row or a reject, and nothing else is there."""
        rows, rejects = self.rows(receipt), self.rejects(receipt)
        files = {file.path for file in (receipt.part, receipt.rejects) if file}
        stored = {entry.path for entry in self.output.list().entries}
        assert files <= stored
        assert {path for path in stored if path.split("/")[0] in {"data", "rejects"}} == files
        for result in receipt.results:
            numbers = [row["_row"] for row in rows if row["_input"] == result.path]
            rejected = [row["_row"] for row in rejects if row["_input"] == result.path]
            assert (len(numbers), len(rejected)) == (result.predicted, result.rejected)
            assert sorted(numbers + rejected) == list(range(result.records))
            assert numbers == sorted(numbers)
            assert rejected == sorted(rejected)
            assert result.outcome == "taken" or result.records == 0
        if receipt.histogram:
            assert sum(receipt.histogram.counts) == len(rows)
        moments = {planned.path: planned.as_of for planned in receipt.slice.inputs}
        for file, found in ((receipt.part, rows), (receipt.rejects, rejects)):
            if file:
                inputs = {row["_input"] for row in found}
                ages = [moments[name] for name in inputs]
                assert (file.rows, file.inputs) == (len(found), len(inputs))
                assert file.as_of == (min(ages), max(ages))
                assert all(row["_as_of"] == moments[row["_input"]] for row in found)

    def rows(self, receipt: Receipt) -> list[dict[str, Any]]:
        """The rows of the part."""
        return self.read(receipt.part.path) if receipt.part else []

    def rejects(self, receipt: Receipt) -> list[dict[str, Any]]:
        """The rejects."""
        return self.read(receipt.rejects.path) if receipt.rejects else []

    def read(self, path: str) -> list[dict[str, Any]]:
        """The rows of a file of the output."""
        rows: list[dict[str, Any]] = pq.read_table(self.folder / "out" / path).to_pylist()
        return rows

    def stored(self) -> list[str]:
        """The names in the output."""
        return [entry.path for entry in self.output.list().entries]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """CSV inputs, chunks of a hundred rows, ten rejects allowed."""
    return Bench(tmp_path)


def outcomes(receipt: Receipt) -> dict[str, str]:
    """What became of each input."""
    return {result.path: result.outcome for result in receipt.results}


def good(count: int, first: int = 0) -> list[Any]:
    """Records that fit."""
    return [
        (f"k{row}", "AA" if row % 2 else "UA", row / 4, None) for row in range(first, first + count)
    ]


# One input


def test_a_part_holds_key_carried_columns_and_predictions(bench: Bench) -> None:
    """In this order, then where each row came from."""
    bench.write("a b/tägliche.csv", [("000651", "AA", 1.5, "n"), ("b", "UA", 2, None)])
    receipt = bench.predict("a b/tägliche.csv")
    assert bench.rows(receipt) == [
        {"id": "000651", "carrier": "AA", "note": "n", "prediction": pytest.approx(expected("AA", 1.5)),
         "_input": "a b/tägliche.csv", "_row": 0, "_as_of": DAY},
        {"id": "b", "carrier": "UA", "note": None, "prediction": pytest.approx(expected("UA", 2)),
         "_input": "a b/tägliche.csv", "_row": 1, "_as_of": DAY},
    ]  # fmt: skip
    assert [(column.name, column.type) for column in receipt.columns] == [
        ("id", "string"), ("carrier", "string"), ("note", "string"), ("prediction", "float64"),
        ("_input", "string"), ("_row", "int64"), ("_as_of", "timestamp"),
    ]  # fmt: skip
    digest = digest_file(bench.folder / "in" / "a b/tägliche.csv")
    assert receipt.results == (
        InputResult(
            path="a b/tägliche.csv", outcome="taken", digest=digest, records=2, predicted=2
        ),
    )
    assert receipt.part is not None
    assert (receipt.part.recipe, receipt.recipe) == (bench.predictor.recipe.digest(),) * 2
    assert {*receipt.seconds} == {"read", "predict", "write"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_size_of_chunks_does_not_matter(tmp_path: Path, kind: str) -> None:
    """Rows, rejects and histogram are the same, and the model never sees more than a chunk."""
    records = good(20)
    records[3] = ("k3", "ZZ", 1.0, None)
    records[4] = ("k4", "AA", None, "null")
    records[11] = (None, "AA", 1.0, None)
    records[19] = ("k19", "ZZ", 1.0, None)
    found = []
    for chunk_rows in (1, 3, 7, 1000):
        for names in ([f"a.{kind}"], [f"a.{kind}", f"b.{kind}"]):
            bench = Bench(tmp_path / f"{chunk_rows} {len(names)}", kind, chunk_rows=chunk_rows)
            bench.write(f"a.{kind}", records)
            bench.write(f"b.{kind}", records[:6])
            receipt = bench.predict(*names)
            assert max(bench.asked) <= chunk_rows
            rows = bench.rows(receipt)
            for row in rows:  # Sums of floats differ in the last digit with the number of rows.
                row["prediction"] = round(row["prediction"], 9)
            found.append((names, rows, bench.rejects(receipt), receipt.histogram))
    for alone, together in zip(found[::2], found[1::2], strict=True):
        assert alone == found[0]
        assert together == found[1]
        assert [row for row in together[1] if row["_input"] == f"a.{kind}"] == alone[1]


def test_what_the_model_raises_on_is_a_reject(bench: Bench) -> None:
    """With its raw record and the model's own words, among the others in order."""
    bench.write("a.csv", [*good(3), "k3,ZZ,1.5,a note", "k4,AA,oops,", *good(3, 5), "short"])
    receipt = bench.predict("a.csv")
    first, second, third = bench.rejects(receipt)
    assert first["raw"] == "k3,ZZ,1.5,a note"
    assert first["reason"].startswith(
        "the model raised ValueError: Found unknown categories ['ZZ']"
    )
    assert (first["_row"], first["column"], first["_as_of"]) == (3, "", DAY)
    assert (second["_row"], second["column"], second["raw"]) == (4, "x", "k4,AA,oops,")
    assert second["reason"] == "found 'oops', expected float64"
    assert (third["_row"], third["reason"]) == (8, "found 1 field, expected 4")
    assert receipt.rejects is not None
    file = pq.read_schema(bench.folder / "out" / receipt.rejects.path)
    assert file == REJECT_SCHEMA


@pytest.mark.parametrize("records", [0, 1])
def test_an_input_without_records_is_taken_in(bench: Bench, records: int) -> None:
    """It makes no part; with one record it makes one."""
    bench.write("a.csv", good(records))
    receipt = bench.predict("a.csv")
    assert outcomes(receipt) == {"a.csv": "taken"}
    assert (receipt.part is None, receipt.rejects, receipt.histogram is None) == (
        not records,
        None,
        not records,
    )
    assert bool(receipt.columns) == bool(records)


def test_a_row_that_the_model_never_sees_costs_nothing(bench: Bench) -> None:
    """The model is not asked for zero rows."""
    bench.write("a.csv", [*["short"] * 3, *good(1)])
    bench.predict("a.csv")
    assert bench.asked == [1]


# Too many rejects


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("records", "allowed", "reason"),
    [
        ([*good(100), *["short"] * 10], 0, None),
        ([*good(100), *["short"] * 11], 0, "(limit: 10); first: record 100: found 1 field"),
        ([*good(100), *["k,ZZ,1,"] * 11], "5%", "11 of 111 records rejected"),
        ([*good(50), *["short"] * 6, *["k,ZZ,1,"] * 5], 10, "; first: record 50: found 1 field"),
        ([*good(50), *["k,ZZ,1,"] * 20], "30%", None),
        ([*good(50), "k,AA,oops,", *["short"] * 10], 3, "record 50, column 'x': found 'oops'"),
        (["short"], 10, "1 of 1 record rejected (limit: 10)"),
        (["k,ZZ,1,"] * 2, 10, "2 of 2 records rejected"),
        (["k,ZZ,1,"] * 80, 200, "the model raised ValueError: Found unknown"),
    ],
)  # fmt: skip
def test_an_input_with_too_many_rejects_is_unreadable(
    tmp_path: Path, records: list[Any], allowed: Any, reason: str | None, *, together: bool
) -> None:
    """Ten are always allowed, never all; nothing of the input is left, the others stay."""
    bench = Bench(tmp_path, max_rejected=allowed, chunk_rows=1000)
    bench.write("bad.csv", records)
    bench.write("one.csv", good(3))
    bench.write("two.csv", good(4))
    receipt = bench.predict(*(["one.csv", "bad.csv", "two.csv"] if together else ["bad.csv"]))
    results = {result.path: result for result in receipt.results}
    assert (results["bad.csv"].outcome == "taken") == (reason is None)
    assert (reason or "") in results["bad.csv"].reason
    if reason is None:
        assert results["bad.csv"].rejected
    elif not together:
        assert bench.stored() == ["pending/run/00000.json"]
        assert (receipt.part, receipt.rejects, receipt.columns, receipt.histogram) == (
            None,
            None,
            (),
            None,
        )
    if together:
        assert (results["one.csv"].predicted, results["two.csv"].predicted) == (3, 4)


def test_a_bad_input_in_many_chunks_leaves_nothing(tmp_path: Path) -> None:
    """Although its first chunks were predicted and written before."""
    bench = Bench(tmp_path, chunk_rows=5)
    bench.write("a.csv", [*good(200), *["short"] * 30])
    assert outcomes(bench.predict("a.csv")) == {"a.csv": "unreadable"}
    assert sum(bench.asked) == 200
    assert bench.stored() == ["pending/run/00000.json"]


def test_rejects_by_the_thousand_are_written_in_order(tmp_path: Path) -> None:
    """They do not wait in memory for the end of the input."""
    bench = Bench(tmp_path, chunk_rows=10, max_rejected="90%")
    records = [record if row % 3 else "short" for row, record in enumerate(good(600))]
    bench.write("a.csv", records)
    receipt = bench.predict("a.csv")
    assert [reject["_row"] for reject in bench.rejects(receipt)] == list(range(0, 600, 3))


# Inputs together


def test_inputs_together_become_one_part(bench: Bench) -> None:
    """In their order, each row with its own input, number and moment."""
    for index in range(5):
        bench.write(f"{index}.csv", good(index, first=10 * index))
    receipt = bench.predict(*(f"{index}.csv" for index in range(5)))
    assert [(row["_input"], row["_row"], row["id"]) for row in bench.rows(receipt)] == [
        (f"{index}.csv", row, f"k{10 * index + row}") for index in range(5) for row in range(index)
    ]
    assert bench.asked == [10]
    assert receipt.part is not None
    assert (receipt.part.inputs, receipt.part.as_of) == (
        4,
        (DAY + timedelta(days=1), DAY + timedelta(days=4)),
    )


def test_whatever_is_left_out_leaves_the_others(bench: Bench) -> None:
    """Unreadable, re-sent, gone or changed: none of it is in part, rejects or histogram."""
    names = ["first", "lacking", "resent", "gone", "rejected", "changed", "empty", "last"]
    for name in names:
        bench.write(f"{name}.csv", good(3))
    bench.write("empty.csv", [])
    bench.write("rejected.csv", [*good(1), *["short"] * 11])
    bench.write("last.csv", [*good(2), "k,ZZ,1,"])
    (bench.folder / "in/lacking.csv").write_text("id,carrier\nk,AA\n")
    piece = bench.slice(*(f"{name}.csv" for name in names),
                        resent=digest_file(bench.folder / "in/resent.csv"))  # fmt: skip
    (bench.folder / "in/gone.csv").unlink()
    bench.write("changed.csv", good(4))
    receipt = predict_slice(piece, bench.predictor)
    bench.judge(receipt)
    assert outcomes(receipt) == {
        "first.csv": "taken", "lacking.csv": "unreadable", "resent.csv": "resent",
        "gone.csv": "changed", "rejected.csv": "unreadable", "changed.csv": "changed",
        "empty.csv": "taken", "last.csv": "taken",
    }  # fmt: skip
    assert {row["_input"] for row in bench.rows(receipt)} == {"first.csv", "last.csv"}
    reasons = {result.path: result.reason for result in receipt.results if result.reason}
    assert "no column 'note', 'x'" in reasons["lacking.csv"]
    assert "11 of 12 records rejected" in reasons["rejected.csv"]
    assert "does not exist" in reasons["gone.csv"]
    assert "changed while it was read" in reasons["changed.csv"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_input_that_the_model_cannot_stand_does_not_bring_down_the_others(
    bench: Bench, place: int
) -> None:
    """Even if it is most of what the model sees at once."""
    names = ["a.csv", "b.csv", "c.csv"]
    for name in names:
        bench.write(name, good(2))
    bench.write(names[place], ["k,ZZ,1,"] * 90)
    found = outcomes(bench.predict(*names))
    assert found == dict.fromkeys(names, "taken") | {names[place]: "unreadable"}


def test_two_inputs_that_the_model_cannot_stand(bench: Bench) -> None:
    """Around one that is fine."""
    for name, records in (("a", ["k,ZZ,1,"] * 45), ("b", good(2)), ("c", ["k,ZZ,1,"] * 45)):
        bench.write(f"{name}.csv", records)
    found = outcomes(bench.predict("a.csv", "b.csv", "c.csv"))
    assert [*found.values()] == ["unreadable", "taken", "unreadable"]


def test_nothing_that_could_be_predicted(bench: Bench) -> None:
    """Makes a receipt without files."""
    for name in ("a.csv", "b.csv"):
        bench.write(name, ["short"])
    receipt = bench.predict("a.csv", "b.csv")
    assert (receipt.part, receipt.rejects) == (None, None)
    assert {*outcomes(receipt).values()} == {"unreadable"}


def test_files_of_other_types_are_predicted_with_their_own(tmp_path: Path) -> None:
    """Where only the files tell: a column of whole numbers in one, of floats in the next."""
    bench = Bench(tmp_path, "parquet")
    columns = [InputColumn(name=name, type=None, nullable=False) for name in ("id", "carrier", "x")]
    columns.append(InputColumn(name="note", type="string", nullable=True))
    untyped = open_decoder("parquet", columns, key=KEY, text=TEXT, chunk_rows=100)
    bench.predictor = bench.decoding(untyped)
    (tmp_path / "in").mkdir()
    for name, x in (
        ("a", pa.array([1, 2])),
        ("b", pa.array([1.5])),
        ("c", pa.array([3], pa.int32())),
    ):
        size = len(x)
        table = pa.table(
            {"id": ["k"] * size, "carrier": ["AA"] * size, "x": x, "note": ["n"] * size}
        )
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet")
    receipt = bench.predict("a.parquet", "b.parquet", "c.parquet")
    found = [row["prediction"] for row in bench.rows(receipt)]
    assert found == pytest.approx([expected("AA", x) for x in (1, 2, 1.5, 3)])


@given(
    inputs=st.lists(
        st.lists(st.sampled_from(["good", "model", "type", "fields", "null", "blank"]), max_size=15),
        min_size=1, max_size=4,
    ),
    chunk_rows=st.sampled_from([1, 2, 5, 100]),
    allowed=st.sampled_from([0, 12, "50%", "100%"]),
    threads=st.sampled_from([1, 3]),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_every_record_is_a_row_or_a_reject_or_its_input_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[list[str]], chunk_rows: int, allowed: Any,
    threads: int,
) -> None:  # fmt: skip
    """Whatever the inputs hold; the verdict is the same alone and together, by one thread or more."""
    lines = {"good": "k,AA,1,", "model": "k,ZZ,1,", "type": "k,AA,x,", "fields": "k", "null": ",AA,1,",
             "blank": ""}  # fmt: skip
    names = [f"{index}.csv" for index in range(len(inputs))]
    verdicts = []
    for groups in ([names], [[name] for name in names]):
        folder = tmp_path_factory.mktemp("bench")
        found: dict[str, tuple[str, int, int]] = {}
        for number, group in enumerate(groups):
            bench = Bench(folder / str(number), chunk_rows=chunk_rows, max_rejected=allowed)
            for name, kinds in zip(names, inputs, strict=True):
                bench.write(name, [lines[kind] for kind in kinds])
            with Lanes(threads) as lanes:
                bench.predictor = dataclasses.replace(bench.predictor, lanes=lanes)
                receipt = bench.predict(*group, number=number)
            found |= {result.path: (result.outcome, result.predicted, result.rejected)
                      for result in receipt.results}  # fmt: skip
        verdicts.append(found)
    assert verdicts[0] == verdicts[1]
    for name, kinds in zip(names, inputs, strict=True):
        records = [kind for kind in kinds if kind != "blank"]
        bad = len([kind for kind in records if kind != "good"])
        limit = allowed if isinstance(allowed, int) else len(records) * int(allowed[:-1]) // 100
        is_taken = bad <= max(limit, 10) and (bad < len(records) or not records)
        whole = ("taken", len(records) - bad, bad)
        assert verdicts[0][name] == (whole if is_taken else ("unreadable", 0, 0))


# Inputs that are not what was planned


@pytest.mark.parametrize("together", [False, True])
def test_the_same_content_again_is_not_predicted(bench: Bench, *, together: bool) -> None:
    """Its digest is noted; with no digest seen, or another, it is predicted."""
    bench.write("a.csv", good(3))
    bench.write("b.csv", good(2))
    names = ["a.csv", "b.csv"] if together else ["a.csv"]
    digest = digest_file(bench.folder / "in/a.csv")
    receipt = bench.predict(*names, a=digest)
    assert receipt.results[0] == InputResult(path="a.csv", outcome="resent", digest=digest)
    assert sum(bench.asked) == (2 if together else 0)
    bench.output.delete("pending/run/00000.json")
    for file in (receipt.part, receipt.rejects):
        if file:
            bench.output.delete(file.path)
    assert outcomes(bench.predict(*names, a="0" * 32))["a.csv"] == "taken"


def grow(path: Path) -> None:
    """Somebody appends to the input."""
    with path.open("a") as file:
        file.write("k9,AA,1,\n")


def changing(
    bench: Bench, change: Callable[[Path], object], *, unreadable: bool = False
) -> Predictor:
    """The predictor of a process to which inputs change while it reads them."""

    def read(path: str) -> Iterator[Untyped]:
        chunks = list(bench.predictor.reader.decode(path))
        yield from chunks[:1]
        if path.endswith("a.csv"):
            change(Path(path))
        if unreadable and path.endswith("a.csv"):
            raise UnreadableInput("half of it is new")
        yield from chunks[1:]

    return bench.decoding(read)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("unreadable", [False, True])
@pytest.mark.parametrize(
    "change",
    [grow, lambda path: path.unlink(), lambda path: path.write_text(path.read_text()[::-1])],
    ids=["grows", "goes", "other bytes of the same size"],
)
def test_an_input_that_changes_while_it_is_read_is_left_out(
    tmp_path: Path, change: Callable[[Path], object], *, together: bool, unreadable: bool
) -> None:
    """All of it, also what was predicted before; that is what is said, and it stays open."""
    bench = Bench(tmp_path, chunk_rows=2)
    bench.write("a.csv", good(7))
    bench.write("b.csv", good(2))
    piece = bench.slice(*(["a.csv", "b.csv"] if together else ["a.csv"]))
    tools = changing(bench, change, unreadable=unreadable)
    receipt = predict_slice(piece, tools)
    bench.judge(receipt)
    assert outcomes(receipt)["a.csv"] == "changed"
    assert len(bench.rows(receipt)) == (2 if together else 0)


# Receipts and files


def test_the_first_receipt_counts(bench: Bench) -> None:
    """The second process gets it too; its files stay, for it may have been first as well."""
    bench.write("a.csv", [*good(3), "short"])
    first = bench.predict("a.csv")
    stored = bench.stored()
    assert len(stored) == 3
    assert predict_slice(bench.slice("a.csv"), bench.predictor) == first
    assert {*stored} < {*bench.stored()}
    assert len(bench.rows(first)) == 3


def test_slices_have_files_of_their_own(bench: Bench) -> None:
    """Numbered, and with a name that no other process makes."""
    for number, name in enumerate(("a.csv", "b.csv")):
        bench.write(name, good(2))
        receipt = predict_slice(bench.slice(name, number=number), bench.predictor)
        assert receipt.part is not None
        assert receipt.part.path.startswith(f"data/run/{number:05d}-")
    assert len({path for path in bench.stored() if path.startswith("data")}) == 2


@pytest.mark.parametrize("name", ["id", "note", "carrier", "_input", "_row", "_as_of"])
def test_a_prediction_named_like_a_carried_column_is_refused(bench: Bench, name: str) -> None:
    """One of the two would be lost; nothing is left behind."""
    bench.write("a.csv", good(3))
    tools = bench.scoring(lambda batch: pa.record_batch({name: [1] * batch.num_rows}))
    with pytest.raises(
        DoesNotFit, match=f"{name}: a prediction and an input column have the same name"
    ):
        predict_slice(bench.slice("a.csv"), tools)
    assert bench.stored() == []


def test_a_model_that_breaks_the_rules_stops_the_slice(tmp_path: Path) -> None:
    """In the middle of an input: no receipt, no files."""
    bench = Bench(tmp_path, chunk_rows=2)
    bench.write("a.csv", good(6))

    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        if len(bench.asked) == 2:
            raise DoesNotFit("the preprocess hook lost a row")
        return bench.score(batch)

    with pytest.raises(DoesNotFit, match="lost a row"):
        predict_slice(bench.slice("a.csv"), bench.scoring(score))
    assert bench.stored() == []


def test_predictions_that_change_their_type_stop_the_slice(tmp_path: Path) -> None:
    """A part has one schema."""
    bench = Bench(tmp_path, chunk_rows=2)
    bench.write("a.csv", good(4))
    answers: Iterator[Any] = iter([[1, 2], ["a", "b"]])
    tools = bench.scoring(
        lambda batch: pa.record_batch({"prediction": next(answers)[: len(batch)]})
    )
    with pytest.raises(DoesNotFit, match=r"prediction string.* after .*prediction int64"):
        predict_slice(bench.slice("a.csv"), tools)
    assert bench.stored() == []


def test_predictions_that_are_text_have_no_histogram(bench: Bench) -> None:
    """And those that are no number are not counted."""
    bench.write("a.csv", good(3))
    bench.write("b.csv", good(3))
    words = bench.scoring(lambda batch: pa.record_batch({"prediction": ["a"] * len(batch)}))
    assert predict_slice(bench.slice("a.csv"), words).histogram is None
    odd = bench.scoring(
        lambda batch: pa.record_batch({"prediction": [math.nan, 1.0, None][: len(batch)]})
    )
    histogram = predict_slice(bench.slice("b.csv", number=1), odd).histogram
    assert histogram is not None
    assert sum(histogram.counts) == 1
