"""What a run is on S3 besides what it is anywhere."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.store import open_store
from batch.store.base import Placement
from batch.store.s3client import client
from tests.support.s3jobs import S3JobFolder
from tests.support.servers import Bucket

PLACES = ("moto",)


def test_inputs_are_listed_once_in_a_run(job: S3JobFolder) -> None:
    """However many there are; in `replace` mode too."""
    listed: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        listed.append(params["Prefix"])

    for mode in ("append", "replace"):
        job.configure(output={"path": mode, "mode": mode})
        for name in ("1.csv", "2.csv"):
            job.add(name, [(f"{mode}-{name}", 1, 2)])
        client().meta.events.register("provide-client-params.s3.ListObjectsV2", note)
        try:
            assert job.run().name == "published"
        finally:
            client().meta.events.unregister("provide-client-params.s3.ListObjectsV2", note)
        assert listed.count("a job/data/") == 1
        listed.clear()


def test_every_input_is_fetched_once(job: S3JobFolder) -> None:
    """The one that tells the types of the key too, which only Parquet knows."""
    fetched: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        fetched.append(params["Key"].rpartition("/")[2])

    job.configure(input={"path": "data/*.parquet"})
    for number in range(3):
        table = pa.table({"id": [f"k{number}"], "x": [1.0], "y": [2.0]})
        (job.folder / "data").mkdir(exist_ok=True)
        pq.write_table(table, job.folder / f"data/{number}.parquet")
    client().meta.events.register("provide-client-params.s3.GetObject", note)
    try:
        assert job.run().name == "published"
    finally:
        client().meta.events.unregister("provide-client-params.s3.GetObject", note)
    names = {f"{number}.parquet" for number in range(3)}
    assert sorted(name for name in fetched if name in names) == sorted(names)


def test_a_versioned_bucket_is_no_different(job: S3JobFolder) -> None:
    """What is deleted there leaves a marker, and the name is free again."""
    job.bucket.client.put_bucket_versioning(
        Bucket=job.bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    for number in range(3):
        job.add("1.csv", [("a", number, 2)])
        assert job.run().version == number + 1
        assert job.judge()["totals"]["records"] == 1
    assert job.run().name == "nothing to do"


@pytest.mark.parametrize("mixed", [{"input"}, {"model"}, {"output"}, {"input", "output"}])
def test_any_mixture_of_places(mixed: set[str], job: S3JobFolder) -> None:
    """Each of input, model and output may be a folder or a URL."""
    places = {"input": "data/*.csv", "model": "model.joblib", "output": "out"}
    job.configure_as_is(
        **{
            section: {"path": job.url(path) if section in mixed else path}
            for section, path in places.items()
        }
    )
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4)])
    assert job.run().name == "published"
    assert job.judge()["totals"]["records"] == 2


def test_the_bucket_keeps_objects_as_the_job_file_says(moto: Bucket) -> None:
    """All are encrypted by the key; only files that are seldom small go to another class."""
    store = open_store(f"{moto.url}/out", Placement(kms_key="a-key", storage_class="STANDARD_IA"))
    store.create("manifests/1.json", b"{}")
    store.replace("manifest.json", b"{}", token=None)
    with store.upload("data/part") as local:
        local.write_bytes(b"x")
    heads = {
        path: moto.client.head_object(Bucket=moto.name, Key=f"out/{path}")
        for path in ("manifests/1.json", "manifest.json", "data/part")
    }
    assert {head["ServerSideEncryption"] for head in heads.values()} == {"aws:kms"}
    assert {head["SSEKMSKeyId"] for head in heads.values()} == {"a-key"}
    assert [path for path, head in heads.items() if "StorageClass" in head] == ["data/part"]


def test_what_only_looks_tells_the_same_of_a_bucket(job: S3JobFolder) -> None:
    """Two versions compared, a key followed, the timeline, the dates; by the output's URL too."""
    job.configure(input={"path": "data/{date}.csv"})
    for rows in ([("a", 1, 2), ("b", 3, 4)], [("a", 4, 4)]):
        job.add("2026-01-01.csv", rows)
        assert job.run().name == "published"
    for name in (str(job.folder), job.output_url):
        totals = _told(job, "diff", name)["totals"]
        assert (totals["new"], totals["gone"], totals["changed"]) == (0, 1, 1)
        periods = _told(job, "show", name, "--key", "a", "--all")["periods"]
        assert [one["why"] for one in periods] == ["changed input", None]
        assert [event["version"] for event in _told(job, "history", name)] == [1, 2]
    (status,) = _told(job, "status", str(job.folder))
    assert [one["state"] for one in status["dates"]] == ["complete"]


def _told(job: S3JobFolder, command: str, *arguments: str) -> Any:
    found = job.command(command, *arguments, "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)
