"""Damage is named; what is whole is not."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from batch.errors import NotPermitted, StoreDown
from batch.output.read import Retention
from batch.store import open_store
from batch.upkeep.damage import examine
from batch.upkeep.prune import prune
from batch.upkeep.verify import Health, verify
from batch.wording import command as typed
from tests.support import damaged, oracle
from tests.support.jobs import JobFolder, touch
from tests.support.wrapped import Wrapped

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")


def look(job: JobFolder, *, deep: bool = False) -> Health:
    """What verify finds."""
    with job.mirrored():
        return verify(open_store(job.output_url), deep=deep)


def command(job: JobFolder, *options: str, of: str = "") -> Result:
    """The command, in this process, on the job or on this output."""
    with job.mirrored():
        return CliRunner().invoke(main, ["verify", of or str(job.folder), *options])


def test_a_whole_output_is_one_line(published: JobFolder) -> None:
    """With the figures of the live version."""
    found = command(published, "--deep")
    assert (found.exit_code, found.stdout) == (0, "ok: version 3, 4 inputs, 10 records, 3 parts\n")
    assert command(published, of=published.output_url).exit_code == 0


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [*damaged.PLAIN, *damaged.LEDGER, *damaged.MODEL_MISSING])
def test_damage_is_named(published: JobFolder, kind: str) -> None:
    """The object, the versions that need it, the live one first, and what to do."""
    path = {**damaged.PLAIN, **damaged.LEDGER, **damaged.MODEL_MISSING}[kind](published.output)
    for deep in (False, True):
        found = look(published, deep=deep).findings
        assert {finding.path for finding in found} == {path}
        assert found[0].versions[0] == 3
        assert found[0].hint


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [*damaged.DEEP, *damaged.MODEL_FLIPPED])
def test_deep_finds_what_a_size_does_not_tell(published: JobFolder, kind: str) -> None:
    """Every byte is hashed, every row is looked at."""
    path = {**damaged.DEEP, **damaged.MODEL_FLIPPED}[kind](published.output)
    assert {finding.path for finding in look(published, deep=True).findings} == {path}


def test_findings_are_lines_and_an_exit_code(published: JobFolder) -> None:
    """For a person, and for a program."""
    path = damaged.missing("files")(published.output)
    found = command(published)
    assert found.exit_code == 69
    assert found.stdout == (
        f"{path}: missing; needed by version 3, 2, 1; next: {typed('repair', published.folder)}\n"
    )
    as_json = command(published, "--json")
    assert as_json.exit_code == 69
    health = json.loads(as_json.stdout)
    assert (health["ok"], health["version"], health["findings"][0]["path"]) == (False, 3, path)


def test_all_objects_gone_is_no_reason_to_stop(published: JobFolder) -> None:
    """Each is named, and the command shows no more than a person reads."""
    for folder in ("data", "rejects", "ledger", "models"):
        shutil.rmtree(published.output / folder)
    assert len(look(published, deep=True).findings) >= 10
    assert command(published).exit_code == 69


def test_objects_of_earlier_versions_are_looked_at(published: JobFolder) -> None:
    """A rollback to them would find them missing."""
    manifest = json.loads((published.output / "manifests" / "0000000002.json").read_text())
    live = {file["path"] for file in (oracle.newest(published.output) or {})["files"]}
    (path,) = {file["path"] for file in manifest["files"]} - live
    (published.output / path).write_bytes(b"")
    (finding,) = look(published).findings
    assert (finding.path, finding.versions) == (path, (2,))
    assert "only a rollback to these versions" in finding.hint


@pytest.mark.sampled
@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"format": "batch-predict/9"}'])
def test_an_earlier_manifest_that_is_gone_or_damaged_is_named(
    published: JobFolder, content: bytes | None
) -> None:
    """The chain has no gaps."""
    path = published.output / "manifests" / "0000000002.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (finding,) = look(published).findings
    assert (finding.path, finding.versions) == ("manifests/0000000002.json", (2,))


@pytest.mark.sampled
@pytest.mark.parametrize("content", [None, b"{}"])
def test_the_newest_manifest_may_be_in_the_pointer_alone(
    published: JobFolder, content: bytes | None
) -> None:
    """Then the live version is known, and looked at."""
    path = published.output / "manifests" / "0000000003.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    health = look(published)
    (finding,) = health.findings
    assert (health.version, finding.path) == (3, "manifests/0000000003.json")
    assert ("remove it" in finding.hint) == (content is not None)
    assert "`repair JOB`" in finding.hint


def test_a_damaged_newest_manifest_hides_no_other_damage(published: JobFolder) -> None:
    """What is before it is looked at."""
    (published.output / "manifest.json").unlink()
    (published.output / "manifests" / "0000000003.json").write_text("{")
    part = damaged_part(published)
    health = look(published)
    assert health.version == 2
    assert {found.path for found in health.findings} == {part, "manifests/0000000003.json"}


def damaged_part(job: JobFolder) -> str:
    """Remove the first part of version 2."""
    manifest = json.loads((job.output / "manifests" / "0000000002.json").read_text())
    (job.output / manifest["files"][0]["path"]).unlink()
    return str(manifest["files"][0]["path"])


def test_a_pointer_that_is_missing_or_behind_is_only_noted(published: JobFolder) -> None:
    """The next run moves it."""
    pointer = published.output / "manifest.json"
    pointer.write_bytes((published.output / "manifests" / "0000000002.json").read_bytes())
    health = look(published)
    assert (health.ok, health.version, health.notes[0].path) == (True, 3, "manifest.json")
    pointer.unlink()
    health = look(published)
    assert (health.ok, health.version, health.notes[0].what) == (True, 3, "missing")


@pytest.mark.sampled
@pytest.mark.parametrize("content", ["", "{}", '{"format": "x"}'])
def test_a_pointer_that_is_no_manifest_is_named(published: JobFolder, content: str) -> None:
    """Applications cannot read it."""
    (published.output / "manifest.json").write_text(content)
    assert [found.path for found in look(published).findings] == ["manifest.json"]


def test_a_pointer_that_differs_from_its_version_is_named(published: JobFolder) -> None:
    """It is a copy, or it is nothing."""
    text = (published.output / "manifest.json").read_text()
    (published.output / "manifest.json").write_text(text.replace('"job": "job"', '"job": "jab"'))
    assert [found.path for found in look(published).findings] == ["manifest.json"]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"totals": {"inputs": 4, "records": 11, "predicted": 8, "rejected": 2}}, "records"),
        ({"parent": 1}, "parent"),
        ({"oldest_kept": 0}, "oldest_kept"),
        ({"files": []}, "not live"),
        ({"ledger": 5}, "entries: found"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_named(
    published: JobFolder, changes: dict[str, object], what: str
) -> None:
    """Totals, chain, and ledger are compared with one another."""
    if "ledger" in changes:
        (*others, last) = (oracle.newest(published.output) or {})["ledger"]
        changes = {"ledger": [*others, last | {"inputs": changes["ledger"]}]}
    damaged.rewrite_manifest(published.output, **changes)
    assert any(what in found.what for found in look(published).findings)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "what"),
    list(
        zip(damaged.ENTRIES, ["does not add up", "no file for its rows", "not live"], strict=True)
    ),
)
def test_an_entry_that_contradicts_itself_is_named(
    published: JobFolder, kind: str, what: str
) -> None:
    """Records = predicted + rejected, and each of them is in a live file."""
    damaged.ENTRIES[kind](published.output)
    found = [finding.what for finding in look(published).findings]
    assert any("4.csv" in line and what in line for line in found)


def test_a_manifest_under_another_name_is_named(published: JobFolder) -> None:
    """Its number is that of its name."""
    manifests = published.output / "manifests"
    shutil.copy(manifests / "0000000001.json", manifests / "0000000002.json")
    (finding,) = look(published).findings
    assert finding.what == "holds version 1"


def test_before_the_first_version_there_is_nothing_to_verify(job: JobFolder) -> None:
    """Exit code 66, as for other commands that look."""
    assert command(job).exit_code == 66


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.EMFILE, "many"), StoreDown),
        (PermissionError(errno.EACCES, "no"), NotPermitted),
    ],
)
def test_a_store_that_does_not_answer_is_no_damage(
    published: JobFolder, error: OSError, raised: type[Exception]
) -> None:
    """A repair would throw away what is whole."""

    def judge(_: Path) -> str:
        raise error

    with published.mirrored(), pytest.raises(raised):
        examine(open_store(published.output_url), "manifest.json", judge)


def test_a_bad_sector_is_damage(published: JobFolder) -> None:
    """The file is there and cannot be read."""

    def judge(_: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with published.mirrored():
        found = examine(open_store(published.output_url), "manifest.json", judge)
    assert "cannot be read" in found


def test_what_was_pruned_meanwhile_is_not_missed(published: JobFolder) -> None:
    """Versions below oldest_kept need nothing."""
    (published.output / "manifests" / "0000000001.json").unlink()
    assert not look(published).ok
    meanwhile = [published]

    def prune_once(verb: str, _: str) -> None:
        """Another process publishes and prunes while we read the rows."""
        if verb == "fetch" and meanwhile:
            damaged.rewrite_manifest(meanwhile.pop().output, oldest_kept=3)
            with published.mirrored():
                pass

    store = Wrapped(open_store(published.output_url), prune_once)
    assert verify(store, deep=False).ok
    assert not meanwhile


def test_versions_below_oldest_kept_are_ignored(published: JobFolder) -> None:
    """Prune deletes them."""
    damaged.rewrite_manifest(published.output, oldest_kept=3)
    (published.output / "manifests" / "0000000001.json").write_text("")
    (published.output / "manifests" / "0000000002.json").unlink()
    assert look(published, deep=True).ok


def test_a_healthy_life_verifies_clean(job: JobFolder) -> None:
    """After every step: changes, re-sent and vanished inputs, rollback, window, folding, prune."""
    job.retention = Retention(segments=3)
    job.configure(input={"path": "data/{date}-*.csv"})
    store, found = job.opened()

    def healthy() -> None:
        health = look(job, deep=True)
        assert (health.findings, health.notes) == ((), ())

    def run() -> None:
        assert job.run().exit_code == 0
        healthy()

    for number in range(1, 5):
        job.add(f"2026-01-0{number}-a.csv", [(f"a{number}", 1, 2), ("b", "oops", 4)])
        job.add(f"2026-01-0{number}-b.csv", [(f"c{number}", number, 2)])
        run()
    job.add("2026-01-01-a.csv", [("a1", 3, 2), ("b", 3, 3)])
    run()
    touch(job.data / "2026-01-02-a.csv")
    (job.data / "2026-01-03-b.csv").unlink()
    job.add("2026-01-06-empty.csv", [])
    run()
    job.roll_back(to=3)
    healthy()
    job.unpause()
    healthy()
    run()
    job.configure(input={"path": "data/{date}-*.csv"}, output={"path": "out", "window": "1d"})
    run()
    assert look(job).totals.records == 0
    with job.mirrored():
        prune(store, retain=found.settings.output.retain, delete=True)
    healthy()


def test_a_healthy_replacement_verifies_clean(job: JobFolder) -> None:
    """Each version holds the present input only."""
    job.configure(output={"path": "out", "mode": "replace"})
    for number in range(3):
        job.add("1.csv", [("a", number, 2), ("b", "oops", 4)])
        job.add(f"2-{number}.csv", [(f"c{number}", 1, 2)])
        assert job.run().exit_code == 0
        assert look(job, deep=True).findings == ()
