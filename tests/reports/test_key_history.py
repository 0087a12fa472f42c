"""Why the prediction of a key changed is told from the versions that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch.errors import BadUsage
from batch.output import layout
from batch.output.read import newest_manifest
from batch.reports.key_history import Story, tell
from batch.store import open_store
from batch.store.base import Store
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model
from tests.support.published import Output, flip_byte, part
from tests.support.wrapped import Wrapped


def story(job: JobFolder, *key: str, store: Store | None = None) -> Story:
    """What is told of a key of a job."""
    store = store or open_store(job.output_url)
    live = newest_manifest(store)
    assert live is not None
    return tell(store, live, key)


def periods(found: Story) -> list[tuple[str, str | None, str | None]]:
    """Versions, reason and input, the newest first."""
    return [(f"{one.first}-{one.last}", one.why, one.input) for one in found.periods]


@pytest.fixture
def lived(job: JobFolder) -> JobFolder:
    """Six versions: a key that comes, stays, changes, comes again later, and is rolled back."""
    for name, rows in (
        ("1.csv", [("b", 1, 2)]),
        ("2.csv", [("a", 1, 2)]),
        ("3.csv", [("c", 3, 4)]),
        ("2.csv", [("z", 9, 9), ("a", 3, 4)]),
        ("4.csv", [("a", 0, 1)]),
    ):
        job.add(name, rows)
        job.run()
    job.roll_back(3)
    return job


def test_a_key_is_followed_through_all_versions(lived: JobFolder) -> None:
    """Versions with the same row are one period; each says what made it another one."""
    assert periods(story(lived, "a")) == [
        ("6-6", "dropped", "2.csv"),
        ("5-5", "new input", "4.csv"),
        ("4-4", "changed input", "2.csv"),
        ("2-3", "new input", "2.csv"),
        ("1-1", None, None),
    ]
    assert periods(story(lived, "b")) == [("1-6", None, "1.csv")]
    assert story(lived, "nobody").periods == ()


def test_another_model_is_named_with_the_versions_that_it_made(lived: JobFolder) -> None:
    """Each period has the model of its row, its predictions, and who published it first."""
    lived.unpause()
    lived.roll_back(1)
    lived.unpause()
    save_tiny_model(lived.folder / "model.joblib", strength=0.01)
    lived.run()
    newest, _, oldest = story(lived, "c").periods[:3]
    assert (newest.first, newest.why, oldest.why) == (10, "new input", "new input")
    assert newest.model != oldest.model
    assert newest.values is not None
    expected = lived.expected("3.csv", 0)
    assert newest.values["probability_yes"] == pytest.approx(expected["probability_yes"])
    manifest = oracle.newest(lived.output)
    assert manifest is not None
    assert (newest.kind, newest.published_by) == ("run", manifest["published_by"])


def test_the_same_content_by_another_recipe_says_so(job: JobFolder) -> None:
    """As after a backfill."""
    output = _of_two_models(job)
    assert [one.why for one in output.periods] == ["other recipe", None]


def _of_two_models(job: JobFolder) -> Story:
    job.configure(output={"mode": "replace"})
    job.add("1.csv", [("a", 1, 2)])
    job.run()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    job.run()
    return story(job, "a")


def test_a_part_that_is_gone_or_damaged_is_named_and_the_rest_is_told(lived: JobFolder) -> None:
    """With the versions whose row it may have held."""
    (path,) = {
        file["path"]
        for file in json.loads((lived.output / layout.manifest_path(2)).read_text())["files"]
    } - {json.loads((lived.output / layout.manifest_path(1)).read_text())["files"][0]["path"]}
    flip_byte(lived.output / path)
    for what in ("sha256", "does not exist"):
        found = story(lived, "a")
        (unread,) = found.unread
        assert (unread.path, unread.versions) == (path, (2, 3, 6))
        assert what in unread.reason
        assert ("4-4", "2.csv") in [(versions, name) for versions, _, name in periods(found)]
        text = lived.command("show", str(lived.folder), "--key", "a", "--all").stdout
        assert f"{path}: " in text
        assert "versions 2, 3, 6" in text
        (lived.output / path).unlink(missing_ok=True)


def test_a_version_that_is_gone_is_named(lived: JobFolder) -> None:
    """The others are told."""
    (lived.output / layout.manifest_path(4)).unlink()
    (lived.output / layout.manifest_path(5)).write_text("{}")
    found = story(lived, "a")
    assert [one.path for one in found.unread] == [layout.manifest_path(4), layout.manifest_path(5)]
    assert [one.versions for one in found.unread] == [(4,), (5,)]
    assert periods(found)[0] == ("2-6", "new input", "2.csv")


def test_every_part_is_read_once(lived: JobFolder) -> None:
    """However many versions name it."""
    read: list[str] = []

    def note(verb: str, path: str) -> None:
        if verb == "fetch" and path.endswith(".parquet"):
            read.append(path)

    story(lived, "a", store=Wrapped(open_store(lived.output_url), note))
    assert len(read) == len({*read}) >= 5


def test_versions_before_the_oldest_kept_are_not_told(tmp_path: Path) -> None:
    """The first period may have begun before."""
    output = Output(tmp_path / "out")
    output.publish(part("2026-01-01", id=["a"], prediction=[0.5]))
    output.publish(part("2026-01-02", id=["b"], prediction=[0.5]))
    live = output.publish(part("2026-01-03", id=["c"], prediction=[0.5]), oldest_kept=2)
    found = tell(output.store, live, ["a"])
    assert [(one.first, one.last) for one in found.periods] == [(2, 3)]
    (output.folder / layout.manifest_path(1)).unlink()
    assert tell(output.store, live, ["a"]) == found


def test_keys_are_given_as_text_whatever_their_types(tmp_path: Path) -> None:
    """Several columns, whole numbers among them; null predictions are values."""
    output = Output(tmp_path / "out", key=("shop", "number"))
    live = output.publish(
        part("2026-01-01", shop=["x", "x", "y"], number=[1, 2, 1], prediction=[0.5, None, 0.7])
    )
    (period,) = tell(output.store, live, ["x", "2"]).periods
    assert (period.row, period.values) == (1, {"prediction": None})
    with pytest.raises(BadUsage, match="expected one for each of shop, number"):
        tell(output.store, live, ["x"])
    with pytest.raises(BadUsage, match="expected int64"):
        tell(output.store, live, ["x", "two"])


def test_the_command_tells_it_in_few_lines(lived: JobFolder) -> None:
    """The newest first, and no more than were asked for; --json has all."""
    folder = str(lived.folder)
    text = lived.command("show", folder, "--key", "a", "--all", "--rows", "2").stdout
    assert "6  rollback of" in text
    assert "record 1" not in text
    assert "… 3 earlier lines" in text
    data = json.loads(lived.command("show", folder, "--key", "a", "--all", "--json").stdout)
    assert [period["last"] for period in data["periods"]] == [6, 5, 4, 3, 1]
    assert data["periods"][2]["row"] == 1
    assert lived.command("show", folder, "--all").returncode == 2
    assert lived.command("show", folder, "--key", "a", "--rejects").returncode == 2
    assert "No such key" in lived.command("show", folder, "--key", "?", "--all").stdout
