"""What a run is on S3 besides what it is anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from batch.store import open_store
from batch.store.base import Placement
from batch.store.s3client import client
from tests.s3jobs import S3JobFolder
from tests.servers import Bucket

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
