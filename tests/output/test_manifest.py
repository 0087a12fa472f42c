"""The manifest's documentation holds: its SQL, its schema, its example and its list of fields.

`python -m tests.output.test_manifest` writes the schema afresh from the types.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import msgspec
import pytest

from batch.client import Predictions
from batch.output import manifest
from batch.output.manifest import FORMAT, Manifest, decode_manifest
from batch.output.part_writer import REJECT_SCHEMA
from batch.records.documents import Document, encode
from tests.support.published import Output, part

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "manifest.md").read_text()
SCHEMA = DOCS / "manifest.schema.json"
OTHERS = ("_input", "_row", "flight_id", "prediction", "note")


def schema_text() -> str:
    """The JSON Schema of the manifest, as the types say it."""
    schema = msgspec.json.schema(Manifest)
    schema["$defs"]["Manifest"]["properties"]["format"]["const"] = FORMAT
    titled = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(titled, indent=2) + "\n"


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Three parts: a key that comes again, ties in `_as_of`, and a column that two parts lack."""
    made = Output(tmp_path / "output's folder", key=("flight_id",))
    made.publish(part("2013-12-01", flight_id=["UA1", "AA2", "UA1"], prediction=[1, 2, 3]))
    late = part("2013-12-02", source="ä.csv", flight_id=["UA1", "ß"], prediction=[4, 5])
    more = part("2013-12-02", source="z.csv", flight_id=["UA1"], prediction=[6], note=["hm"])
    made.publish(more, late)
    return made


def test_the_sql_finds_what_the_client_finds(output: Output) -> None:
    """The page's statements, run in order, give all rows and the latest row of each key."""
    statements = "".join(blocks("sql"))
    place = str(output.folder).replace("'", "''")
    connection = duckdb.connect()
    connection.execute(statements.replace("/srv/predictions/flight-delays", place))
    predictions = Predictions(output.folder)
    for name, all_rows in (("all_rows", True), ("latest", False)):
        found = connection.execute(f"SELECT epoch_us(_as_of), {', '.join(OTHERS)} FROM {name}")
        expected = {
            (row["_as_of"].timestamp() * 1e6, *(row[column] for column in OTHERS))
            for row in predictions.table(all_rows=all_rows).to_pylist()
        }
        assert set(found.fetchall()) == expected
    assert predictions.key_count == 3
    assert predictions.table(all_rows=True).num_rows == 6
    assert predictions.get("UA1")["prediction"] == 4


def test_the_schema_is_that_of_the_types() -> None:
    """The schema that is published is the one the program's own types give."""
    assert SCHEMA.read_text() == schema_text(), "run: python -m tests.output.test_manifest"


def test_a_published_manifest_fits_the_schema(output: Output) -> None:
    """What the program writes is valid, also with every optional field filled."""
    validate(json.loads((output.folder / "manifest.json").read_bytes()))
    validate(json.loads(encode(decode_manifest(blocks("json")[0].encode(), source="docs"))))


def test_the_schema_lets_new_fields_pass_and_refuses_a_new_format(output: Output) -> None:
    """The rule for readers of later versions is in the schema, too."""
    found = json.loads((output.folder / "manifest.json").read_bytes())
    validate({**found, "a_later_field": 1})
    with pytest.raises(jsonschema.ValidationError):
        validate({**found, "format": "batch-predict/2"})
    with pytest.raises(jsonschema.ValidationError):
        validate({**found, "version": "2"})


def test_the_example_is_a_manifest_with_every_field() -> None:
    """The example reads as a manifest, leaves no field out, and its sums are right."""
    (text,) = blocks("json")
    example = decode_manifest(text.encode(), source="docs/manifest.md")
    assert json.loads(encode(example)) == json.loads(text)
    assert example.totals.predicted == sum(file.rows for file in example.files)
    assert example.totals.rejected == sum(file.rows for file in example.rejects)
    assert example.totals.bytes == sum(file.bytes for file in example.files)
    assert example.totals.records == example.totals.predicted + example.totals.rejected
    assert sum(example.histogram.counts if example.histogram else ()) == example.totals.predicted


def test_every_field_is_documented() -> None:
    """Each field of each document stands on the page, under the name that JSON has for it."""
    documents = [
        kind
        for kind in vars(manifest).values()
        if isinstance(kind, type) and issubclass(kind, Document) and kind.__name__[0] != "_"
    ]
    assert Manifest in documents
    names = {field.encode_name for kind in documents for field in msgspec.structs.fields(kind)}
    missing = [name for name in sorted(names) if f"`{name}`" not in PAGE]
    assert missing == []


def test_every_reject_column_is_documented() -> None:
    """The columns of the reject files stand on the page."""
    assert [name for name in REJECT_SCHEMA.names if f"`{name}`" not in PAGE] == []


def validate(found: dict[str, Any]) -> None:
    """Raise if a manifest does not fit the schema."""
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
