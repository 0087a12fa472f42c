"""IAM policies and lifecycle rules for a job on S3, in the format of AWS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from batch.errors import BadUsage
from batch.job.job_file import Job

_ABORT_DAYS = 7
_READ, _WRITE = ["s3:GetObject"], ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
#: The objects that `batch.client` reads, relative to the output.
_OF_READERS = ("manifest.json", "manifests/*", "data/*", "models/*")

_Json = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """Objects in a bucket: every key that begins with `prefix`."""

    bucket: str
    prefix: str

    def arn(self, rest: str = "*") -> str:
        return f"arn:aws:s3:::{self.bucket}/{self.prefix}{rest}"


def runner_policy(job: Job) -> _Json:
    """The minimal policy for runs, backfills and the commands of an operator.

    Raises `BadUsage` for a job with nothing on S3.
    """
    places = _places(job)
    statements = list(_listing(places.values()))
    reading = [places[name].arn() for name in ("input", "model", "output") if name in places]
    statements.append(_allow("Read", _READ, reading))
    if "output" in places:
        statements.append(_allow("Write", _WRITE, [places["output"].arn()]))
        statements += _encryption(job, ["kms:GenerateDataKey", "kms:Decrypt"])
    return _policy(statements)


def reader_policy(job: Job) -> _Json:
    """The minimal policy for applications that use `batch.client`. Raises `BadUsage`."""
    output = _places(job).get("output")
    if output is None:
        raise BadUsage(f"{job.name}: the output is not on S3", "readers need no policy")
    reading = [output.arn(name) for name in _OF_READERS]
    return _policy(
        [
            *_listing([output]),
            _allow("Read", _READ, reading),
            *_encryption(job, ["kms:Decrypt"]),
        ]
    )


def lifecycle(job: Job) -> _Json:
    """Rules for the output bucket: abort unfinished uploads, expire old object versions.

    None of them expires current objects: `prune` knows which ones no version needs. Raises
    `BadUsage`.
    """
    output = _places(job).get("output")
    if output is None:
        raise BadUsage(f"{job.name}: the output is not on S3", "there is no bucket to set up")
    rule = {"Filter": {"Prefix": output.prefix}, "Status": "Enabled"}
    days = max(1, job.settings.output.retain.days)
    return {
        "Rules": [
            {
                "ID": "batch-predict: unfinished uploads",
                **rule,
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_DAYS},
            },
            {
                "ID": "batch-predict: what was deleted or replaced in a versioned bucket",
                **rule,
                "NoncurrentVersionExpiration": {"NoncurrentDays": days},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            },
        ]
    }


def _places(job: Job) -> dict[str, _Place]:
    urls = {"input": job.pattern.base, "model": job.model_url, "output": f"{job.output_url}/"}
    places = {}
    for name, url in urls.items():
        if url.startswith("s3://"):
            bucket, _, prefix = url.removeprefix("s3://").partition("/")
            places[name] = _Place(bucket, prefix if name == "model" else _folder(prefix))
    if not places:
        raise BadUsage(f"{job.name}: no input, model or output on S3", "it needs no policy")
    return places


def _folder(prefix: str) -> str:
    return f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""


def _listing(places: Iterable[_Place]) -> Iterator[_Json]:
    """Permission to list, without which S3 answers 403 instead of 404 for a missing object."""
    buckets: dict[str, list[str]] = {}
    for place in places:
        buckets.setdefault(place.bucket, []).append(f"{place.prefix}*")
    for number, (bucket, prefixes) in enumerate(sorted(buckets.items())):
        statement = _allow(f"List{number or ''}", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"])
        yield {**statement, "Condition": {"StringLike": {"s3:prefix": sorted(set(prefixes))}}}


def _encryption(job: Job, actions: list[str]) -> list[_Json]:
    key = job.settings.output.kms_key
    if key is None:
        return []
    arn = key if key.startswith("arn:") else f"arn:aws:kms:*:*:key/{key}"
    return [_allow("Encrypt", actions, [arn])]


def _allow(name: str, actions: list[str], resources: list[str]) -> _Json:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}


def _policy(statements: list[_Json]) -> _Json:
    return {"Version": "2012-10-17", "Statement": statements}
