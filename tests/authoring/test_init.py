from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from batch.authoring.init import Initialized, initialize
from batch.authoring.validate import validate
from batch.cli import main
from batch.errors import BadData, BadUsage, BatchError, DoesNotFit, NoInput
from batch.job.job_file import load_job
from batch.run.runner import Options, run
from batch.wording import command as typed
from tests.support import oracle
from tests.support.jobs import LATE, SAMPLE, save_tiny_model, touch

ROWS = [("a", 1, 2.5), ("b", 3, 4), ("c", 0.5, 0)]
CSV = "id,x,y\na,1,2.5\nb,3,4\nc,0.5,0\n"


class Place:
    """A folder with a model and room for samples; the job is made in `job`."""

    def __init__(self, folder: Path, model: Path, *, sidecar: bool) -> None:
        self.folder = folder
        self.model = folder / "model.joblib"
        self.model.write_bytes(model.read_bytes())
        if sidecar:
            beside = model.with_name("model.joblib.json")
            self.model.with_name("model.joblib.json").write_bytes(beside.read_bytes())

    def write(self, name: str, data: bytes | str) -> Path:
        """A sample, old enough to be taken in."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        touch(path)
        return path

    def init(self, sample: Path, key: Sequence[str] = ("id",)) -> Initialized:
        """Make the job of this sample."""
        folder = str(self.folder / "job")
        return initialize(folder, model=str(self.model), sample=str(sample), key=key)

    def document(self) -> dict[str, Any]:
        """What stands in the job file that was made."""
        return tomllib.loads((self.folder / "job" / "job.toml").read_text(encoding="utf-8"))

    def published(self) -> list[dict[str, Any]]:
        """The rows that a first run publishes."""
        outcome = run(load_job(str(self.folder / "job")), Options())
        assert outcome.exit_code == 0, outcome.message
        output = self.folder / "job" / "predictions"
        manifest = oracle.newest(output)
        assert manifest is not None
        return oracle.rows_of(output, manifest)


@pytest.fixture
def place(tmp_path: Path, tiny_model: Path) -> Place:
    """A model with its sidecar."""
    return Place(tmp_path, tiny_model, sidecar=True)


@pytest.fixture
def bare(tmp_path: Path, tiny_model: Path) -> Place:
    """A model as plain joblib leaves it."""
    return Place(tmp_path, tiny_model, sidecar=False)


def expected(rows: Sequence[tuple[str, float, float]] = ROWS) -> dict[str, str]:
    """What the plain model predicts, by key."""
    model = LogisticRegression().fit(SAMPLE, LATE)
    frame = pd.DataFrame([row[1:] for row in rows], columns=["x", "y"])
    return dict(zip([row[0] for row in rows], model.predict(frame), strict=True))


def samples() -> dict[str, tuple[str, bytes]]:
    """The same three records in every form that a sample may have."""
    semicolons = CSV.replace(",", ";").replace(".", ",").replace("id", "schlüssel")
    records = [dict(zip(("id", "x", "y"), row, strict=True)) for row in ROWS]
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["a", "b", "c"], "x": [1.0, 3, 0.5], "y": [2.5, 4, 0]}), parquet)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return {
        "csv": ("2013-12-01.csv", CSV.encode()),
        "semicolons, decimal commas, cp1252": ("1.csv", semicolons.encode("cp1252")),
        "tabs, another suffix": ("records.txt", CSV.replace(",", "\t").encode()),
        "utf-16": ("1.csv", CSV.encode("utf-16")),
        "byte order mark, windows lines": ("1.csv", CSV.replace("\n", "\r\n").encode("utf-8-sig")),
        "no newline at the end": ("1.csv", CSV.strip().encode()),
        "gzip": ("2013/12/01/flights.csv.gz", gzip.compress(CSV.encode())),
        "json lines": ("2013-12-01.jsonl", lines.encode()),
        "json lines, no suffix": ("records", lines.encode()),
        "parquet": ("flights_20131201.parquet", parquet.getvalue().to_pybytes()),
    }


@pytest.mark.parametrize("sidecar", [True, False], ids=["sidecar", "bare model"])
@pytest.mark.parametrize("form", samples())
def test_a_run_works_at_once(tmp_path: Path, tiny_model: Path, form: str, sidecar: bool) -> None:
    """Whatever the sample is written in: every record is predicted as by the plain model."""
    place = Place(tmp_path, tiny_model, sidecar=sidecar)
    name, data = samples()[form]
    key = "schlüssel" if "cp1252" in form else "id"
    place.init(place.write(f"data/{name}", data), [key])
    assert validate(str(tmp_path / "job")).mistakes == ()
    rows = place.published()
    assert {row[key]: row["prediction"] for row in rows} == expected()
    assert set(rows[0]) >= {"probability_no", "probability_yes"}


def test_only_what_differs_from_the_default_is_written(place: Place) -> None:
    """A usual CSV needs no [input.csv], and a sidecar knows the types."""
    place.init(place.write("data/2013-12-01.csv", CSV))
    assert place.document() == {
        "input": {"path": "../data/{date}.csv", "key": ["id"]},
        "model": {"path": "../model.joblib", "methods": ["predict", "predict_proba"]},
        "output": {"path": "predictions", "passthrough": []},
    }


def test_the_pin_is_there_to_be_taken(place: Place) -> None:
    """Without its #, the line pins this very model."""
    place.init(place.write("data/1.csv", CSV))
    file = place.folder / "job" / "job.toml"
    file.write_text(file.read_text().replace("# sha256 = ", "sha256 = "))
    assert validate(str(file)).mistakes == ()


def test_how_the_text_is_written_is_taken_from_the_sample(bare: Place) -> None:
    """Delimiter, decimal mark, encoding, and what stands for null beside that which pandas knows."""
    bare.init(bare.write("1.csv", "id;x;y;größe\na;1,5;-;1\nb;2;3;\n".encode("cp1252")))
    found = bare.document()["input"]
    nulls = found["csv"].pop("null_values")
    assert found["csv"] == {"delimiter": ";", "decimal": ",", "encoding": "cp1252"}
    assert nulls[0] == "-"
    assert {"", "NA", "null"} < set(nulls)
    assert found["columns"] == {"x": "float64", "y": {"type": "int64", "nullable": True}}


def test_types_are_those_of_the_values(bare: Place) -> None:
    """Whole numbers, fractions, truth and text; the key and what nobody reads need none."""
    frame = pd.DataFrame({"n": [1, 2, 3], "f": [1.5, 2, 3], "b": [True, False, True],
                          "s": ["u", "v", "u"]})  # fmt: skip
    encoder = make_column_transformer((OneHotEncoder(), ["s"]), remainder="passthrough")
    joblib.dump(
        make_pipeline(encoder, LogisticRegression()).fit(frame, ["+", "-", "+"]), bare.model
    )
    bare.init(bare.write("1.csv", "id,n,f,b,s,note\n007,1,1.5,true,u,x\n008,2,2,false,v,y\n"))
    columns = {"n": "int64", "f": "float64", "b": "bool", "s": "string"}
    assert bare.document()["input"]["columns"] == columns
    assert [row["id"] for row in bare.published()] == ["007", "008"]


def test_a_date_becomes_a_pattern_that_matches_the_others(place: Place) -> None:
    """In the name or in the folders; it is said how many files match now."""
    for day in ("01", "02", "03"):
        sample = place.write(f"data/2013/12/{day}/flights.csv", CSV)
    place.write("data/readme.txt", "hello")
    made = place.init(sample)
    assert (made.pattern, made.matches) == ("../data/{date:%Y/%m/%d}/flights.csv", 3)


def test_the_other_files_decide_between_day_and_month(place: Place) -> None:
    """03.04. is the third of April if there is a 25.04."""
    for name in ("04.25.2013.csv", "04.26.2013.csv", "03.04.2013.csv"):
        sample = place.write(f"data/{name}", CSV)
    made = place.init(sample)
    assert (made.pattern, made.matches) == ("../data/{date:%m.%d.%Y}.csv", 3)


def test_a_name_without_a_date_stays_and_is_said(place: Place) -> None:
    """Digits that are no date are left alone."""
    made = place.init(place.write("data/export-42.csv", CSV))
    assert (made.pattern, made.matches) == ("../data/export-42.csv", 1)
    assert any("no date in the sample's name" in note for note in made.notes)


def test_paths_far_away_are_written_whole(tmp_path: Path, tiny_model: Path) -> None:
    """Near ones are relative, so that job and data can move together."""
    place = Place(tmp_path, tiny_model, sidecar=True)
    sample = place.write("data/1.csv", CSV)
    folder = tmp_path / "a" / "b" / "c"
    initialize(str(folder), model=str(tiny_model), sample=str(sample), key=["id"])
    found = tomllib.loads((folder / "job.toml").read_text())
    assert found["input"]["path"] == str(sample)
    assert validate(str(folder)).mistakes == ()


def test_a_sample_with_many_rejects_gets_a_limit_that_it_keeps(place: Place) -> None:
    """Else the first run would call it unreadable; it is said how many there are."""
    rows = "".join(f"k{number},{'bad' if number % 4 == 0 else 1},1\n" for number in range(100))
    made = place.init(place.write("1.csv", f"id,x,y\n{rows}"))
    assert place.document()["input"]["max_rejected"] == "25%"
    assert made.notes[0].startswith("25 of 100 records in the sample rejected; first: record 0")
    assert len(place.published()) == 75


def test_a_model_saved_with_a_hook_names_it(tmp_path: Path, place: Place) -> None:
    """The hook's file belongs into the job folder; without it nothing is written."""
    document = json.loads((tmp_path / "model.joblib.json").read_text())
    document["preprocess"] = "hooks:same"
    (tmp_path / "model.joblib.json").write_text(json.dumps(document))
    sample = place.write("1.csv", CSV)
    with pytest.raises(DoesNotFit, match="hook 'hooks:same'"):
        place.init(sample)
    assert not (tmp_path / "job").exists()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "hooks.py").write_text("def same(frame):\n    return frame\n")
    place.init(sample)
    assert place.document()["model"]["preprocess"] == "hooks:same"
    assert len(place.published()) == 3


def test_a_model_fitted_without_names_takes_all_but_the_key(bare: Place) -> None:
    """If their number is right; else save_model must note them."""
    joblib.dump(LogisticRegression().fit(SAMPLE.to_numpy(), LATE), bare.model)
    bare.init(bare.write("1.csv", CSV))
    assert bare.document()["model"]["features"] == ["x", "y"]
    assert {row["id"]: row["prediction"] for row in bare.published()} == expected()
    with pytest.raises(DoesNotFit, match="reads 2 unknown columns"):
        initialize(
            str(bare.folder / "other"),
            model=str(bare.model),
            sample=str(bare.write("2.csv", "id,x,y,z\na,1,2,3\n")),
            key=["id"],
        )


def test_a_text_model_reads_one_column(bare: Place) -> None:
    """As a Series, which is what a vectoriser takes."""
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    joblib.dump(model.fit(["good day", "bad day"], ["+", "-"]), bare.model)
    bare.init(bare.write("1.jsonl", '{"id": 1, "text": "good"}\n{"id": 2, "text": "bad"}\n'))
    assert bare.document()["model"]["features"] == "text"
    assert [row["prediction"] for row in bare.published()] == ["+", "-"]


def test_a_transformer_transforms(bare: Place) -> None:
    """A model that predicts nothing has another method."""
    joblib.dump(StandardScaler().fit(SAMPLE), bare.model)
    bare.init(bare.write("1.csv", CSV))
    assert bare.document()["model"]["methods"] == ["transform"]
    assert set(bare.published()[0]) >= {"component_0", "component_1"}


def test_a_job_file_is_never_overwritten(place: Place) -> None:
    """It may hold a year of decisions."""
    (place.folder / "job").mkdir()
    (place.folder / "job" / "job.toml").write_text("mine")
    with pytest.raises(DoesNotFit, match="already exists"):
        place.init(place.write("1.csv", CSV))
    assert (place.folder / "job" / "job.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "data", "key", "error", "message"),
    [
        ("1.csv", CSV, "idd", DoesNotFit, r"no column 'idd' \(the key\); found 'id', 'x', 'y'"),
        ("1.csv", "id,x,z\na,1,2\n", "id", DoesNotFit, r"no column 'y' \(read by the model\)"),
        ("1.csv", "", "id", BadData, "the file is empty"),
        ("1.csv", "id,x,y\na,one,1\n", "id", BadData, "every record is rejected; first: record 0, column"),
        ("1.csv.gz", b"no gzip", "id", BadData, "not readable as a sample"),
        ("1.parquet", b"no parquet", "id", BadData, "not readable as a sample"),
        ("1.jsonl", "[1]\nx\n", "id", BadData, "no line is a JSON object"),
        ("_1.csv", CSV, "id", NoInput, "are never inputs"),
    ],
)  # fmt: skip
def test_what_would_stop_the_first_run_is_said_and_nothing_is_written(
    place: Place, name: str, data: bytes | str, key: str, error: type[BatchError], message: str
) -> None:
    """The sample, the key or the model is wrong: the folder is not even made."""
    with pytest.raises(error, match=message):
        place.init(place.write(name, data), [key])
    assert not (place.folder / "job").exists()


def test_a_folder_that_cannot_be_made_is_named(place: Place) -> None:
    """There is a file where the folder should be."""
    (place.folder / "job").write_text("a file")
    with pytest.raises(BadUsage, match="/job: found a file, expected a folder"):
        place.init(place.write("1.csv", CSV))


def test_a_sample_that_has_just_changed_is_noted(place: Place) -> None:
    """The first run would wait for it."""
    sample = place.write("1.csv", CSV)
    sample.write_text(CSV)
    assert (
        "the sample has just changed: a run skips it until it is 60 s old"
        in place.init(sample).notes
    )


def test_a_missing_file_is_named(place: Place) -> None:
    """The sample or the model."""
    with pytest.raises(NoInput, match=r"gone\.csv: no such file"):
        place.init(place.folder / "gone.csv")
    place.model.unlink()
    with pytest.raises(DoesNotFit, match="no such model"):
        place.init(place.write("1.csv", CSV))


def test_init_says_what_it_wrote_and_what_comes_next(place: Place) -> None:
    """The pattern is the one guess that a person should look at."""
    sample = place.write("data/2013-12-01.csv", CSV)
    result = command(place, sample, "--key", "id")
    assert result.exit_code == 0
    folder = place.folder / "job"
    assert result.output.splitlines() == [
        f"wrote {folder}/job.toml",
        "  input.path = '../data/{date}.csv': 1 file matches now",
        f"  next: {typed('try', folder)}",
    ]


def test_a_url_is_for_the_job_file(tmp_path: Path) -> None:
    """Init looks at a sample on this machine, and says how to go on."""
    with pytest.raises(BadUsage, match="reads local files only") as caught:
        initialize(str(tmp_path / "job"), model="m.joblib", sample="s3://b/1.csv", key=["id"])
    assert "set the path in job.toml" in caught.value.hint


def test_a_composite_key_keeps_its_order(place: Place) -> None:
    """--key once for each column."""
    sample = place.write("1.csv", "b,a,x,y\n1,2,3,4\n")
    assert command(place, sample, "--key", "a", "--key", "b").exit_code == 0
    assert place.document()["input"]["key"] == ["a", "b"]


def test_names_of_every_kind_survive_the_job_file(tmp_path: Path) -> None:
    """Quotes, spaces, dots and letters that are not English."""
    frame = SAMPLE.rename(columns={"x": 'gr "ö" ße', "y": "a.b"})
    save_tiny_model(tmp_path / "saved.joblib")
    joblib.dump(LogisticRegression().fit(frame, LATE), tmp_path / "saved.joblib")
    place = Place(tmp_path, tmp_path / "saved.joblib", sidecar=False)
    text = 'id é,"gr ""ö"" ße",a.b\na,1,2\n'
    place.init(place.write("my data/1 é.csv", text), ["id é"])
    assert place.published()[0]["id é"] == "a"


def command(place: Place, sample: Path, *arguments: str) -> Result:
    """`batch-predict init FOLDER …`."""
    options = ["--model", str(place.model), "--input", str(sample)]
    return CliRunner().invoke(main, ["init", str(place.folder / "job"), *options, *arguments])
