"""One run after another on a real disk, each judged by the oracle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.output.plan import PACKING, Packing
from tests.support import oracle
from tests.support.jobs import JobFolder, save_tiny_model, touch

#: Whatever holds on a local disk holds on S3.
PLACES = ("local", "moto", "rgw")
DAY_1 = [("a", 1, 2), ("b", 3, 4), ("c", 0.5, 0)]
DAY_2 = [("d", 2, 2), ("e", 1, 1)]


def test_every_record_is_published_once(job: JobFolder) -> None:
    """The first run takes in all that is there."""
    job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    outcome = job.run()
    assert (outcome.name, outcome.exit_code, outcome.version) == ("published", 0, 1)
    assert job.judge()["totals"]["predicted"] == 5


def test_nothing_new_publishes_nothing(job: JobFolder) -> None:
    """A second run writes the heartbeat and no more."""
    job.add("1.csv", DAY_1)
    job.run()
    before = {path for path in job.output.rglob("*") if path.name != "heartbeat.json"}
    assert job.run().name == "nothing to do"
    assert {path for path in job.output.rglob("*") if path.name != "heartbeat.json"} == before
    assert json.loads((job.output / "heartbeat.json").read_text())["outcome"] == "nothing to do"


def test_new_inputs_are_added_to_the_old_ones(job: JobFolder) -> None:
    """Version 2 holds both days, and its parts are new files beside the old ones."""
    job.add("1.csv", DAY_1)
    job.run()
    job.add("2.csv", DAY_2)
    assert job.run().added.records == 2
    manifest = job.judge()
    assert (manifest["version"], manifest["parent"]) == (2, 1)
    assert len(manifest["files"]) == 2


def test_a_changed_input_replaces_its_earlier_rows_and_no_others(job: JobFolder) -> None:
    """Its rows leave a part that it shares; the other inputs of that part stay."""
    job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    job.run()
    job.add("1.csv", [("a", 9, 9)])
    job.run()
    assert job.judge()["totals"]["records"] == 3
    assert sorted(row["id"] for row in job.rows()) == ["a", "d", "e"]


def test_a_changed_input_takes_its_earlier_rejects_with_it(job: JobFolder) -> None:
    """A corrected record is a prediction and no reject any more."""
    job.add("1.csv", [("a", 1, 2), ("b", "oops", 4)])
    job.add("2.csv", [("d", "oops", 2), ("e", 1, 1)])
    job.run()
    job.add("1.csv", [("a", 1, 2), ("b", 3, 4)])
    job.run()
    manifest = oracle.judge(job.output)
    assert manifest["totals"]["rejected"] == 1
    rejects = oracle.rows_of(job.output, manifest, "rejects")
    assert [row["_input"] for row in rejects] == ["2.csv"]


@pytest.mark.local_only("the same content has the same token there")
def test_the_same_content_again_is_not_predicted(job: JobFolder) -> None:
    """A touched file gets a ledger entry under its new token, and keeps its part."""
    path = job.add("1.csv", DAY_1)
    job.run()
    files = job.judge()["files"]
    touch(path)
    outcome = job.run()
    assert (outcome.name, outcome.added.records) == ("published", 0)
    assert job.judge()["files"] == files
    assert job.run().name == "nothing to do"


def test_a_re_sent_input_may_share_its_part_with_a_changed_one(job: JobFolder) -> None:
    """Its ledger entry follows it to the part that takes the place of the shared one."""
    job.add("1.csv", DAY_1)
    touched = job.add("2.csv", DAY_2)
    job.run()
    job.add("1.csv", [("a", 9, 9)])
    touch(touched)
    job.run()
    assert job.judge()["totals"]["records"] == 3


def test_an_input_that_disappears_keeps_its_predictions(job: JobFolder) -> None:
    """In append mode the record of what was predicted does not depend on the file."""
    gone = job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    job.run()
    gone.unlink()
    assert job.run().name == "nothing to do"
    assert sorted(row["id"] for row in job.rows()) == ["a", "b", "c", "d", "e"]


def test_small_inputs_share_parts(job: JobFolder) -> None:
    """Three hundred little files become one part, and each is ledgered."""
    for number in range(300):
        job.add(f"{number:03d}.csv", [(f"k{number}", number, 1)])
    job.run()
    manifest = job.judge()
    assert (manifest["totals"]["inputs"], len(manifest["files"])) == (300, 1)


def test_header_only_and_empty_inputs_are_taken_in(job: JobFolder) -> None:
    """They have no records, and no run looks at them again."""
    job.add("1.csv", [])
    job.write("2.csv", b"")
    assert job.run().exit_code == 0
    assert job.judge()["totals"] == {
        "inputs": 2,
        "records": 0,
        "predicted": 0,
        "rejected": 0,
        "bytes": 0,
    }
    assert job.run().name == "nothing to do"


def test_odd_names_arrive_as_they_are(job: JobFolder) -> None:
    """Spaces and letters beyond ASCII are part of a name."""
    job.add("größe 1 – ümläut.csv", DAY_1)
    job.run()
    assert {row["_input"] for row in job.rows()} == {"größe 1 – ümläut.csv"}
    job.judge()


@pytest.mark.local_only("on S3 nothing waits")
def test_a_young_input_waits(job: JobFolder) -> None:
    """Somebody may still write to it; the next run after min_age takes it."""
    path = job.add("1.csv", DAY_1)
    os.utime(path)
    outcome = job.run()
    assert (outcome.name, outcome.waiting) == ("nothing to do", 1)
    job.configure(input={"min_age": "0s"})
    assert job.run().name == "published"


@pytest.mark.local_only("on S3 nothing waits")
def test_a_csv_without_its_last_newline_waits(job: JobFolder) -> None:
    """Cut in the middle of a line it would give a record with a cut key."""
    job.write("1.csv", b"id,x,y\na,1,2\nbb,3,4")
    job.add("2.csv", DAY_2)
    assert job.run().waiting == 1
    assert {row["_input"] for row in job.rows()} == {"2.csv"}
    job.configure(input={"final_newline": "optional"})
    job.run()
    assert job.judge()["totals"]["inputs"] == 2


def test_bad_records_become_rejects_with_their_place_and_reason(job: JobFolder) -> None:
    """Everything else of the input is predicted."""
    job.add("1.csv", [("a", 1, 2), ("b", "", 4), ("", 1, 1), ("d", 1), ("e", 1, "x"), ("f", 0, 0)])
    job.run()
    manifest = oracle.judge(job.output)
    rejects = oracle.rows_of(job.output, manifest, "rejects")
    assert [(row["_row"], row["column"], row["raw"]) for row in rejects] == [
        (1, "x", "b,,4"),
        (2, "id", ",1,1"),
        (3, "", "d,1"),
        (4, "y", "e,1,x"),
    ]
    assert [row["id"] for row in job.rows()] == ["a", "f"]


def test_an_unreadable_input_does_not_stop_the_others(job: JobFolder) -> None:
    """It is named, it stays open, and it is taken in once it is whole."""
    job.add("1.csv", DAY_1)
    job.write("2.csv", b"other,columns\n1,2\n")
    outcome = job.run()
    assert (outcome.name, outcome.exit_code) == ("published", 65)
    assert [bad["path"] for bad in job.judge()["unreadable"]] == ["2.csv"]
    assert job.run().exit_code == 65
    assert job.judge()["version"] == 1
    job.add("2.csv", DAY_2)
    assert job.run().exit_code == 0
    assert job.judge()["totals"]["inputs"] == 2


def test_an_unreadable_change_leaves_the_earlier_rows(job: JobFolder) -> None:
    """What was published stays until something readable takes its place."""
    job.add("1.csv", DAY_1)
    job.run()
    job.write("1.csv", b"garbage\n")
    assert job.run().exit_code == 65
    assert len(job.rows()) == 3


def test_too_many_rejects_make_an_input_unreadable(job: JobFolder) -> None:
    """Ten are always allowed, beyond that the share decides."""
    rows = [(f"k{number}", "x" if number < 11 else 1, 1) for number in range(100)]
    job.add("1.csv", rows)
    outcome = job.run()
    assert outcome.exit_code == 65
    assert "11 of 100 records rejected (limit: 10)" in outcome.unreadable[0].reason
    job.configure(input={"max_rejected": "11%"})
    assert job.run().added.rejected == 11


def test_nothing_but_rejects_makes_an_input_unreadable(job: JobFolder) -> None:
    """However few there are: a file of another system would else vanish among the rejects."""
    job.add("1.csv", [("a", "x", 1)])
    assert job.run().exit_code == 65
    assert not (job.output / "manifest.json").exists()


@pytest.mark.local_only("S3 has no folders")
def test_a_pattern_that_never_matched_names_the_nearest_folder(job: JobFolder) -> None:
    """A wrong path must not look like a quiet day."""
    job.configure(input={"path": "nowhere/deeper/*.csv"})
    outcome = job.run()
    assert outcome.exit_code == 66
    assert str(job.folder) in outcome.message


def test_a_model_that_does_not_fit_stops_before_the_first_record(job: JobFolder) -> None:
    """Nothing is predicted, nothing is published, and the exit code says why."""
    job.add("1.csv", DAY_1)
    job.configure(model={"methods": ["transform"]})
    outcome = job.run()
    assert outcome.exit_code == 78
    assert not (job.output / "data").exists()
    assert not (job.output / "pending").exists()


def test_a_new_recipe_says_how_many_inputs_an_older_one_predicted(job: JobFolder) -> None:
    """They stay as they are, and the run says what to do about them."""
    job.add("1.csv", DAY_1)
    job.run()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    job.add("2.csv", DAY_2)
    outcome = job.run()
    assert "1 earlier input predicted by an older recipe" in outcome.message
    assert "older recipe" in outcome.message
    assert outcome.hint


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("input", {"key": ["x"]}),
        ("output", {"mode": "replace"}),
        ("output", {"passthrough": ["y"]}),
    ],
)
def test_a_job_that_became_another_one_is_refused_or_extends(
    job: JobFolder, section: str, keys: dict[str, object]
) -> None:
    """Key and mode cannot change in one output; a further column can."""
    job.add("1.csv", DAY_1)
    job.run()
    job.add("2.csv", DAY_2)
    job.configure(**{section: keys})
    outcome = job.run()
    if "passthrough" in keys:
        assert outcome.exit_code == 0
        assert "y" in [column["name"] for column in job.judge()["columns"]]
    else:
        assert outcome.exit_code == 78
        assert "new folder" in outcome.hint


def test_replace_holds_the_present_input_only(job: JobFolder) -> None:
    """Rows of inputs that are gone leave with the next version."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    job.run()
    assert job.run().name == "nothing to do"
    (job.data / "1.csv").unlink()
    assert job.run().version == 2
    assert job.judge()["totals"]["inputs"] == 1


def test_replace_with_no_input_at_all_keeps_the_live_version(job: JobFolder) -> None:
    """An empty folder is a missing export, not an empty one."""
    job.configure(output={"mode": "replace"})
    path = job.add("1.csv", DAY_1)
    job.run()
    path.unlink()
    assert job.run().exit_code == 66
    assert oracle.judge(job.output)["version"] == 1


def test_replace_publishes_nothing_when_an_input_is_unreadable(job: JobFolder) -> None:
    """Half an export must not take the place of a whole one."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", DAY_1)
    job.run()
    job.add("1.csv", DAY_2)
    job.write("2.csv", b"other\n1\n")
    assert job.run().exit_code == 65
    assert len(job.rows()) == 3


def test_replace_holds_duplicate_keys_and_names_them(job: JobFolder) -> None:
    """A look-up by key has one answer in this mode."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", [*DAY_1, ("a", 5, 5)])
    outcome = job.run()
    assert outcome.exit_code == 3
    assert "more than once: a" in outcome.message
    assert not (job.output / "manifest.json").exists()


def test_replace_ignores_a_touched_export(job: JobFolder) -> None:
    """The same content under a new time is not predicted again."""
    job.configure(output={"mode": "replace"})
    path = job.add("1.csv", DAY_1)
    job.run()
    touch(path)
    assert job.run().added.records == 0
    assert job.run().name == "nothing to do"
    assert job.judge()["totals"]["records"] == 3


def test_replace_predicts_again_with_a_new_model(job: JobFolder) -> None:
    """The version is the present model applied to the present input."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", DAY_1)
    job.run()
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    assert job.run().version == 2
    job.judge()


def test_latest_takes_only_the_newest_date(job: JobFolder) -> None:
    """For nightly full exports in files by date."""
    job.configure(input={"path": "data/{date}/*.csv", "take": "latest"}, output={"mode": "replace"})
    job.add("2026-01-01/a.csv", DAY_1)
    job.add("2026-01-02/a.csv", DAY_1)
    job.add("2026-01-02/b.csv", DAY_2)
    job.run()
    assert {row["_input"] for row in job.rows()} == {"2026-01-02/a.csv", "2026-01-02/b.csv"}


def test_a_held_run_is_judged_again_and_not_predicted_again(job: JobFolder) -> None:
    """Exit 3 until something changes; a new limit judges what is there already."""
    calls = _counting_hook(job)
    job.configure(model={"preprocess": "hook:count"}, checks={"min_rows": 4})
    job.add("1.csv", DAY_1)
    assert job.run().exit_code == 3
    done = len(calls.read_text())
    assert job.run().exit_code == 3
    job.configure(model={"preprocess": "hook:count"}, checks={"min_rows": 3})
    assert job.run().name == "published"
    assert len(calls.read_text()) == done
    job.judge()


def test_an_interrupted_run_goes_on_where_it_was(job: JobFolder) -> None:
    """Slices with a receipt are adopted, under the same run id."""
    job.packing = Packing(small_bytes=0)
    calls = _counting_hook(job)
    job.configure(model={"preprocess": "hook:count"})
    job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    (job.folder / "stop").write_text("2.csv")
    outcome = job.run()
    assert (outcome.name, outcome.exit_code) == ("interrupted", 75)
    (job.folder / "stop").unlink()
    before = len(calls.read_text())
    again = job.run()
    assert again.run_id == outcome.run_id
    assert len(calls.read_text()) == before + 1
    assert job.judge()["totals"]["records"] == 5
    assert not (job.output / "pending").exists() or not list((job.output / "pending").iterdir())


def _counting_hook(job: JobFolder) -> Path:
    """A hook that notes each call with records of an input; a file `stop` interrupts it."""
    calls = job.folder / "calls.txt"
    calls.write_text("")
    (job.folder / "hook.py").write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        f"FOLDER = Path({str(job.folder)!r})\n"
        "def count(frame):\n"
        "    if len(frame) != 5:\n"  # The golden rows are five.
        "        with (FOLDER / 'calls.txt').open('a') as file:\n"
        "            file.write('.')\n"
        "    if (FOLDER / 'stop').exists() and len(frame) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return frame\n"
    )
    return calls


def test_a_plan_is_adopted_slice_by_slice(job: JobFolder) -> None:
    """A changed input costs its own slice only, though the plan is a new one."""
    job.packing = Packing(small_bytes=0)
    calls = _counting_hook(job)
    job.configure(model={"preprocess": "hook:count"})
    job.add("1.csv", DAY_1)
    job.add("2.csv", DAY_2)
    (job.folder / "stop").write_text("")
    first = job.run()
    (job.folder / "stop").unlink()
    before = len(calls.read_text())
    job.add("2.csv", [("z", 1, 1)])
    again = job.run()
    assert again.run_id != first.run_id
    assert len(calls.read_text()) == before + 1
    assert job.judge()["totals"]["records"] == 4


def test_a_second_run_on_this_host_leaves_at_once(job: JobFolder) -> None:
    """Exit 75, silently without a terminal."""
    job.add("1.csv", DAY_1)
    (job.folder / "hold.py").write_text(
        "import sys, time\nfrom datetime import UTC, datetime\n"
        "from batch.run.lock import output_lock\n"
        "with output_lock(sys.argv[1], now=datetime.now(UTC)):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, job.folder / "hold.py", job.output_url],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        found = job.command("run", str(job.folder))
        holder.communicate()
    assert (found.returncode, found.stdout, found.stderr) == (75, "", "")
    assert job.run().name == "published"


def test_two_hosts_publish_each_record_once(job: JobFolder, tmp_path: Path) -> None:
    """Two runs that know nothing of each other's lock; one takes in what the other did not."""
    for number in range(20):
        job.add(f"{number}.csv", [(f"k{number}", number, 1)])
    with job.mirrored():
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "batch", "run", str(job.folder)],
                env=os.environ | {"BATCH_PREDICT_STATE": str(tmp_path / f"host{host}")},
            )
            for host in range(3)
        ]
        try:
            assert {process.wait(100) for process in runs} == {0}
        finally:
            for process in runs:  # None of them goes on beside the next test.
                process.kill()
                process.wait()
    assert job.judge()["totals"]["records"] == 20


def test_a_pointer_that_is_behind_is_moved(job: JobFolder) -> None:
    """A crash between manifest and pointer is repaired by the next run, whatever it does."""
    job.add("1.csv", DAY_1)
    job.run()
    pointer = (job.output / "manifest.json").read_bytes()
    job.add("2.csv", DAY_2)
    job.run()
    (job.output / "manifest.json").write_bytes(pointer)
    assert job.run().name == "nothing to do"
    assert json.loads((job.output / "manifest.json").read_text())["version"] == 2
    (job.output / "manifest.json").unlink()
    job.run()
    assert job.judge()["version"] == 2


def test_a_missing_ledger_is_no_empty_ledger(job: JobFolder) -> None:
    """The run stops and names the file; nothing is predicted twice."""
    job.add("1.csv", DAY_1)
    job.run()
    (segment,) = (job.output / "ledger").iterdir()
    data = segment.read_bytes()
    segment.unlink()
    assert job.run().exit_code == 69
    segment.write_bytes(data[:-1] + b"x")
    outcome = job.run()
    assert outcome.exit_code == 69
    assert segment.name in outcome.message
    assert "backup" in outcome.hint


def test_an_output_older_than_this_host_saw_stops_the_run(job: JobFolder) -> None:
    """An unmounted disk looks like an empty folder."""
    job.add("1.csv", DAY_1)
    job.run()
    shutil.rmtree(job.output)
    outcome = job.run()
    assert outcome.exit_code == 69
    assert "--accept-older" in outcome.hint
    assert not job.output.exists()  # Not even a heartbeat: the disk may be missing.
    assert job.run(accept_older=True).version == 1


def test_workers_give_the_same_rows(job: JobFolder) -> None:
    """Two processes predict what one would."""
    job.packing = Packing(small_bytes=0)
    job.configure(run={"workers": 2, "chunk_rows": 2})
    for number in range(4):
        job.add(f"{number}.csv", DAY_1)
    job.run()
    assert len(job.judge()["files"]) == 4


def test_neither_processes_nor_threads_nor_chunks_change_a_prediction(job: JobFolder) -> None:
    """Every row is the same, and in the same order within its input; of other chunks to 1e-12.

    Their last digits are the processor's: its BLAS adds up small chunks in another order.
    """
    job.packing = Packing(small_bytes=0)
    for number in range(3):
        job.add(f"{number}.csv", [(f"k{number}-{row}", row / 7, row % 5) for row in range(200)])
    ways: list[dict[str, Any]] = [
        {"workers": 1, "threads": 1}, {"threads": 3}, {"threads": 2, "chunk_rows": 7},
        {"workers": 2, "chunk_rows": 50}, {"threads": 2, "memory": "1MB"},
    ]  # fmt: skip
    found = []
    for way in ways:
        job.configure(run=way)
        assert job.run(accept_older=True).exit_code == 0
        tables = [pq.read_table(path) for path in job.output.glob("data/*/*.parquet")]
        rows = pa.concat_tables(tables).sort_by([("_input", "ascending"), ("_row", "ascending")])
        assert rows.num_rows == 600
        found.append(rows)
        shutil.rmtree(job.output)
    for way, rows in zip(ways, found, strict=True):
        assert "chunk_rows" in way or rows.equals(found[0])
        for name in rows.column_names:
            mine, first = rows[name].to_pylist(), found[0][name].to_pylist()
            is_float = pa.types.is_floating(rows[name].type)
            assert mine == (pytest.approx(first, rel=1e-12, abs=1e-12) if is_float else first)


def test_a_run_over_its_time_stops_and_goes_on_later(job: JobFolder) -> None:
    """Exit 75, and the next run publishes."""
    (job.folder / "hook.py").write_text(
        "import time\ndef slow(frame):\n    time.sleep(30 if len(frame) == 3 else 0)\n"
        "    return frame\n"
    )
    job.configure(model={"preprocess": "hook:slow"}, run={"timeout": "2s"})
    job.add("1.csv", DAY_1)
    started = time.monotonic()
    outcome = job.run()
    assert (outcome.name, outcome.exit_code) == ("interrupted", 75)
    assert time.monotonic() - started < 25


def test_the_command_is_silent_on_success_and_one_block_on_failure(job: JobFolder) -> None:
    """What cron would mail: nothing, or what, where and the next step."""
    job.add("1.csv", DAY_1)
    found = job.command("run", str(job.folder))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    job.write("2.csv", b"other\n1\n")
    found = job.command("run", str(job.folder))
    assert found.returncode == 65
    assert found.stdout == ""
    assert "2.csv: no column 'id', 'x', 'y'; found 'other'" in found.stderr
    assert "next:" in found.stderr
    assert "run: " in found.stderr


def test_the_output_is_never_taken_in_as_input(job: JobFolder) -> None:
    """Though it lies below the input folder, and its parts match the pattern."""
    job.configure(
        input={"path": "**/*.parquet", "min_age": "0s"}, output={"passthrough": ["x", "y"]}
    )
    pq.write_table(pa.table({"id": ["a"], "x": [1.0], "y": [2.0]}), job.data / "1.parquet")
    assert job.run().version == 1
    assert job.run().name == "nothing to do"
    job.configure(output={"path": "data"})
    outcome = job.run()
    assert (outcome.exit_code, "the same folder" in outcome.message) == (78, True)


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("return frame.assign(y=frame.y * 0)", "published"),
        ("return frame[[]]", "no columns"),
        ("return frame[::-1]", "order"),
        ("return frame.head(1)", "returned 1"),
        ("return 5", "expected a DataFrame"),
    ],
)
def test_a_hook_of_the_job_alone_is_held_to_the_rules(
    job: JobFolder, hook: str, expected: str
) -> None:
    """The golden rows are predicted without it; then it must keep every row and give columns."""
    (job.folder / "hook.py").write_text(f"def change(frame):\n    {hook}\n")
    job.configure(
        input={"columns": {"x": "float64", "y": "float64"}}, model={"preprocess": "hook:change"}
    )
    job.add("1.csv", DAY_1)
    outcome = job.run()
    assert expected in (outcome.name, outcome.message) or expected in outcome.message


def test_a_hook_that_cannot_be_imported_is_named(job: JobFolder) -> None:
    """Whatever it raises."""
    (job.folder / "hook.py").write_text("undefined_name\n")
    job.configure(model={"postprocess": "hook:change"})
    job.add("1.csv", DAY_1)
    outcome = job.run()
    assert outcome.exit_code == 78
    assert "importing hook raised NameError" in outcome.message


def test_plans_that_nobody_needs_any_more_are_cleared(job: JobFolder) -> None:
    """One that was held by another recipe goes when a later run is published."""
    job.configure(checks={"min_rows": 4})
    job.add("1.csv", DAY_1)
    assert job.run().exit_code == 3
    save_tiny_model(job.folder / "model.joblib", strength=0.01)
    job.configure()
    assert job.run().name == "published"
    assert not list((job.output / "pending").rglob("*.json"))


def test_a_state_folder_that_cannot_be_written_is_named(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service user may have no home."""
    monkeypatch.setenv("BATCH_PREDICT_STATE", str(job.folder / "job.toml" / "state"))
    job.add("1.csv", DAY_1)
    outcome = job.run()
    assert outcome.exit_code == 69
    assert "BATCH_PREDICT_STATE" in outcome.hint


def test_a_corrected_sidecar_is_believed(job: JobFolder) -> None:
    """The same model and recipe with other golden rows: what lies in OUTPUT is no obstacle."""
    job.add("1.csv", DAY_1)
    sidecar = job.folder / "model.joblib.json"
    good = sidecar.read_text()
    spoiled = json.loads(good)
    spoiled["golden"]["predictions"]["probability_no"][0] = 0.123
    sidecar.write_text(json.dumps(spoiled))
    assert job.run().exit_code == 78
    sidecar.write_text(good)
    assert job.run().name == "published"


@pytest.mark.local_only("on S3 policies say it: see test_permissions")
def test_what_may_not_be_read_is_named(job: JobFolder) -> None:
    """As a user who is not allowed: an input, then the model, then the job file."""
    if os.getuid() != 0:
        pytest.skip("PERMISSIONS ARE NOT TESTED HERE: it takes root to become somebody else")
    without = "-dac_override,-dac_read_search"
    prefix = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]
    command = [*prefix, sys.executable, "-m", "batch", "run", str(job.folder)]

    def run() -> tuple[int, str]:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.returncode, found.stderr

    job.add("1.csv", DAY_1).chmod(0)
    code, text = run()
    assert (code, "1.csv: cannot be read: Permission denied" in text) == (65, True)
    for name in ("model.joblib", "job.toml"):
        (job.folder / name).chmod(0)
        code, text = run()
        assert (code, f"{name}: permission denied" in text) == (77, True), text


def test_workers_end_with_their_coordinator(job: JobFolder) -> None:
    """One that is killed leaves nobody behind who holds memory."""
    (job.folder / "hook.py").write_text(
        "import os, time\nfrom pathlib import Path\n\n\ndef slow(frame):\n"
        "    if len(frame) == 3:\n"
        f"        Path({str(job.folder)!r}, f'worker-{{os.getpid()}}').touch()\n"
        "        time.sleep(60)\n    return frame\n"
    )
    job.configure(model={"preprocess": "hook:slow"}, run={"workers": 2})
    for name in ("1.csv", "2.csv"):
        rows = "".join(f"{name}{number},1,1\n" for number in range(3))
        # Blank lines are no records, but they make an input large.
        job.write(name, f"id,x,y\n{rows}".encode() + b"\n" * PACKING.small_bytes)
    command = [sys.executable, "-m", "batch", "run", str(job.folder)]
    with job.mirrored(), subprocess.Popen(command) as coordinator:
        workers: list[int] = []
        while len(workers) < 2:
            time.sleep(0.1)
            assert coordinator.poll() is None
            workers = [int(path.name.split("-")[1]) for path in job.folder.glob("worker-*")]
        coordinator.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
