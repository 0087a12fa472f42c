"""One verb of the store on S3, and an answer that is lost, cut, altered or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from batch.errors import NotPermitted, StoreDown
from batch.store import open_store, s3client
from batch.store.base import Changed, Exists, Missing, Store, Unknown, read_whole
from batch.store.multipart import Sizes
from batch.store.s3 import S3Store
from tests.faults.s3_strikes import S3Bench
from tests.support.proxy import Fault, Proxy, Rule

DATA = b"what was put" * 100


@pytest.fixture
def proxy(s3: S3Bench) -> Proxy:
    """Through which the store is reached."""
    s3.bucket.restore({})
    s3.proxy.reset()
    return s3.proxy


@pytest.fixture
def store(proxy: Proxy) -> Store:
    """An empty store."""
    assert not proxy.requests
    return open_store("s3://bench/store")


@pytest.fixture
def pieces(proxy: Proxy) -> Store:
    """An empty store, to which 500 bytes are many."""
    assert not proxy.requests
    return S3Store("s3://bench/store", sizes=Sizes(500, ranged_bytes=500, range_bytes=500))


def fetched(store: Store, path: str) -> bytes:
    """An object by way of a file."""
    with store.fetch(path) as local:
        return local.read_bytes()


def upload(store: Store, path: str, data: bytes) -> None:
    """An object by way of a file."""
    with store.upload(path) as local:
        local.write_bytes(data)


READS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: read_whole(store, "x").data,
    "fetch": lambda store: fetched(store, "x"),
    "stat": lambda store: store.stat("x").size,
    "list": lambda store: [entry.path for entry in store.list().entries],
}
WRITES: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("new", DATA),
    "upload": lambda store: upload(store, "new", DATA),
    "replace": lambda store: store.replace("new", DATA, token=None),
}
reading = pytest.mark.parametrize("act", READS.values(), ids=READS)
writing = pytest.mark.parametrize("act", WRITES.values(), ids=WRITES)


@reading
@pytest.mark.parametrize("kind", ["truncate", "behead", "lose", "close", "flip"])
def test_what_is_not_whole_is_never_used(
    kind: str, act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """It is asked for again, and after some tries given up."""
    if kind == "flip" and act in {READS["list"], READS["stat"]}:
        pytest.skip("only TLS guards these")
    store.create("x", DATA)
    whole = act(store)
    proxy.rules = [Rule(Fault(kind))]  # type: ignore[arg-type]
    assert act(store) == whole
    proxy.rules = [Rule(Fault(kind), times=None)]  # type: ignore[arg-type]
    with pytest.raises(StoreDown) as caught:
        act(store)
    assert not isinstance(caught.value, Missing)


@pytest.mark.parametrize("kind", ["truncate", "stall", "lose", "close"])
@pytest.mark.parametrize("act", [READS["read"], READS["fetch"]], ids=["read", "fetch"])
def test_that_it_is_absent_may_be_cut_off_too(
    kind: str, act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:  # fmt: skip
    """It is heard by the second try."""
    s3client.connect(read_timeout_seconds=0.5)
    proxy.rules = [Rule(Fault(kind, seconds=5))]  # type: ignore[arg-type]
    with pytest.raises(Missing):
        act(store)
    s3client.disconnect()


@reading
def test_what_is_refused_is_not_absent(
    act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """403 says nothing about what is there."""
    proxy.rules = [Rule(Fault("answer", 403), times=None)]
    with pytest.raises(NotPermitted):
        act(store)


@pytest.mark.parametrize("kind", ["truncate", "behead", "lose"])
def test_a_large_object_comes_whole_or_not_at_all(kind: str, pieces: Store, proxy: Proxy) -> None:
    """Each of its pieces."""
    pieces.create("x", DATA)
    entry = pieces.stat("x")

    def in_ranges() -> bytes:
        with pieces.fetch("x", token=entry.token, size=entry.size) as local:
            return local.read_bytes()

    assert in_ranges() == DATA
    proxy.rules = [Rule(Fault(kind), headers={"Range": "bytes=500"})]  # type: ignore[arg-type]
    assert in_ranges() == DATA
    proxy.rules = [Rule(Fault(kind), headers={"Range": "bytes=500"}, times=None)]  # type: ignore[arg-type]
    with pytest.raises(StoreDown):
        in_ranges()


@writing
def test_a_write_whose_answer_is_lost_is_known_by_its_bytes(
    act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """The repetition is told that the name is taken: by ourselves."""
    proxy.rules = [Rule(Fault("lose"), method="PUT")]
    act(store)
    assert fetched(store, "new") == DATA


@writing
def test_the_name_may_be_somebody_elses_by_the_second_try(
    act: Callable[[Store], object], store: Store, proxy: Proxy, s3: S3Bench
) -> None:
    """The first one did not arrive, and another writer was quicker."""
    proxy.rules = [
        Rule(Fault("close"), method="PUT"),
        Rule(Fault("call", act=lambda: s3.bucket.put("store/new", b"theirs")), method="PUT"),
    ]
    with pytest.raises((Exists, Changed)):
        act(store)
    assert fetched(store, "new") == b"theirs"


@writing
def test_what_may_arrive_later_is_unknown(
    act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """That it is not there yet says nothing."""
    proxy.rules = [Rule(Fault("hold"), method="PUT", times=None)]
    with pytest.raises(Unknown):
        act(store)
    assert proxy.release()[0] == 200
    assert fetched(store, "new") == DATA


@writing
def test_what_cannot_be_read_back_is_unknown(
    act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """It was done, but nobody says so."""
    proxy.rules = [
        Rule(Fault("lose"), method="PUT", times=None),
        Rule(Fault("answer", 503), method="HEAD", times=None),
        Rule(Fault("answer", 503), method="GET", times=None),
    ]
    with pytest.raises(Unknown):
        act(store)


@writing
def test_what_was_surely_not_done_is_no_unknown(
    act: Callable[[Store], object], store: Store, proxy: Proxy
) -> None:
    """Refused, or in conflict with another request."""
    for status, kind in ((403, NotPermitted), (409, StoreDown)):
        proxy.rules = [Rule(Fault("answer", status), method="PUT", times=None)]
        with pytest.raises(kind):
            act(store)


def test_a_pointer_that_was_not_moved_yet_may_still_be(store: Store, proxy: Proxy) -> None:
    """Nobody else moved it, so the request that was given up may yet hold."""
    store.create("x", b"old")
    token = read_whole(store, "x").token
    proxy.rules = [Rule(Fault("hold"), method="PUT", times=None)]
    with pytest.raises(Unknown):
        store.replace("x", b"new", token=token)
    assert proxy.release()[0] == 200
    assert read_whole(store, "x").data == b"new"


@pytest.mark.parametrize("kind", ["lose", "truncate", "behead"])
def test_the_completion_of_a_large_upload_may_lose_its_answer(
    kind: str, pieces: Store, proxy: Proxy
) -> None:
    """The repetition is told that there is no such upload any more."""
    proxy.rules = [Rule(Fault(kind), method="POST", path="uploadId")]  # type: ignore[arg-type]
    upload(pieces, "new", DATA)
    assert re.search("POST", " ".join(request.method for request in proxy.requests))
    assert fetched(pieces, "new") == DATA


def test_a_completion_may_fail_after_it_began_to_answer(pieces: Store, proxy: Proxy) -> None:
    """With status 200 and an error in the body: it was not done, and is done again."""
    proxy.rules = [Rule(Fault("answer", 200), method="POST", path="uploadId")]
    upload(pieces, "new", DATA)
    assert fetched(pieces, "new") == DATA


#: The completion of an upload is in conflict with another request; then the upload is gone.
IN_CONFLICT = tuple(Rule(Fault("answer", status), "POST", "uploadId") for status in (409, 404))


def test_a_completion_in_conflict_may_have_been_done_all_the_same(
    pieces: Store, proxy: Proxy, s3: S3Bench
) -> None:
    """There is no such upload any more, for the object is there, and it is ours."""
    done = Rule(Fault("call", act=s3.bucket.complete_upload), "HEAD")
    proxy.rules = [*map(replace, IN_CONFLICT), done]
    upload(pieces, "new", DATA)
    assert [fault.status for fault, _ in proxy.struck[:2]] == [409, 404]
    assert fetched(pieces, "new") == DATA


def test_whether_an_upload_that_is_gone_was_completed_is_unknown(
    pieces: Store, proxy: Proxy, s3: S3Bench
) -> None:
    """That the object is not there yet says nothing: nothing is dropped, and it may yet come."""
    proxy.rules = [*map(replace, IN_CONFLICT)]
    with pytest.raises(Unknown, match="the upload is gone; whether it was written is unknown"):
        upload(pieces, "new", DATA)
    s3.bucket.complete_upload()
    assert fetched(pieces, "new") == DATA


@pytest.mark.parametrize("kind", ["lose", "truncate", "behead", "close"])
def test_every_request_of_a_large_upload_may_go_wrong(
    kind: str, pieces: Store, proxy: Proxy
) -> None:
    """Begun, sent and completed again where that is needed."""
    for skip in range(3):
        proxy.rules = [Rule(Fault(kind), skip=skip)]  # type: ignore[arg-type]
        upload(pieces, f"new-{skip}", DATA)
        assert len(proxy.struck) == skip + 1
        assert fetched(pieces, f"new-{skip}") == DATA
