from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batch.authoring.dates import dated_patterns
from batch.job.pattern import InputPattern


@pytest.mark.parametrize(
    ("path", "base", "names"),
    [
        ("/in/data/{date}.csv", "/in/data/", "{date}.csv"),
        ("/in/**/*.csv", "/in/", "**/*.csv"),
        ("/in/flights.csv", "/in/", "flights.csv"),
        ("/in/2013-*/a.csv", "/in/", "2013-*/a.csv"),
        ("s3://bucket/in/*.csv", "s3://bucket/in/", "*.csv"),
    ],
)
def test_inputs_are_named_below_the_folder_before_the_first_wildcard(
    path: str, base: str, names: str
) -> None:
    """So that a name stays the same when the whole tree moves."""
    pattern = InputPattern(path)
    assert (pattern.base, pattern.names) == (base, names)


@pytest.mark.parametrize(
    ("path", "name", "matches"),
    [
        ("in/*.csv", "a.csv", True),
        ("in/*.csv", "b/a.csv", False),
        ("in/*.csv", "a.csv.gz", False),
        ("in/*.csv", "a.CSV", False),
        ("in/**/*.csv", "a.csv", True),
        ("in/**/*.csv", "2013/12/a b é.csv", True),
        ("in/part-?.csv", "part-1.csv", True),
        ("in/part-?.csv", "part-12.csv", False),
        ("in/{date}.csv", "2013-12-01.csv", True),
        ("in/{date}.csv", "2013-12-32.csv", False),
        ("in/{date}.csv", "13-12-01.csv", False),
        ("in/{date:%Y/%m/%d}/*.csv", "2013/12/01/a.csv", True),
        ("in/{date:%Y/%m/%d}/*.csv", "2013/12/1/a.csv", False),
        ("in/{date:%Y%j}.csv", "2013335.csv", True),
        ("in/{date:%d%b%Y}.csv", "01Dec2013.csv", True),
        ("in/{date:%Y/%m/%d}/{date}.csv", "2013/12/01/2013-12-01.csv", True),
        ("in/{date:%Y/%m/%d}/{date}.csv", "2013/12/01/2013-12-02.csv", False),
        ("in/a.b.csv", "a.b.csv", True),
        ("in/a.b.csv", "axb.csv", False),
    ],
)
def test_a_name_is_an_input_or_it_is_not(path: str, name: str, matches: bool) -> None:
    """The whole name counts, and a date that does not exist is none."""
    assert InputPattern(path).matches(name) is matches


@pytest.mark.parametrize(
    ("path", "name", "date"),
    [
        ("in/{date}.csv", "2013-12-01.csv", datetime(2013, 12, 1, tzinfo=UTC)),
        ("in/{date:%Y%m%dT%H%M}.csv", "20131201T0530.csv", datetime(2013, 12, 1, 5, 30, tzinfo=UTC)),
        ("in/*.csv", "2013-12-01.csv", None),
    ],
)  # fmt: skip
def test_the_date_in_a_name_is_in_utc(path: str, name: str, date: datetime | None) -> None:
    """It is the moment that the input speaks about."""
    assert InputPattern(path).date(name) == date


@pytest.mark.parametrize("spelled", ["%Y", "%Y-%m", "%m-%d", "%Y-%m-%d %Z", "%Y-%m-%d-%f"])
def test_a_date_that_is_not_whole_is_refused(spelled: str) -> None:
    """Or one with a directive that no name could be matched by."""
    with pytest.raises(ValueError, match=r"needs a year, a month and a day|unknown %"):
        InputPattern(f"in/{{date:{spelled}}}.csv")


# The way back: from one name to the pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("data/2013-12-01.csv", "data/{date}.csv"),
        ("flights_20131201.csv.gz", "flights_{date:%Y%m%d}.csv.gz"),
        ("flights_2013_12_01.csv", "flights_{date:%Y_%m_%d}.csv"),
        ("../in/2013/12/01/a.parquet", "../in/{date:%Y/%m/%d}/a.parquet"),
        ("in/dt=2013-12-01/part-0.parquet", "in/dt={date}/part-0.parquet"),
        ("in/year=2013/month=12/day=01/a.csv", "in/{date:year=%Y/month=%m/day=%d}/a.csv"),
        ("in/201312/01.csv", "in/{date:%Y%m/%d}.csv"),
        ("in/2013/12/flights-2013-12-01.csv", "in/*/*/flights-{date}.csv"),
        ("in/2013/12/01/2013-12-01.csv", "in/{date:%Y/%m/%d}/{date}.csv"),
        ("in/2013-12-01/20131201T0530.csv", "in/*/{date:%Y%m%dT%H%M}.csv"),
        ("in/31.12.2013.csv", "in/{date:%d.%m.%Y}.csv"),
        ("in/12-31-2013.csv", "in/{date:%m-%d-%Y}.csv"),
        ("in/31Dec2013.csv", "in/{date:%d%b%Y}.csv"),
        ("store42/2013-12-01-0007.csv", "store42/{date}-0007.csv"),
        ("2013-11-30/2013-12-01.csv", "2013-11-30/{date}.csv"),
    ],
)
def test_a_date_in_a_path_becomes_a_wildcard(path: str, pattern: str) -> None:
    """In names and folders; other digits stay, and the pattern matches the path it comes from."""
    assert dated_patterns(path)[0] == pattern
    found = InputPattern(f"/x/{pattern}")
    assert found.matches(f"/x/{path}".removeprefix(found.base))


@pytest.mark.parametrize(
    "path", ["flights.csv", "20131399.csv", "2013-02-30.csv", "id-1234567890.csv", "v1.2.3/a.csv"]
)
def test_digits_that_are_no_date_stay(path: str) -> None:
    """A number of eight digits is not a day."""
    assert dated_patterns(path) == []


def test_a_date_of_two_readings_gives_both() -> None:
    """The other files in the folder decide between day and month."""
    assert dated_patterns("03.04.2013.csv") == ["{date:%d.%m.%Y}.csv", "{date:%m.%d.%Y}.csv"]


@pytest.mark.parametrize("path", ["in/{data}.csv", "in/{}.csv", "in/{Date}.csv"])
def test_other_braces_are_refused(path: str) -> None:
    """A slip of the pen would match nothing, for ever."""
    with pytest.raises(ValueError, match="unknown wildcard"):
        InputPattern(path)
