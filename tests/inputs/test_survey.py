"""What a run finds to do, and how it is cut into slices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batch.inputs.survey import Survey, survey
from batch.job.job_file import Job, load_job
from batch.output.ledger import Ledger, LedgerEntry, encode_segment
from batch.output.plan import Packing, PlannedInput, pack
from batch.store.base import Entry, Listing
from tests.support.jobs import JobFolder

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def listed(path: str, *, token: str = "t1", age: float = 3600, size: int = 10) -> Entry:
    """An object that was modified `age` seconds ago."""
    return Entry(path, size, token, NOW - timedelta(seconds=age))


def ledgered(path: str, *, token: str = "t1", digest: str = "d") -> LedgerEntry:
    """An input that was taken in."""
    return LedgerEntry(path, 10, token, digest, NOW, 1, 1, 0, ("p",), (), "run1", "recipe")


def ledger(*entries: LedgerEntry) -> Ledger:
    """A ledger of one segment."""
    return Ledger.from_segments([("segment", encode_segment(entries))])


@pytest.fixture
def configured(job: JobFolder) -> Any:
    """A function that makes a job with these keys under [input]."""

    def make(**keys: Any) -> Job:
        mode = "replace" if keys.get("take") == "latest" else "append"
        job.configure(input=keys, output={"mode": mode})
        return load_job(str(job.folder))

    return make


def look(job: Job, *entries: Entry, known: Ledger | None = None, whole: bool = True) -> Survey:
    """Survey a listing."""
    return survey(job, Listing(entries, NOW), known or Ledger(), ends_whole=lambda _: whole)


def test_an_input_is_new_or_changed_by_its_token_alone(configured: Any) -> None:
    """Times say nothing: clocks differ, and files are restored with old ones."""
    known = ledger(ledgered("same.csv"), ledgered("changed.csv", token="t0"))
    found = look(configured(), listed("same.csv"), listed("changed.csv", age=99999),
                 listed("new.csv"), known=known)  # fmt: skip
    assert [(planned.path, planned.reason) for planned in found.todo] == [
        ("changed.csv", "changed"), ("new.csv", "new")]  # fmt: skip
    assert found.todo[0].seen == "t0@run1"
    assert found.todo[0].seen_digest == "d"


def test_as_of_is_the_date_in_the_path_else_the_time_of_modification(configured: Any) -> None:
    """It decides which row of a key is the latest."""
    (dated,) = look(configured(path="data/{date:%Y/%m/%d}.csv"), listed("2026/01/02.csv")).todo
    assert dated.as_of == datetime(2026, 1, 2, tzinfo=UTC)
    (plain,) = look(configured(), listed("x.csv")).todo
    assert plain.as_of == NOW - timedelta(hours=1)


@pytest.mark.parametrize("name", [".hidden.csv", "_tmp/x.csv", "x.csv.tmp", "x.csv.part", "sub/"])
def test_names_of_work_in_progress_are_ignored(configured: Any, name: str) -> None:
    """They are neither inputs nor worth a mention."""
    found = look(configured(path="data/**/*"  , format="csv"), listed(name))  # fmt: skip
    assert not found.todo
    assert not found.unmatched


def test_what_the_pattern_does_not_match_is_named(configured: Any) -> None:
    """A file in the wrong place must not be overlooked."""
    found = look(configured(path="data/{date}.csv", exclude=["notes*"]), listed("2026-01-01.csv"),
                 listed("2026-13-01.csv"), listed("readme"), listed("notes.txt"))  # fmt: skip
    assert [planned.path for planned in found.todo] == ["2026-01-01.csv"]
    assert found.unmatched == ("2026-13-01.csv", "readme")


def test_young_and_half_written_inputs_wait_and_it_is_said_why(configured: Any) -> None:
    """Only plain CSV needs its last newline: a cut archive shows by itself."""
    found = look(configured(), listed("young.csv", age=59))
    assert "min_age" in found.waiting[0].reason
    found = look(configured(), listed("cut.csv"), whole=False)
    assert "final_newline" in found.waiting[0].reason
    assert look(configured(path="data/*.csv.gz"), listed("cut.csv.gz"), whole=False).todo
    assert look(configured(final_newline="optional"), listed("x.csv"), whole=False).todo


def test_latest_takes_the_inputs_of_the_greatest_date(configured: Any) -> None:
    """Earlier exports are as good as gone."""
    job = configured(path="data/{date}-*.csv", take="latest")
    found = look(job, listed("2026-01-01-a.csv"), listed("2026-01-02-a.csv"),
                 listed("2026-01-02-b.csv"), known=ledger(ledgered("2026-01-01-a.csv")))  # fmt: skip
    assert [planned.path for planned in found.todo] == ["2026-01-02-a.csv", "2026-01-02-b.csv"]
    assert found.gone == ("2026-01-01-a.csv",)


def planned(path: str, size: int = 1, token: str = "t1") -> PlannedInput:
    """One input to do."""
    return PlannedInput(path=path, size=size, token=token, as_of=NOW, reason="new")


def test_large_inputs_stand_alone_and_small_ones_together() -> None:
    """Every input is in exactly one slice."""
    packing = Packing()
    inputs = [planned(f"{number:05d}") for number in range(packing.packed_inputs + 1)]
    inputs.append(planned("big", packing.small_bytes + 1))
    groups = pack(inputs, packing)
    assert sorted(map(len, groups)) == [1, 1, packing.packed_inputs]
    assert sorted(one.path for group in groups for one in group) == sorted(
        one.path for one in inputs
    )


def test_a_ledger_survives_its_file() -> None:
    """Every field of an entry comes back as it was, and the last entry of a path counts."""
    first, second = ledgered("a", token="t1"), ledgered("a", token="t2")
    found = ledger(first, ledgered("b"), second)
    assert found.get("a") == second
    assert (len(found), found.token("b"), found.token("c")) == (2, "t1", None)
