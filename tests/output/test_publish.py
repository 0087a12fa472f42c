"""The commit protocol, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.errors import Damaged, DoesNotFit, StoreDown, TryAgain
from batch.job.job_file import Job, load_job
from batch.output import layout
from batch.output.ledger import LedgerEntry
from batch.output.manifest import Column, ModelInfo
from batch.output.publish import move_pointer, publish
from batch.output.read import RETENTION, Retention, newest_manifest, read_live, read_manifest
from batch.output.version import Draft, Live, blank, union_columns
from batch.store import open_store
from batch.store.base import Store
from batch.upkeep.prune import prune
from tests.support.jobs import JobFolder
from tests.support.wrapped import Wrapped

MODEL = ModelInfo(sha256="0", path="m", format="joblib", class_name="c", versions={}, recipe="r")


def clock() -> datetime:
    """A time that stands still."""
    return datetime(2026, 1, 1, tzinfo=UTC)


def entry(path: str, run_id: str = "run") -> LedgerEntry:
    """A ledger entry of one record that was rejected, so that it needs no part."""
    return LedgerEntry(path, 1, "token", "digest", clock(), 1, 0, 1, (), (), run_id, "recipe")


def drafting(*paths: str, run_id: str = "run") -> Callable[[Live], Draft]:
    """A draft that takes in these inputs, whatever it extends."""
    entries = tuple(entry(path, run_id) for path in paths)
    return lambda _: Draft(blank("run", run_id, MODEL), entries)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty output."""
    return open_store(str(tmp_path / "out"))


@pytest.fixture
def loaded(job: JobFolder) -> Job:
    """Any job."""
    return load_job(str(job.folder))


def test_versions_count_up_and_each_is_kept(store: Store, loaded: Job) -> None:
    """The pointer is a copy of the newest."""
    for path in ("1.csv", "2.csv"):
        publish(store, loaded, read_live(store), drafting(path), clock=clock)
    live = read_live(store)
    assert live.manifest is not None
    assert (live.version, live.manifest.parent, len(live.ledger)) == (2, 1, 2)
    assert live.manifest.totals.records == 2
    assert read_manifest(store, 1).version == 1


def test_ledger_then_manifest_then_pointer(store: Store, loaded: Job) -> None:
    """Whoever sees a name finds what it names."""
    order: list[str] = []

    def note(verb: str, path: str) -> None:
        if verb in {"create", "replace"}:
            order.append(path.split("/", maxsplit=1)[0])

    publish(Wrapped(store, note), loaded, Live(None, read_live(store).ledger), drafting("1.csv"),
            clock=clock)  # fmt: skip
    assert order == ["ledger", "manifests", "manifest.json"]


def test_a_lost_race_extends_the_winner(store: Store, loaded: Job) -> None:
    """Both commits are in the end there, one after the other."""
    beaten = False

    def beat(verb: str, path: str) -> None:
        nonlocal beaten
        if verb == "create" and path.startswith("manifests") and not beaten:
            beaten = True
            publish(store, loaded, read_live(store), drafting("2.csv", run_id="other"),
                    clock=clock)  # fmt: skip

    publish(Wrapped(store, beat), loaded, read_live(store), drafting("1.csv"), clock=clock)
    assert set(read_live(store).ledger.paths()) == {"1.csv", "2.csv"}


def test_a_plan_that_another_host_finished_is_not_published_again(
    store: Store, loaded: Job
) -> None:
    """Its run id in the ledger says so."""
    live = read_live(store)
    publish(store, loaded, live, drafting("1.csv"), clock=clock)
    published = publish(store, loaded, live, drafting("1.csv"), clock=clock)
    assert published is not None
    assert published.version == 1


@pytest.mark.parametrize("taken", [["1.csv"], []], ids=["a run", "a rollback"])
def test_our_own_write_whose_answer_was_lost_is_success(
    taken: list[str], store: Store, loaded: Job
) -> None:
    """The name is taken, by us: the commit id tells, for no ledger names a rollback."""

    class Deaf(Wrapped):
        def create(self, path: str, data: bytes) -> None:
            super().create(path, data)
            if path.startswith("manifests"):
                super().create(path, data)  # What a retry after a lost answer does.

    published = publish(Deaf(store, lambda *_: None), loaded, read_live(store), drafting(*taken),
                        clock=clock)  # fmt: skip
    assert published is not None
    assert read_live(store).version == 1


def test_losing_every_race_gives_up_and_says_to_run_again(store: Store, loaded: Job) -> None:
    """Five tries; nothing of ours is visible, the others' versions are."""
    count = iter(range(100))

    def beat(verb: str, path: str) -> None:
        if verb == "create" and path.startswith("manifests"):
            number = next(count)
            publish(store, loaded, read_live(store),
                    drafting(f"other{number}", run_id=f"r{number}"), clock=clock)  # fmt: skip

    with pytest.raises(TryAgain):
        publish(Wrapped(store, beat), loaded, read_live(store), drafting("1.csv"), clock=clock)
    assert "1.csv" not in read_live(store).ledger


def test_an_error_before_the_manifest_publishes_nothing(store: Store, loaded: Job) -> None:
    """The version before stays the newest."""

    def fail(verb: str, path: str) -> None:
        if verb == "create" and path.startswith("manifests"):
            raise StoreDown("no answer")

    publish(store, loaded, read_live(store), drafting("1.csv"), clock=clock)
    with pytest.raises(StoreDown):
        publish(Wrapped(store, fail), loaded, read_live(store), drafting("2.csv"), clock=clock)
    assert set(read_live(store).ledger.paths()) == {"1.csv"}


def test_a_pointer_that_cannot_be_moved_is_a_warning(store: Store, loaded: Job) -> None:
    """The version exists; who reads the newest finds it, and the next run moves the pointer."""

    def fail(verb: str, _path: str) -> None:
        if verb == "replace":
            raise StoreDown("no answer")

    published = publish(Wrapped(store, fail), loaded, read_live(store), drafting("1.csv"),
                        clock=clock)  # fmt: skip
    assert published is not None
    assert newest_manifest(store) == published
    move_pointer(store, published)
    assert json.loads(Path(store.url, "manifest.json").read_text())["version"] == 1


def test_a_pointer_that_cannot_be_read_after_the_commit_is_a_warning(
    store: Store, loaded: Job
) -> None:
    """What was done is done."""
    committed = False

    def fail(verb: str, path: str) -> None:
        nonlocal committed
        committed = committed or (verb == "create" and path.startswith("manifests"))
        if committed and verb == "read" and path == "manifest.json":
            raise StoreDown("no answer")

    published = publish(Wrapped(store, fail), loaded, read_live(store), drafting("1.csv"),
                        clock=clock)  # fmt: skip
    assert published is not None
    assert newest_manifest(store) == published


def test_the_pointer_never_moves_back(store: Store, loaded: Job) -> None:
    """Somebody slow who moves it last moves nothing."""
    for path in ("1.csv", "2.csv"):
        publish(store, loaded, read_live(store), drafting(path), clock=clock)
    move_pointer(store, read_manifest(store, 1))
    assert json.loads(Path(store.url, "manifest.json").read_text())["version"] == 2


def test_a_number_that_was_pruned_is_no_version(store: Store, loaded: Job) -> None:
    """A writer that slept for months finds its number free, has lost, and extends the newest."""
    last_one = Retention(versions=1)
    publish(store, loaded, read_live(store), drafting("1.csv", run_id="r1"), clock=clock)
    stale = read_live(store)
    for number in range(2, 5):
        later = clock() + timedelta(days=40 * number)
        publish(store, loaded, read_live(store), drafting(f"{number}.csv", run_id=f"r{number}"),
                clock=lambda now=later: now, retention=last_one)  # fmt: skip
    assert [entry.path[-6:] for entry in prune(store, retain=timedelta(0), delete=True).manifests]
    published = publish(store, loaded, stale, drafting("late.csv", run_id="late"), clock=clock,
                        retention=last_one)  # fmt: skip
    assert published is not None
    assert published.version == 5
    assert set(read_live(store).ledger.paths()) == {"1.csv", "2.csv", "3.csv", "4.csv", "late.csv"}


def test_many_segments_are_folded_into_one(store: Store, loaded: Job) -> None:
    """The last entry of each path stays the truth."""
    most = RETENTION.segments
    for number in range(most + 2):
        publish(store, loaded, read_live(store), drafting("same", f"{number}", run_id=f"r{number}"),
                clock=clock)  # fmt: skip
    live = read_live(store)
    assert live.manifest is not None
    assert len(live.manifest.ledger) == 2
    assert len(live.ledger) == most + 3
    assert live.manifest.totals.inputs == most + 3
    same = live.ledger.get("same")
    assert same is not None
    assert same.run_id == f"r{most + 1}"


def test_a_damaged_ledger_is_named(store: Store, loaded: Job) -> None:
    """A missing or altered segment is never taken for an empty one."""
    publish(store, loaded, read_live(store), drafting("1.csv"), clock=clock)
    (segment,) = Path(store.url, "ledger").iterdir()
    segment.write_bytes(segment.read_bytes() + b" ")
    with pytest.raises(Damaged, match=segment.name):
        read_live(store)
    segment.unlink()
    with pytest.raises(StoreDown, match=segment.name):
        read_live(store)


def test_a_manifest_of_another_format_is_refused(store: Store, loaded: Job) -> None:
    """Before anything else in it is looked at."""
    publish(store, loaded, read_live(store), drafting("1.csv"), clock=clock)
    for path in (layout.POINTER, layout.manifest_path(1)):
        Path(store.url, path).write_text('{"format": "batch-predict/9"}')
    with pytest.raises(DoesNotFit, match="batch-predict/9"):
        read_live(store)


def test_a_column_keeps_its_type() -> None:
    """Readers rely on it; a further column is fine."""
    known = (Column(name="id", type="string"),)
    assert union_columns(known, (Column(name="x", type="float64"),))[1].name == "x"
    with pytest.raises(DoesNotFit, match="'id'"):
        union_columns(known, (Column(name="id", type="int64"),))
