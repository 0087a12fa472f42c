"""The timeline holds every run and every version, and leads to the version to go back to."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

import pytest

from batch.output import layout
from batch.reports.history import Event, History, read_history
from batch.store import open_store
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model


def events(job: JobFolder, last: int = 20) -> tuple[Event, ...]:
    """The last ones of a job."""
    return history(job, last).events


def history(job: JobFolder, last: int = 20) -> History:
    """The timeline of a job."""
    return read_history(open_store(job.output_url), last=last)


def told(found: tuple[Event, ...]) -> list[tuple[str, str, int | None]]:
    """What, how it went, and the version."""
    return [(event.kind, event.outcome, event.version) for event in found]


@pytest.fixture
def eventful(job: JobFolder) -> JobFolder:
    """Two runs that published, one that did not fit, a rollback, an unpause, a run again."""
    job.add("1.csv", [("a", 1, 2), ("b", 3, "oops")])
    job.run()
    job.add("2.csv", [("c", 4, 4)])
    job.write("3.csv", b"other\n1\n")
    job.run()
    job.configure(model={"methods": ["transform"]})
    job.run()
    job.configure()
    job.roll_back(1, "bad")
    job.unpause()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    job.run()
    return job


def test_runs_and_versions_stand_in_one_line_of_time(eventful: JobFolder) -> None:
    """Each with the model, the counts, and who made it."""
    found = events(eventful)
    assert told(found) == [
        ("run", "published", 1), ("run", "published", 2), ("run", "does not fit", None),
        ("rollback", "published", 3), ("unpause", "published", 4), ("run", "published", 5),
    ]  # fmt: skip
    assert [event.exit_code for event in found] == [0, 65, 78, None, None, 65]
    assert [event.is_live for event in found] == [False] * 5 + [True]
    assert all(event.is_kept for event in found if event.version)
    first, *_, newest = found
    assert (first.added.predicted, first.added.rejected) == (1, 1)
    assert first.model != newest.model
    manifest = oracle.newest(eventful.output)
    assert manifest is not None
    assert (newest.model, newest.by) == (manifest["model"]["sha256"], manifest["published_by"])
    assert found[3].message == "bad"
    assert found[1].message.startswith("unreadable: 3.csv: no column")


def test_the_command_fits_a_terminal_and_says_how_to_go_back(eventful: JobFolder) -> None:
    """No line is longer than 100 columns, and what went wrong stands below its line."""
    folder = str(eventful.folder)
    narrow = os.environ | {"COLUMNS": "100"}
    lines = eventful.command("history", folder, env=narrow).stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 100
    assert lines[0].split()[:4] == ["version", "when", "(UTC)", "what"]
    assert [line.split()[0] for line in lines if line.startswith("      ") and line[6] != " "] == [
        "1", "2", "-", "3", "4", "5"]  # fmt: skip
    assert any(line.strip() == "bad" for line in lines)
    assert "versions 1–5 are kept; to go back: " in lines[-1]
    assert lines[-1].endswith(f"batch-predict rollback {eventful.folder} --to 4")


def test_json_has_every_event_whole(eventful: JobFolder) -> None:
    """Names are not cut short."""
    found = eventful.command("history", str(eventful.folder), "--last", "2", "--json")
    data = json.loads(found.stdout)
    assert [event["version"] for event in data] == [4, 5]
    assert len(data[-1]["model"]) == 64
    assert told(events(eventful, 2)) == [("unpause", "published", 4), ("run", "published", 5)]


def test_a_version_whose_run_left_no_record_is_there(eventful: JobFolder) -> None:
    """Its process was killed after it had published, or its record was pruned or damaged."""
    for path in (eventful.output / "runs").iterdir():
        path.write_text("{")
    found = events(eventful)
    assert [event.version for event in found] == [1, 2, 3, 4, 5]
    assert (found[0].exit_code, found[0].seconds, found[0].added.predicted) == (None, None, 1)
    shutil.rmtree(eventful.output / "runs")
    assert events(eventful) == found


def test_a_version_that_is_gone_is_not_offered(eventful: JobFolder) -> None:
    """Its run stays in the timeline, in brackets."""
    (eventful.output / layout.manifest_path(2)).unlink()
    found = events(eventful)
    assert [event.version for event in found if event.version and not event.is_kept] == [2]
    assert "(2)" in eventful.command("history", str(eventful.folder)).stdout


def test_what_a_check_holds_again_and_again_is_one_line(job: JobFolder) -> None:
    """Cron tries every few minutes."""
    job.configure(checks={"min_rows": 10})
    job.add("1.csv", [("a", 1, 2)])
    for _ in range(3):
        job.run()
    text = job.command("history", str(job.folder)).stdout
    assert "held, 3 times" in text
    assert len([line for line in text.splitlines() if "held, " in line or "held:" in line]) == 2
    assert len(events(job)) == 3
    assert "not published:" in text


def test_runs_are_listed_although_the_versions_cannot_be_read(eventful: JobFolder) -> None:
    """And it is said what is wrong with them."""
    (eventful.output / "manifest.json").write_text("{}")
    found = history(eventful)
    assert "manifest.json" in found.trouble
    assert [event.outcome for event in found.events].count("published") == 3
    assert not any(event.is_kept for event in found.events)
    text = eventful.command("history", str(eventful.folder)).stdout
    assert "the versions cannot be read" in text


def test_before_the_first_run_there_is_nothing(job: JobFolder) -> None:
    """It is no error."""
    assert events(job) == ()
    assert "No run yet." in job.command("history", str(job.folder)).stdout


def test_only_the_last_ones_are_read(eventful: JobFolder) -> None:
    """There may be thousands."""
    from tests.support.wrapped import Wrapped

    read: list[str] = []

    def note(verb: str, path: str) -> None:
        if verb == "read":
            read.append(path)

    store: Any = Wrapped(open_store(eventful.output_url), note)
    assert told(read_history(store, last=1).events) == [("run", "published", 5)]
    assert len([path for path in read if path.startswith("runs/")]) == 1
