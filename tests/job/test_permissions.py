"""The policies that a job needs, and that they are the least."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from batch.errors import BadUsage
from batch.job.job_file import load_job
from batch.job.permissions import lifecycle, reader_policy, runner_policy
from tests.support import servers
from tests.support.jobs import JobFolder
from tests.support.s3jobs import S3JobFolder

if TYPE_CHECKING:
    from pathlib import Path

ON_S3 = {
    "input": {"path": "s3://exports/churn/{date}.csv"},
    "model": {"path": "s3://models/churn/model.joblib"},
    "output": {"path": "s3://predictions/churn"},
}


def statements(policy: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By their names."""
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def principal(user: servers.User) -> dict[str, list[str]]:
    """A user of the gateway, as a policy names it."""
    return {"AWS": [f"arn:aws:iam:::user/user-{user.key}"]}


def test_a_runner_writes_below_its_output_alone(job: JobFolder) -> None:
    """And lists and reads what it names, in three buckets."""
    job.configure(**ON_S3)
    found = statements(runner_policy(load_job(str(job.folder))))
    assert found["Write"]["Resource"] == ["arn:aws:s3:::predictions/churn/*"]
    assert found["Read"]["Resource"] == [
        "arn:aws:s3:::exports/churn/*",
        "arn:aws:s3:::models/churn/model.joblib*",
        "arn:aws:s3:::predictions/churn/*",
    ]
    lists = [one for name, one in found.items() if name.startswith("List")]
    assert [one["Condition"]["StringLike"]["s3:prefix"] for one in lists] == [
        ["churn/*"], ["churn/model.joblib*"], ["churn/*"],
    ]  # fmt: skip


def test_readers_only_read(job: JobFolder) -> None:
    """What `batch.client` needs: neither the ledger nor what is pending."""
    job.configure(**ON_S3)
    found = statements(reader_policy(load_job(str(job.folder))))
    assert {action for one in found.values() for action in one["Action"]} == {
        "s3:ListBucket", "s3:GetObject",
    }  # fmt: skip
    assert not any("ledger" in arn or "pending" in arn for arn in found["Read"]["Resource"])


def test_a_key_of_its_own_may_be_used(job: JobFolder) -> None:
    """Runs encrypt and decrypt by it, readers decrypt."""
    key = "arn:aws:kms:eu-central-1:111122223333:key/1"
    job.configure(**ON_S3 | {"output": {**ON_S3["output"], "kms_key": key}})
    loaded = load_job(str(job.folder))
    assert statements(runner_policy(loaded))["Encrypt"]["Resource"] == [key]
    assert statements(reader_policy(loaded))["Encrypt"]["Action"] == ["kms:Decrypt"]


def test_what_is_local_needs_no_policy(job: JobFolder) -> None:
    """Of a mixture only what is on S3 is named."""
    with pytest.raises(BadUsage, match="no input, model or output on S3"):
        runner_policy(load_job(str(job.folder)))
    job.configure(input=ON_S3["input"])
    loaded = load_job(str(job.folder))
    assert statements(runner_policy(loaded)).keys() == {"List", "Read"}
    with pytest.raises(BadUsage, match="the output is not on S3"):
        reader_policy(loaded)


def test_lifecycle_rules_expire_no_object(job: JobFolder) -> None:
    """They abort uploads and drop what was deleted; `prune` alone knows what is needed."""
    job.configure(**ON_S3)
    rules = lifecycle(load_job(str(job.folder)))["Rules"]
    assert {rule["Filter"]["Prefix"] for rule in rules} == {"churn/"}
    assert all("Days" not in rule.get("Expiration", {}) for rule in rules)


def test_a_server_takes_them(job: JobFolder, moto: servers.Bucket) -> None:
    """As they are printed."""
    job.configure(output={"path": f"{moto.url}/out"})
    for option, put in (
        ("--lifecycle", lambda text: moto.client.put_bucket_lifecycle_configuration(
            Bucket=moto.name, LifecycleConfiguration=json.loads(text))),
        ("--readers", json.loads),
    ):  # fmt: skip
        done = job.command("iam-policy", str(job.folder), option)
        assert done.returncode == 0, done.stderr
        assert put(done.stdout)


@pytest.mark.parametrize(
    "missing", ["", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
)
def test_a_run_needs_exactly_its_policy(
    missing: str, tmp_path: Path, tiny_model: Path, rgw: servers.Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The gateway enforces it: with one action less the run ends with 77 and names the action."""
    job = S3JobFolder.make(tmp_path / "job", tiny_model, bucket=rgw)
    job.add("1.csv", [("a", 1, 2)])
    policy = runner_policy(load_job(str(job.folder)))
    for statement in policy["Statement"]:
        statement["Principal"] = principal(servers.STRANGER)
        statement["Action"] = [one for one in statement["Action"] if one != missing]
    policy["Statement"] = [one for one in policy["Statement"] if one["Action"]]
    everything = [f"arn:aws:s3:::{rgw.name}", f"arn:aws:s3:::{rgw.name}/*"]
    policy["Statement"].append(  # For this test to look at what the run has written.
        {"Effect": "Allow", "Principal": principal(servers.OWNER), "Action": ["s3:*"],
         "Resource": everything}
    )  # fmt: skip
    rgw.client.put_bucket_policy(Bucket=rgw.name, Policy=json.dumps(policy))
    for name, value in rgw.server.environment(servers.STRANGER).items():
        monkeypatch.setenv(name, value)
    done = job.command("run", str(job.folder))
    if missing:
        assert done.returncode == 77, done.stderr
        assert f"{missing} is denied" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert job.judge()["totals"]["records"] == 1
