"""S3: create by If-None-Match, replace by If-Match, read what was listed by If-Match.

Only here it is known which requests may have been done although no answer came. A write is never
given up as "not there" on a guess: it is read back, and what stays unknown is said (`Unknown`),
with nothing undone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from batch.errors import BatchError, DoesNotFit, NotPermitted, StoreDown
from batch.store import multipart
from batch.store.base import (
    AS_IS,
    Blob,
    Changed,
    Entry,
    Exists,
    Listing,
    Missing,
    Placement,
    Unknown,
)
from batch.store.retry import retrying
from batch.store.s3client import client
from batch.store.s3errors import (
    RAISED,
    Asked,
    condition_failed,
    is_transient,
    may_have_arrived,
    names_nothing,
    status_of,
    translated,
    whole,
)
from batch.store.spool import require_room, spooled, sweep_spool

_COPY_BYTES = 1 << 20
_NOT_MODIFIED = 304
#: What the head of an object always says.
_DESCRIBED = ("ContentLength", "ETag", "LastModified")


class S3Store:
    """The store port on the objects below a prefix of a bucket."""

    is_remote = True

    def __init__(
        self, url: str, placement: Placement = AS_IS, *, sizes: multipart.Sizes = multipart.SIZES
    ) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise DoesNotFit(f"{url}: no bucket in this URL", "use s3://BUCKET/PREFIX")
        self.bucket, self._placement, self._sizes = bucket, placement, sizes
        self._root = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self._root}".rstrip("/")

    def list(self, prefix: str = "") -> Listing:
        folder = self._root + (f"{prefix.rstrip('/')}/" if prefix else "")
        found, now, more = list[Entry](), datetime.now(UTC), dict[str, str]()
        with self._translating("s3:ListBucket", prefix):
            while True:
                page = retrying(partial(self._page, folder, more), is_transient=is_transient)
                now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                found += map(self._entry, filter(_is_object, page.get("Contents", ())))
                if not page.get("IsTruncated"):
                    return Listing(tuple(sorted(found, key=lambda entry: entry.path)), now)
                more = {"ContinuationToken": page["NextContinuationToken"]}

    def stat(self, path: str) -> Entry:
        with self._translating("s3:GetObject", path):
            head = retrying(
                lambda: whole(client().head_object(**self._name(path)), *_DESCRIBED),
                is_transient=is_transient,
            )
        return Entry(path, head["ContentLength"], head["ETag"], head["LastModified"])

    def read(self, path: str, *, unless: str | None = None) -> Blob | None:
        def get() -> Blob | None:
            try:
                answer = client().get_object(**self._name(path), **_given(IfNoneMatch=unless))
            except ClientError as error:
                if status_of(error) == _NOT_MODIFIED:
                    return None
                raise
            with closing(answer["Body"]) as body:
                return Blob(body.read(), whole(answer, *_DESCRIBED)["ETag"])

        with self._translating("s3:GetObject", path):
            return retrying(get, is_transient=is_transient)

    @contextmanager
    def fetch(self, path: str, *, token: str | None = None, size: int = 0) -> Iterator[Path]:
        with spooled() as local:
            if token and size >= self._sizes.ranged_bytes:
                require_room(local, size)
                with self._translating("s3:GetObject", path):
                    multipart.download(
                        client(), self._name(path), token, size, local,
                        range_bytes=self._sizes.range_bytes,
                    )  # fmt: skip
            else:
                self._download(path, token, local)
            yield local

    def create(self, path: str, data: bytes) -> None:
        if not self._put(path, data, IfNoneMatch="*"):
            raise Exists(f"{self.url}/{path}: already exists")

    @contextmanager
    def upload(self, path: str) -> Iterator[Path]:
        with spooled() as local:
            yield local
            is_large = local.stat().st_size >= self._sizes.large_bytes
            send = self._send_in_pieces if is_large else self._send_whole
            if not send(path, local):
                raise Exists(f"{self.url}/{path}: already exists")

    def replace(self, path: str, data: bytes, *, token: str | None) -> None:
        condition = {"IfMatch": token} if token else {"IfNoneMatch": "*"}
        if not self._put(path, data, expected=token, **condition):
            raise Changed(f"{self.url}/{path}: replaced by another process meanwhile")

    def delete(self, path: str) -> None:
        with self._translating("s3:DeleteObject", path):
            retrying(lambda: client().delete_object(**self._name(path)), is_transient=is_transient)

    def settle(self, paths: Iterable[str]) -> None:
        """An object that S3 has acknowledged is durable, and so is its name."""

    def sweep(self) -> None:
        sweep_spool()

    def _download(self, path: str, token: str | None, local: Path) -> None:
        """The very object that was listed, whole, to a file on this host's disk."""

        def get() -> Any:
            answer = client().get_object(**self._name(path), **_given(IfMatch=token))
            with closing(answer["Body"]) as body:
                require_room(local, whole(answer, *_DESCRIBED)["ContentLength"])
                with local.open("wb") as file:
                    for block in body.iter_chunks(_COPY_BYTES):
                        file.write(block)
            return answer

        with self._translating("s3:GetObject", path):
            answer = retrying(get, is_transient=is_transient)
        modified = answer["LastModified"].timestamp()
        os.utime(local, (modified, modified))

    def _put(
        self, path: str, data: bytes, *, expected: str | None = None, **condition: str
    ) -> bool:
        def put() -> None:
            client().put_object(
                **self._name(path), Body=data, **condition, **self._placement.encryption
            )

        return self._write(path, put, is_ours=lambda: self._holds(path, data, expected))

    def _send_whole(self, path: str, local: Path) -> bool:
        def put() -> None:
            with local.open("rb") as file:
                client().put_object(
                    **self._name(path), Body=file, IfNoneMatch="*", **self._placement.all
                )

        return self._write(path, put, is_ours=lambda: self._has_size(path, local))

    def _send_in_pieces(self, path: str, local: Path) -> bool:
        name = self._name(path)
        with self._translating("s3:PutObject", path):
            upload_id = multipart.begin(client(), name, self._placement.all)
        is_dropped = True
        try:
            with self._translating("s3:PutObject", path):
                pieces = multipart.send(client(), name, upload_id, local, self._sizes.piece_bytes)
            put = partial(multipart.complete, client(), name, upload_id, pieces)
            is_dropped = not self._write(path, put, is_ours=lambda: self._has_size(path, local))
        except Unknown:
            is_dropped = False  # It may be completed yet.
            raise
        finally:
            if is_dropped:
                with suppress(Exception):  # A lifecycle rule of the bucket drops what is left.
                    multipart.abort(client(), name, upload_id)
        return not is_dropped

    def _write(self, path: str, put: Callable[[], None], *, is_ours: Callable[[], bool]) -> bool:
        """Write under a condition; False when it does not hold, for what is there is not ours.

        An answer may be lost on the way: then the repetition meets our own object. Raises
        `Unknown` when that cannot be told: the request may even be done later.
        """
        in_doubt = False

        def attempt() -> None:
            nonlocal in_doubt
            try:
                put()
            except RAISED as error:
                in_doubt = in_doubt or may_have_arrived(error)
                raise

        try:
            retrying(attempt, is_transient=is_transient)
        except RAISED as error:
            if not in_doubt and condition_failed(error):
                return False
            failure = self._translated(error, "s3:PutObject", path)
            if not in_doubt:
                raise failure from None
            try:
                return is_ours()
            except (StoreDown, Missing):
                raise Unknown(
                    f"{failure.message}; whether it was written is unknown",
                    "rerun; nothing was undone",
                ) from None
        return True

    def _holds(self, path: str, data: bytes, expected: str | None) -> bool:
        """Raises `StoreDown` while what we replace is still there: ours may come yet."""
        blob = self.read(path)
        if blob is not None and blob.data == data:
            return True
        if blob is not None and blob.token == expected:
            raise StoreDown(f"{self.url}/{path}: not replaced yet")
        return False

    def _has_size(self, path: str, local: Path) -> bool:
        """Names of uploads are fresh, or hashes of the content: the size tells ours."""
        return self.stat(path).size == local.stat().st_size

    @contextmanager
    def _translating(self, action: str, path: str) -> Iterator[None]:
        try:
            yield
        except RAISED as error:
            failure = self._translated(error, action, path)
            is_denied = action == "s3:GetObject" and isinstance(failure, NotPermitted)
            if is_denied or names_nothing(error):
                self._require_there(path)
            raise failure from None

    def _require_there(self, path: str) -> None:
        """Raises `Missing` for an object that is not there, `StoreDown` without its bucket.

        With access to a prefix alone, S3 answers 403 for an absent object, and HEAD does not tell a
        bucket from an object; the listing tells which.
        """
        key = self._root + path
        with self._translating("s3:ListBucket", path):
            page = retrying(partial(self._page, key, {"MaxKeys": 1}), is_transient=is_transient)
        if not any(item["Key"] == key for item in page.get("Contents", ())):
            raise Missing(f"{self.url}/{path}: does not exist") from None

    def _translated(self, error: Exception, action: str, path: str) -> BatchError:
        return translated(error, Asked(action, self.bucket, f"{self.url}/{path}".rstrip("/")))

    def _page(self, prefix: str, more: Mapping[str, Any]) -> Any:
        page = client().list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more)
        whole(page["ResponseMetadata"]["HTTPHeaders"], "date")
        return whole(page, "IsTruncated")  # An empty body is no listing, not an empty one.

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        path = item["Key"][len(self._root) :]
        return Entry(path, item["Size"], item["ETag"], item["LastModified"])

    def _name(self, path: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._root + path}


def _is_object(item: Mapping[str, Any]) -> bool:
    """Rather than the marker that a console makes of an empty folder."""
    return bool(item["Size"]) or not item["Key"].endswith("/")


def _given(**arguments: str | None) -> dict[str, str]:
    return {name: value for name, value in arguments.items() if value is not None}
