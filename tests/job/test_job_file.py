from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from batch.cli import main
from batch.errors import DoesNotFit, NoInput
from batch.job.job_file import load_job
from batch.job.mistakes import line_of
from batch.job.schema import job_schema

REPOSITORY = Path(__file__).parents[2]
WHOLE = """\
[input]
path = "data/*.csv"
key = ["id"]

[model]
path = "model.joblib"

[output]
path = "out"
"""


def write(folder: Path, text: str) -> Path:
    """A job file in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "job.toml"
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a job file, each as `LINE: KEY: WHAT`."""
    file = write(tmp_path, text)
    with pytest.raises(DoesNotFit) as caught:
        load_job(str(file))
    assert "schema" in caught.value.hint
    return [line.removeprefix(f"{file}:").strip() for line in caught.value.message.splitlines()]


@pytest.mark.parametrize("name", ["jobs/churn/job.toml", "jobs/churn", "churn"])
def test_a_job_is_named_by_file_folder_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All three mean the same job, with the same whole paths."""
    write(tmp_path / "jobs" / "churn", WHOLE)
    monkeypatch.chdir(tmp_path)
    job = load_job(name)
    assert job.name == "churn"
    assert job.model_url == str(tmp_path / "jobs" / "churn" / "model.joblib")


def test_a_job_that_is_not_there_suggests_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typo is one question away; else the jobs that exist are named."""
    write(tmp_path / "jobs" / "churn", WHOLE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoInput, match="chrun: no such job file") as caught:
        load_job("chrun")
    assert caught.value.hint == "did you mean 'churn'?"
    with pytest.raises(NoInput) as caught:
        load_job("sales")
    assert caught.value.hint == "existing jobs: churn"


def test_variables_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any string, also in lists; a default stands in for what is not set."""
    monkeypatch.setenv("KEY", "flight_id")
    text = WHOLE.replace('"out"', '"${ROOT:-/srv}/out"').replace('"id"', '"${KEY}"')
    job = load_job(str(write(tmp_path, text)))
    assert job.output_url == "/srv/out"
    assert job.settings.input.key == ("flight_id",)


def test_a_variable_that_is_not_set_is_an_error_beside_the_others(tmp_path: Path) -> None:
    """It says why it is missing under cron, and hides no other mistake."""
    text = WHOLE.replace('"out"', '"${NOT_SET}/out"').replace("key", "kye")
    found = mistakes(tmp_path, text)
    assert found[:2] == [
        "1: input.key: this key is required",
        "3: input.kye: unknown key; did you mean 'key'?",
    ]
    assert found[2].startswith("9: output.path: the environment variable NOT_SET is not set; cron")
    assert len(found) == 3


def test_what_is_not_toml_says_where(tmp_path: Path) -> None:
    """Line and column, not a traceback."""
    file = write(tmp_path, "[input\npath = 1")
    with pytest.raises(DoesNotFit, match=r"not TOML: .*line 1, column 7"):
        load_job(str(file))


def test_an_empty_job_file_names_the_tables_it_needs(tmp_path: Path) -> None:
    """Whoever starts with nothing is told what to write."""
    assert mistakes(tmp_path, "") == [
        "input: this table is required, with path and key",
        "model: this table is required, with path",
        "output: this table is required, with path",
    ]


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    """One line for each key, in the order of the file."""
    found = mistakes(
        tmp_path,
        WHOLE.replace("data/*.csv", "{date:%Y}.csv") + "mode = 'apend'\n[run]\nworkers = 0\n",
    )
    assert found == [
        "2: input.path: {date:%Y} needs a year, a month and a day",
        "10: output.mode: found 'apend', expected one of 'append', 'replace'; did you mean 'append'?",
        "12: run.workers: found 0, expected 'auto' or a whole number, at least 1",
    ]


@pytest.mark.parametrize(
    ("section", "line", "expected"),
    [
        ("model", "features = 3", "model.features: found 3, expected a string or a list"),
        ("model", "features = [1, 'a']", "model.features[0]: found 1, expected a string"),
        ("model", "methods = 'predict'", 'model.methods: found \'predict\', expected a list such as ["predict"]'),
        ("model", "methods = []", "model.methods: found an empty list, expected at least one entry"),
        ("model", "methods = ['predict_prob']", "model.methods[0]: found 'predict_prob', expected one of 'predict', 'predict_proba', 'decision_function', 'transform'; did you mean 'predict_proba'?"),
        ("model", "sha256 = 'abc'", "model.sha256: found 'abc', expected 64 digits of 0-9 and a-f"),
        ("model", "preprocess = 'features.py'", "model.preprocess: found 'features.py', expected \"MODULE:FUNCTION\""),
        ("model", "allow_version_mismatch = 'no'", "model.allow_version_mismatch: found 'no', expected true or false"),
        ("input", "format = 'cvs'", "input.format: found 'cvs', expected one of 'csv', 'jsonl', 'parquet'; did you mean 'csv'?"),
        ("input", "max_rejected = 1.5", "input.max_rejected: found 1.5, expected a string or a whole number"),
        ("input", "max_rejected = '1'", "input.max_rejected: found '1', expected a share such as \"1%\" or a count such as 500"),
        ("input", "min_age = 60", 'input.min_age: found 60, expected a duration such as "60s", "10m", "26h" or "90d"'),
        ("input", "csv = true", "input.csv: found true, expected a table"),
        ("input", "csv.delimiter = ';;'", "input.csv.delimiter: found ';;', expected a single character"),
        ("input", "csv.encoding = 'latin-99'", "input.csv.encoding: unknown encoding 'latin-99'"),
        ("input", "csv.delimeter = ';'", "input.csv.delimeter: unknown key; did you mean 'delimiter'?"),
        ("input", "delimiter = ';'", "input.delimiter: unknown key; it belongs under [input.csv]"),
        ("input", "columns.x = 'flot'", "input.columns.x: found 'flot', expected one of 'string', 'int64', 'float64', 'bool', 'date', 'timestamp', 'category'; did you mean 'float64'?"),
        ("input", "columns.x = 'datetime'", "input.columns.x: found 'datetime', expected one of 'string', 'int64', 'float64', 'bool', 'date', 'timestamp', 'category'; did you mean 'timestamp'?"),
        ("input", "columns.x = 3", 'input.columns.x: found 3, expected a type such as "float64", or a table'),
        ("input", "columns.str = {nullable = true}", "input.columns.str.type: this key is required"),
        ("input", "columns.'a b' = {type = 'string', nulable = true}", "input.columns.\"a b\".nulable: unknown key; did you mean 'nullable'?"),
        ("input", "columns.x = {type = 'timestamp', timezone = 'Berlin'}", "input.columns.x.timezone: unknown time zone 'Berlin'"),
        ("output", "passthrough = 'origin'", 'output.passthrough: found \'origin\', expected a list such as ["origin"]'),
        ("output", "colour = 'red'", "output.colour: unknown key; known keys: path, mode, passthrough, fresh_for, window, retain, kms_key, storage_class"),
    ],
)  # fmt: skip
def test_a_mistake_says_what_was_found_expected_and_meant(
    tmp_path: Path, section: str, line: str, expected: str
) -> None:
    """One line, with the place in the file that an editor can jump to."""
    text = WHOLE.replace(f"[{section}]", f"[{section}]\n{line}")
    number = text.splitlines().index(line) + 1
    assert mistakes(tmp_path, text) == [f"{number}: {expected}"]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("input",), 2),
        (("input", "csv", "delimiter"), 4),
        (("input", "columns", "a b", "type"), 6),
        (("input", "columns", "c", "type"), 7),
        (("output", "path"), 8),
        (("model", "path"), None),
    ],
)
def test_the_line_of_a_key_is_found(location: tuple[str, ...], line: int | None) -> None:
    """In tables, dotted keys and inline tables; a key that is missing has the line of its table."""
    text = """name = "x"
[input]  # comment
path = "a.csv"
csv.delimiter = ";"
[input.columns]
"a b" = {type = "x"}
c.type = "y"
[output]
"""
    assert line_of(text, location) == line


@pytest.mark.parametrize(
    "file", sorted(REPOSITORY.glob("jobs/*/job.toml")), ids=lambda f: f.parent.name
)
def test_the_schema_accepts_every_job_file(file: Path) -> None:
    """An editor finds nothing wrong with what the program accepts."""
    job_validator().validate(tomllib.loads(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("section", "line"),
    [("input", "min_age = 60"), ("input", "columns.x = 'flot'"), ("output", "mod = 'append'"),
     ("model", "features = 3"), ("run", "workers = 0")],
)  # fmt: skip
def test_the_schema_refuses_mistakes(section: str, line: str) -> None:
    """An editor underlines them before the program sees them."""
    document = tomllib.loads(f"{WHOLE}\n[run]\n".replace(f"[{section}]", f"[{section}]\n{line}"))
    assert not job_validator().is_valid(document)


def test_the_schema_accepts_the_short_form_of_a_column() -> None:
    """`distance = "float64"` beside whole tables; durations are strings."""
    document = tomllib.loads(
        WHOLE + "fresh_for = '26h'\n[input.columns]\ndistance = 'float64'\n"
        "tailnum = {type = 'string', nullable = true}\n"
    )
    job_validator().validate(document)


def test_the_schema_describes_every_key() -> None:
    """What an editor shows beside a key, for each of them."""
    schema = job_schema()
    sections = [schema, *schema["$defs"].values()]
    sections += [branch for section in sections for branch in section.get("anyOf", ())]
    silent = [
        name
        for section in sections
        for name, found in section.get("properties", {}).items()
        if "description" not in found and "$ref" not in found
    ]
    assert silent == []


def test_schema_prints_json() -> None:
    """To be saved where an editor finds it."""
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 0
    assert '"$schema": "https://json-schema.org/draft/2020-12/schema"' in result.output


def job_validator() -> Any:
    """The schema, as editors use it."""
    schema = job_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
