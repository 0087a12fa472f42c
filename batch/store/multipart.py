"""Objects too large for one request: uploaded and downloaded in pieces, several at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.store.retry import retrying
from batch.store.s3errors import is_transient, whole

_MOST_PIECES = 10_000
_THREADS = 4

_Pieces = list[dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """From which size on an object goes in pieces, and how large each is; how one is brought.

    S3 takes at most 5 GB in one request. Only an object whose content is known beforehand is
    brought in ranges.
    """

    large_bytes: int = 64 << 20
    piece_bytes: int = 16 << 20
    ranged_bytes: int = 16 << 20
    range_bytes: int = 8 << 20


SIZES = Sizes()


def begin(s3: Any, name: Mapping[str, str], placement: Mapping[str, str]) -> str:
    """The id of a new upload."""
    answer = retrying(
        lambda: whole(
            s3.create_multipart_upload(**name, ChecksumAlgorithm="CRC32", **placement), "UploadId"
        ),
        is_transient=is_transient,
    )
    return str(answer["UploadId"])


def send(
    s3: Any, name: Mapping[str, str], upload_id: str, local: Path, piece_bytes: int
) -> _Pieces:
    """Send a file; returns for each piece, in order, what `complete` needs."""
    size = local.stat().st_size
    piece_bytes = max(piece_bytes, math.ceil(size / _MOST_PIECES))

    def send_piece(number: int) -> dict[str, Any]:
        with local.open("rb") as file:
            file.seek((number - 1) * piece_bytes)
            data = file.read(piece_bytes)
        answer = retrying(
            lambda: whole(
                s3.upload_part(
                    **name,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=data,
                    ChecksumAlgorithm="CRC32",
                ),
                "ETag",
            ),
            is_transient=is_transient,
        )
        return {"PartNumber": number, "ETag": answer["ETag"]} | (
            {"ChecksumCRC32": answer["ChecksumCRC32"]} if "ChecksumCRC32" in answer else {}
        )

    return _side_by_side(send_piece, range(1, math.ceil(size / piece_bytes) + 1))


def complete(s3: Any, name: Mapping[str, str], upload_id: str, pieces: _Pieces) -> None:
    """Create the object from its pieces, if the name is free; one try."""
    answer = s3.complete_multipart_upload(
        **name, UploadId=upload_id, MultipartUpload={"Parts": pieces}, IfNoneMatch="*"
    )
    whole(answer, "ETag")  # S3 may begin to answer before it knows: the body tells.


def abort(s3: Any, name: Mapping[str, str], upload_id: str) -> None:
    """Drop what was sent."""
    s3.abort_multipart_upload(**name, UploadId=upload_id)


def download(
    s3: Any, name: Mapping[str, str], etag: str, size: int, local: Path, *, range_bytes: int
) -> None:
    """Write an object to a file; every piece is of the content identified by `etag`."""
    with local.open("wb") as file:
        file.truncate(size)

    def download_range(start: int) -> None:
        def get() -> bytes:
            last = min(start + range_bytes, size) - 1
            answer = s3.get_object(**name, IfMatch=etag, Range=f"bytes={start}-{last}")
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
            if len(data) != last + 1 - start:
                raise ConnectionError(f"found {len(data)} bytes, asked for {last + 1 - start}")
            return data

        data = retrying(get, is_transient=is_transient)
        descriptor = os.open(local, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, start)
        finally:
            os.close(descriptor)

    _side_by_side(download_range, range(0, size, range_bytes))


def _side_by_side(call: Any, numbers: Iterable[int]) -> list[Any]:
    """The result of each call, in order; after an error no further call is begun."""
    with ThreadPoolExecutor(_THREADS) as threads:
        futures = [threads.submit(call, number) for number in numbers]
        try:
            return [future.result() for future in futures]
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
