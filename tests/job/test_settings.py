from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from batch.job.job_file import Job
from batch.job.settings import (
    ChecksSection,
    ColumnSection,
    CsvSection,
    InputSection,
    JobSettings,
    Limit,
    ModelSection,
    OutputSection,
    RunSection,
)
from batch.model.frames import to_frame
from batch.records.columns import InputColumn, compression_of

DOCS = (Path(__file__).parents[2] / "docs" / "job-file.md").read_text(encoding="utf-8")
SECTIONS = {
    "Keys": JobSettings,
    "[input]": InputSection,
    "[input.csv]": CsvSection,
    "[input.columns]": ColumnSection,
    "[model]": ModelSection,
    "[output]": OutputSection,
    "[run]": RunSection,
    "[checks]": ChecksSection,
}


def settings(**sections: Any) -> JobSettings:
    """Settings with the required keys, and these sections changed."""
    document: dict[str, Any] = {
        "input": {"path": "data/{date}.csv", "key": ["id"]},
        "model": {"path": "model.joblib"},
        "output": {"path": "out"},
    }
    for name, keys in sections.items():
        document[name] = document.get(name, {}) | keys
    return JobSettings.model_validate(document)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("26h", 93600), ("30 d", 2592000), ("0.5h", 1800)]
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    """Seconds, minutes, hours and days, with a fraction if need be."""
    assert settings(input={"min_age": text}).input.min_age == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["90", "1 week", "-5s", "", 90])
def test_a_duration_without_a_unit_is_refused(value: object) -> None:
    """A bare number could be anything."""
    with pytest.raises(ValidationError, match="expected a duration"):
        settings(output={"fresh_for": value})


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.csv", "csv"), ("a.csv.gz", "csv"), ("b/*.jsonl.zst", "jsonl"), ("a.ndjson", "jsonl"),
     ("{date:%Y/%m/%d}.parquet", "parquet")],
)  # fmt: skip
def test_the_suffix_tells_the_format(path: str, found: str) -> None:
    """Compression and wildcards do not hide it."""
    assert settings(input={"path": path}).input.resolved_format == found


@pytest.mark.parametrize("path", ["data/*", "data/{date}", "data.d/records", "records.txt"])
def test_a_path_that_tells_no_format_needs_one(path: str) -> None:
    """Better asked at once than guessed from the content."""
    with pytest.raises(ValidationError, match="implies no format"):
        settings(input={"path": path})
    assert settings(input={"path": path, "format": "jsonl"}).input.resolved_format == "jsonl"


@pytest.mark.parametrize(
    ("limit", "records", "allowed"),
    [("1%", 100, 10), ("1%", 5_000, 50), ("2.5%", 1_000, 25), (500, 10, 500), (0, 10**6, 10)],
)
def test_max_rejected_is_a_share_or_a_count_and_at_least_ten(
    limit: str | int, records: int, allowed: int
) -> None:
    """A small file with two bad lines is no broken file."""
    assert settings(input={"max_rejected": limit}).input.rejects_allowed(records) == allowed


@pytest.mark.parametrize("limit", ["101%", "1", "many", -1])
def test_max_rejected_of_no_share_is_refused(limit: object) -> None:
    """More than all, and fewer than none, cannot be rejected."""
    with pytest.raises(ValidationError, match="expected a"):
        settings(input={"max_rejected": limit})


def test_the_latest_input_needs_a_date_and_replaces() -> None:
    """What is latest is told by {date}, and appending only the latest would lose the others."""
    latest = {"take": "latest"}
    assert settings(input=latest, output={"mode": "replace"}).input.take == "latest"
    with pytest.raises(ValidationError, match=r'output\.mode = "replace"'):
        settings(input=latest)
    with pytest.raises(ValidationError, match=r"needs a \{date\}"):
        settings(input={"take": "latest", "path": "data/*.csv"}, output={"mode": "replace"})


def test_a_file_without_a_header_needs_every_column() -> None:
    """Nothing else could name them."""
    headless = {"csv": {"header": False}}
    with pytest.raises(ValidationError, match="every column here"):
        settings(input=headless)
    assert settings(input={**headless, "columns": {"id": "string"}}).input.columns["id"].type


def test_a_column_type_alone_is_a_column() -> None:
    """`distance = "float64"` is short for a table with this type."""
    columns = {"distance": "float64", "tailnum": {"type": "string", "nullable": True}}
    found = settings(input={"columns": columns}).input.columns
    assert found["distance"] == ColumnSection(type="float64")
    assert found["tailnum"].nullable


def test_paths_are_relative_to_the_job_file(tmp_path: Path) -> None:
    """Wherever the program is started; whole paths and URLs stay as they are."""
    job = Job(tmp_path / "churn" / "job.toml", settings(output={"path": "/var/predictions"}))
    assert job.name == "churn"
    assert job.model_url == str(tmp_path / "churn" / "model.joblib")
    assert job.pattern.base == f"{tmp_path}/churn/data/"
    assert job.output_url == "/var/predictions"
    remote = Job(tmp_path / "job.toml", settings(output={"path": "s3://bucket/churn"}))
    assert remote.output_url == "s3://bucket/churn"


@pytest.mark.parametrize(
    ("path", "found"), [("a.csv.gz", "gzip"), ("a.csv.zst", "zstd"), ("a.csv", None), ("gz", None)]
)
def test_the_last_suffix_tells_the_compression(path: str, found: str | None) -> None:
    """Only as a suffix, not as a name."""
    assert compression_of(path) == found


@pytest.mark.parametrize(("heading", "section"), SECTIONS.items())
def test_the_docs_list_every_key_with_its_default(heading: str, section: Any) -> None:
    """docs/job-file.md has one row for each key of each table, and no others."""
    rows = documented(heading)
    tables = {"input", "model", "output", "run", "checks"} if section is JobSettings else set()
    assert rows.keys() == section.model_fields.keys() - tables
    for name, stated in rows.items():
        default = as_toml(section.model_fields[name])
        assert default in {None, stated}, f"{heading} {name}"


ARRAYS: dict[str, pa.Array] = {
    "string": pa.array(["a", None]),
    "int64": pa.array([1, None], pa.int64()),
    "float64": pa.array([1.5, None]),
    "bool": pa.array([True, None]),
    "date": pa.array([date(2024, 1, 31), None]),
    "timestamp": pa.array([datetime(2024, 1, 31, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    "category": pa.array(["a", None]),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_the_docs_say_what_a_type_becomes_for_the_model(kind: str) -> None:
    """Without nulls and with them, where no training said otherwise."""
    column = InputColumn(name="c", type=kind, nullable=True, categories=("a",))  # type: ignore[arg-type]  # They are the names of the types.
    documented = re.search(rf"^\| `{kind}` \| .* \| `([^`]*)`[^|]* \| (.*) \|$", DOCS, re.MULTILINE)
    assert documented, kind
    whole, with_null = (
        str(to_frame(pa.RecordBatch.from_arrays([values], ["c"]), [column])["c"].dtype)
        for values in (ARRAYS[kind].slice(0, 1), ARRAYS[kind])
    )
    assert documented[1] == whole
    assert documented[2].startswith((f"`{with_null}` with", "the same with"))
    assert with_null == whole or not documented[2].startswith("the same")


def documented(heading: str) -> dict[str, str]:
    """The keys under a heading of the docs, with what stands in the column of defaults."""
    text = re.split(r"^#+ ", DOCS.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\| ", text, flags=re.MULTILINE))


def as_toml(field: Any) -> str | None:
    """A default as the docs write it; None where words must say it."""
    default = field.default
    if field.is_required():
        return "required"
    if default is None or default is PydanticUndefined or isinstance(default, CsvSection):
        return None
    if isinstance(default, Limit):
        return f"`{default.limit:g}`"
    if isinstance(default, timedelta):
        days = default.days
        return f'`"{days}d"`' if days else f'`"{default.total_seconds():g}s"`'
    if isinstance(default, tuple) and len(default) > 3:
        return None  # The list of what pandas takes for null.
    return f"`{json.dumps(default)}`"


@pytest.mark.parametrize("section", [{"input": {"key": ["_row"]}},
                                     {"output": {"passthrough": ["_input"]}}])  # fmt: skip
def test_columns_named_like_ours_are_refused(section: dict[str, Any]) -> None:
    """A part has each name once."""
    with pytest.raises(ValidationError, match="reserved for the output"):
        settings(**section)


def test_compressed_parquet_files_are_refused() -> None:
    """The format compresses inside, so nothing reads them."""
    with pytest.raises(ValidationError, match="compressed internally"):
        settings(input={"path": "data/*.parquet.gz"})


def test_mistakes_across_keys_are_reported_together() -> None:
    """One does not hide the next."""
    with pytest.raises(ValidationError) as caught:
        settings(input={"path": "data/*.dat", "take": "latest", "csv": {"header": False}})
    assert {error["loc"][-1] for error in caught.value.errors()} == {"format", "take", "columns"}
