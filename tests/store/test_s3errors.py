"""What servers and the client say becomes one error: what, where, the next step, the exit code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import botocore.auth
import pytest

from batch.errors import BatchError, DoesNotFit, NotPermitted, StoreDown
from batch.store import open_store, s3client
from batch.store.base import Store
from tests.support.servers import SERVERS, STRANGER, Bucket, User, free_port


def _upload(store: Store) -> None:
    with store.upload("x") as local:
        local.write_bytes(b"")


def _fetch(store: Store) -> None:
    with store.fetch("x"):
        pytest.fail("there is nothing")


VERBS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: store.list(),
    "read": lambda store: store.read("x"),
    "fetch": _fetch,
    "create": lambda store: store.create("x", b""),
    "replace": lambda store: store.replace("x", b"", token=None),
    "upload": _upload,
    "delete": lambda store: store.delete("x"),
}
#: HEAD answers without a body, so some of its errors have no name.
ALL_VERBS = VERBS | {"stat": lambda store: store.stat("x")}


@pytest.fixture(params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket, on each server."""
    found: Bucket = request.getfixturevalue(request.param)
    return found


def told(verb: Callable[[Store], object], store: Store) -> BatchError:
    """The error of a verb."""
    # The client knows the environment that there was when it was made.
    s3client.disconnect()
    with pytest.raises(BatchError) as caught:
        verb(store)
    return caught.value


def become(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose keys this process has."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", user.secret)


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_missing_credentials_are_named(
    verb: str, moto: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what cron does not do."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = told(ALL_VERBS[verb], open_store(f"{moto.url}/out"))
    assert error.message.startswith(f"{moto.url}/out")
    assert "no AWS credentials" in error.message
    assert "cron does not read" in error.hint
    assert error.exit_code == NotPermitted.exit_code


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_a_bucket_that_does_not_exist_is_named(verb: str, bucket: Bucket) -> None:
    """It is never taken for an object that is not there yet."""
    error = told(ALL_VERBS[verb], open_store("s3://no-such-bucket-here/out"))
    assert type(error) is StoreDown
    assert "there is no bucket no-such-bucket-here" in error.message
    assert "create the bucket, or correct the URL" in error.hint
    assert bucket.client.list_objects_v2(Bucket=bucket.name)["KeyCount"] == 0


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_refusals_are_named(verb: str, rgw: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not, learns which permission is missing, and never that nothing is there."""
    become(STRANGER, monkeypatch)
    error = told(ALL_VERBS[verb], open_store(f"{rgw.url}/out"))
    assert error.message.startswith(f"{rgw.url}/out")
    assert "s3:" in error.message
    assert "is denied" in error.message
    assert "iam-policy" in error.hint
    assert error.exit_code == NotPermitted.exit_code


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_secret_is_named(verb: str, rgw: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables to look at."""
    become(User(STRANGER.key, "not-his-secret"), monkeypatch)
    error = told(VERBS[verb], open_store(f"{rgw.url}/out"))
    assert "the AWS credentials are not accepted" in error.message
    assert "AWS_SECRET_ACCESS_KEY" in error.hint
    assert error.exit_code == NotPermitted.exit_code


def test_an_unknown_key_is_named(rgw: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a wrong secret is."""
    become(User("NOBODYNOBODYNOBODYNO", "x"), monkeypatch)
    error = told(VERBS["read"], open_store(f"{rgw.url}/out"))
    assert "the AWS credentials are not accepted" in error.message
    assert error.exit_code == NotPermitted.exit_code


@pytest.mark.parametrize("verb", VERBS)
def test_a_clock_that_is_wrong_is_named(
    verb: str, rgw: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 takes no request that is signed with a time more than 15 minutes away."""
    wrong = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: wrong)
    error = told(VERBS[verb], open_store(f"{rgw.url}/out"))
    assert "clock is more than 15 minutes off" in error.message
    assert "set the clock" in error.hint
    assert error.exit_code == NotPermitted.exit_code


@pytest.mark.parametrize("verb", ["list", "create", "stat"])
def test_a_server_that_does_not_answer_is_named(
    verb: str, moto: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a few tries, with what to check."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    error = told(ALL_VERBS[verb], open_store(f"{moto.url}/out"))
    assert type(error) is StoreDown
    assert error.message.startswith(f"{moto.url}/out")
    assert "no answer" in error.message
    assert "AWS_ENDPOINT_URL_S3" in error.hint


@pytest.mark.usefixtures("moto")
def test_a_name_that_no_bucket_can_have_is_a_mistake_in_the_job_file() -> None:
    """It is found out before anything is sent."""
    error = told(VERBS["list"], open_store("s3://not_a bucket/out"))
    assert error.exit_code == DoesNotFit.exit_code
    assert "Invalid bucket name" in error.message
    assert "correct the URL in the job file" in error.hint
