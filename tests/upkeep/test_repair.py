"""After repair and a run every record is there once, whatever was damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from batch.client import Predictions
from batch.errors import Damaged, StoreDown
from batch.logs import utc_now
from batch.output.manifest import Manifest
from batch.output.plan import Packing
from batch.output.read import Retention
from batch.store import open_store
from batch.store.base import Store
from batch.upkeep.repair import look_for_damage, repair
from batch.upkeep.verify import Health, verify
from batch.wording import command as typed
from tests.support import damaged, oracle
from tests.support.jobs import JobFolder
from tests.support.wrapped import Wrapped

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")
ALL = {**damaged.PLAIN, **damaged.DEEP, **damaged.ENTRIES, **damaged.LEDGER}


def mend(job: JobFolder, *, yes: bool = False, store: Store | None = None) -> Manifest | None:
    """What the command does."""
    opened, found = job.opened()
    store = store or opened
    with job.mirrored():
        return repair(store, found, look_for_damage(store, found), yes=yes, clock=utc_now)


def command(job: JobFolder, *options: str) -> Result:
    """The command, in this process."""
    with job.mirrored():
        return CliRunner().invoke(main, ["repair", str(job.folder), *options])


def look(job: JobFolder) -> Health:
    """What verify --deep finds."""
    with job.mirrored():
        return verify(open_store(job.output_url), deep=True)


def require_mended(job: JobFolder) -> dict[str, Any]:
    """The oracle, verify and an application agree."""
    manifest = job.judge()
    assert look(job).findings == ()
    predictions = Predictions(job.output_url)
    for row in job.rows():
        assert (predictions.get(row["id"]) or {})["_row"] == row["_row"]
    predictions.close()
    assert mend(job, yes=True) is None
    return manifest


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ALL)
def test_repair_and_a_run_bring_every_record_back(published: JobFolder, kind: str) -> None:
    """Between the two, what is published is whole, and holds less."""
    ALL[kind](published.output)
    assert not look(published).ok
    manifest = mend(published, yes=kind in damaged.LEDGER)
    assert manifest is not None
    assert (manifest.version, manifest.kind) == (4, "repair")
    assert manifest.added.inputs == 0
    # The newest segment says all that the second one does.
    is_known_twice = kind.startswith("segment 1")
    assert (published.judge()["totals"]["inputs"] == 4) == is_known_twice
    assert look(published).ok
    outcome = published.run()
    assert (outcome.exit_code, outcome.version) == (0, 4 if is_known_twice else 5)
    assert require_mended(published)["totals"]["records"] == 10


@pytest.mark.sampled
@pytest.mark.parametrize(
    "kind",
    ["a shared part is missing", "a shared part is cut off", "rejects are missing",
     "a row is that of the other input", "a byte of a shared part flipped",
     "a byte of the rejects flipped", "a row stands twice", "segment 0 is missing"],
)  # fmt: skip
def test_a_replacement_is_predicted_anew(job: JobFolder, kind: str) -> None:
    """All of the present input, once."""
    job.configure(output={"path": "out", "mode": "replace"})
    job.add("1.csv", [("a", 1, 2), ("b", "oops", 4), ("c", 2, 2)])
    job.add("2.csv", [("d", 2, 2), ("e", "oops", 1), ("f", 1, 1)])
    job.run()
    ALL[kind](job.output)
    assert not look(job).ok
    assert mend(job, yes=kind in damaged.LEDGER) is not None
    assert look(job).ok
    assert job.run().version == 3
    assert require_mended(job)["totals"]["records"] == 6


def test_a_replacement_that_lost_some_inputs_is_predicted_whole(job: JobFolder) -> None:
    """A version of the present input holds all of it, by one run."""
    job.packing = Packing(packed_inputs=1)
    job.configure(output={"path": "out", "mode": "replace"})
    job.add("1.csv", [("a", 1, 2)])
    job.add("2.csv", [("b", 2, 2)])
    job.run()
    damaged.flipped("files")(job.output)
    mend(job)
    assert job.judge()["totals"]["inputs"] == 1
    assert job.run().added.inputs == 2
    require_mended(job)


@pytest.mark.sampled
@pytest.mark.parametrize("index", [0, 1])
def test_a_folded_ledger_is_repaired(job: JobFolder, index: int) -> None:
    """The older entries of one segment, or the newer ones after it."""
    job.retention = Retention(segments=2)
    damaged.live_three_versions(job)
    job.add("5.csv", [("k", 1, 1)])
    job.run()
    assert len(job.judge()["ledger"]) == 2
    damaged.missing("ledger", index)(job.output)
    mend(job, yes=True)
    assert job.judge()["totals"]["inputs"] == (1 - index) * 1 + index * 4
    job.run()
    assert require_mended(job)["totals"]["records"] == 11


def test_several_damages_are_mended_at_once(published: JobFolder) -> None:
    """One version, one run."""
    damaged.missing("files", 2)(published.output)
    damaged.flipped("rejects")(published.output)
    damaged.flipped("ledger", 1)(published.output)
    manifest = mend(published, yes=True)
    assert manifest is not None
    assert manifest.totals.inputs == 1  # The rejects are of 1.csv and 2.csv, 4.csv has no part.
    published.run()
    require_mended(published)


def test_everything_gone_is_predicted_again(published: JobFolder) -> None:
    """A version that is empty is a whole one."""
    for folder in ("data", "rejects", "ledger", "models"):
        shutil.rmtree(published.output / folder)
    manifest = mend(published, yes=True)
    assert manifest is not None
    assert (manifest.files, manifest.rejects, manifest.ledger) == ((), (), ())
    assert published.run().added.inputs == 4
    require_mended(published)


def test_healthy_inputs_stay_as_they_are(published: JobFolder) -> None:
    """Only what the damage touches is predicted again; a part that is shared is written anew."""
    damaged.rewritten(damaged.with_a_row_too_far, "rejects")(published.output)
    assert mend(published) is not None
    left = {row["_input"] for row in published.rows()}
    assert left == {"2.csv", "3.csv", "4.csv"}
    assert published.run().added.inputs == 1


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["path", "recipe", "sidecar"])
def test_a_missing_model_is_written_by_the_next_run(published: JobFolder, name: str) -> None:
    """It is no reason for a version."""
    damaged.missing("model", name=name)(published.output)
    found = command(published)
    assert found.exit_code == 0
    assert "the next run with this model writes it again" in found.stdout
    assert "nothing was published" in found.stdout
    published.add("5.csv", [("k", 1, 1)])
    assert published.run().exit_code == 0
    require_mended(published)


def test_an_earlier_version_cannot_be_repaired(published: JobFolder) -> None:
    """It is named, until a repair of the live one leaves it behind."""
    (published.output / "manifests" / "0000000002.json").unlink()
    found = command(published)
    assert (found.exit_code, "needed by version 2; next: restore" in found.stdout) == (0, True)
    assert not look(published).ok
    damaged.missing("files")(published.output)
    mend(published)
    health = look(published)
    assert health.ok
    assert {note.versions for note in health.notes} == {(2,), (3, 1)}


def test_a_manifest_in_the_pointer_alone_is_written_again(published: JobFolder) -> None:
    """As it was."""
    path = published.output / "manifests" / "0000000003.json"
    before = json.loads(path.read_bytes())
    path.unlink()
    assert "wrote the manifest of version 3 again" in command(published).stdout
    assert json.loads(path.read_bytes()) == before
    require_mended(published)


def test_a_wrong_total_is_a_reason_for_a_version(published: JobFolder) -> None:
    """Nothing is predicted again."""
    totals = {"inputs": 4, "records": 9, "predicted": 8, "rejected": 2, "bytes": 1}
    damaged.rewrite_manifest(published.output, totals=totals)
    manifest = mend(published)
    assert manifest is not None
    assert manifest.totals.records == 10
    assert published.run().name == "nothing to do"
    require_mended(published)


def test_nothing_damaged_publishes_nothing(published: JobFolder) -> None:
    """And says so."""
    store = open_store(published.output_url)
    with published.mirrored():
        before = store.list()
    found = command(published)
    assert (found.exit_code, found.stdout) == (
        0,
        "job: version 3 needs no repair; nothing was published\n",
    )
    assert store.list().entries == before.entries


def test_nothing_published_is_nothing_to_repair(job: JobFolder) -> None:
    """Exit code 66."""
    assert command(job).exit_code == 66


def test_it_says_what_it_found_and_did(published: JobFolder) -> None:
    """And what to type next; the second time there is nothing."""
    path = damaged.missing("files", 1)(published.output)
    found = command(published)
    assert found.exit_code == 0
    assert f"{path}: missing; needed by version 3" in found.stdout
    assert (
        "job: published version 4: without 1 damaged file; 1 input removed, to be predicted "
        f"again: 3.csv\n  next: {typed('run', published.folder)}\n"
    ) in found.stdout
    found = command(published)
    assert "needs no repair" in found.stdout
    assert f"note: {path}: missing; needed by version 3;" in found.stdout


def test_inputs_that_are_gone_need_a_yes(published: JobFolder) -> None:
    """Without it nothing is published: their predictions would be lost."""
    damaged.missing("files")(published.output)
    (published.data / "2.csv").unlink()
    before = (published.output / "manifest.json").read_bytes()
    found = command(published)
    assert found.exit_code == 69
    assert "as no run would take in their inputs again: 1 input: 2.csv" in found.stderr
    assert "--yes" in found.stderr
    assert (published.output / "manifest.json").read_bytes() == before
    assert command(published, "--yes").exit_code == 0
    published.run()
    assert require_mended(published)["totals"]["inputs"] == 3


@pytest.mark.sampled
@pytest.mark.parametrize("take", ["exclude", "no folder"])
def test_inputs_that_no_run_takes_in_are_lost_too(published: JobFolder, take: str) -> None:
    """Excluded since, or all gone with their folder: an unmounted disk throws nothing away."""
    damaged.missing("files")(published.output)
    if take == "exclude":
        published.configure(input={"path": "data/*.csv", "key": ["id"], "exclude": ["1.csv"]})
    else:
        published.data.rename(published.folder / "elsewhere")
    with pytest.raises(Damaged, match="1\\.csv"):
        mend(published)


@pytest.mark.local_only("on S3 nothing waits")
def test_inputs_that_only_wait_are_not_lost(published: JobFolder) -> None:
    """A file that was sent again just now is predicted by a later run."""
    damaged.missing("files")(published.output)
    (published.data / "1.csv").touch()
    assert mend(published) is not None


def test_a_damaged_ledger_needs_a_yes(published: JobFolder) -> None:
    """What it says that nobody else knows is lost."""
    damaged.missing("ledger")(published.output)
    found = command(published)
    assert (found.exit_code, "to be predicted again: 2 inputs: 1.csv, 2.csv" in found.stderr) == (
        69,
        True,
    )
    assert oracle.newest(published.output)["version"] == 3  # type: ignore[index]


def test_a_paused_job_stays_paused(published: JobFolder) -> None:
    """And as stale as it was."""
    published.configure(output={"path": "out", "fresh_for": "1d"})
    published.add("5.csv", [("k", 1, 1)])
    published.run()
    published.roll_back(to=3)
    before = oracle.newest(published.output) or {}
    damaged.flipped("files")(published.output)
    assert mend(published) is not None
    after = oracle.newest(published.output) or {}
    assert after["paused"] == before["paused"]
    assert after["stale_after"] == before["stale_after"]
    assert published.run().exit_code == 3
    published.unpause()
    assert published.run().exit_code == 0
    require_mended(published)


def plodding(job: JobFolder, *meanwhile: Callable[[], object]) -> Store:
    """Between the look and the publication, others do something."""
    left = [*meanwhile]

    def before(verb: str, path: str) -> None:
        if verb == "create" and path.startswith("manifests/") and left:
            left.pop()()

    return Wrapped(open_store(job.output_url), before)


def test_a_lost_race_is_won_with_the_next_number(published: JobFolder) -> None:
    """What another run took in meanwhile stays."""
    damaged.flipped("files")(published.output)
    published.add("5.csv", [("k", 1, 1)])
    manifest = mend(published, store=plodding(published, published.run))
    assert manifest is not None
    assert (manifest.version, manifest.totals.inputs) == (5, 3)
    published.run()
    require_mended(published)


def test_a_race_against_another_repair_leaves_nothing_to_do(published: JobFolder) -> None:
    """Who comes second finds the other's version, and it is whole."""
    damaged.flipped("files")(published.output)
    store = plodding(published, lambda: mend(published))
    assert mend(published, store=store) is None
    assert (oracle.newest(published.output) or {})["version"] == 4
    published.run()
    require_mended(published)


def test_consent_is_asked_of_what_is_published(published: JobFolder) -> None:
    """What was lost since the look was agreed to by nobody."""
    damaged.flipped("files")(published.output)

    def meanwhile() -> None:
        (published.data / "1.csv").unlink()
        published.add("5.csv", [("k", 1, 1)])
        published.run()

    with pytest.raises(Damaged, match=r"1 input: 1\.csv"):
        mend(published, store=plodding(published, meanwhile))


def dying(job: JobFolder, operation: int) -> Store:
    """Goes away at the n-th thing that is written."""
    left = iter(range(operation))

    def before(verb: str, _: str) -> None:
        if verb in {"upload", "replace"} and next(left, None) is None:
            raise StoreDown("gone")

    return Wrapped(open_store(job.output_url), before)


@pytest.mark.sampled
@pytest.mark.parametrize("operation", range(4))
def test_a_repair_that_died_is_repeated(published: JobFolder, operation: int) -> None:
    """Wherever it stopped: a rewritten part, the ledger, the manifest, the pointer."""
    damaged.rewritten(damaged.with_a_row_too_far, "rejects")(published.output)
    with suppress(StoreDown):
        mend(published, store=dying(published, operation))
    mend(published)
    assert look(published).ok
    published.run()
    require_mended(published)


def keep_plans(verb: str, path: str) -> None:
    """What is pending is not removed: a run that died after its commit leaves that."""
    if verb == "delete" and path.startswith("pending/"):
        raise StoreDown("gone")


def test_a_plan_that_was_published_does_not_bring_the_damage_back(job: JobFolder) -> None:
    """Its receipts name the damaged file, whose size is right."""
    job.add("1.csv", [("a", 1, 2)])
    job.run(before=keep_plans)
    assert list((job.output / "pending").rglob("plan.json"))
    damaged.flipped("files")(job.output)
    assert mend(job) is not None
    assert job.run().added.inputs == 1
    require_mended(job)
