"""What a message tells a person to type works as it is: from any folder, also under cron."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli import COMMANDS, main
from tests.support import damaged
from tests.support.jobs import JobFolder

BATCH = Path(__file__).parents[2] / "batch"
ROWS = [("a", 1, 2), ("b", 3, 1)]


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> JobFolder:
    """A job in a folder that a shell has to be told of with care; PATH is that of cron."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return JobFolder.make(tmp_path / "it's my $HOME" / "job", tiny_model)


def say(*arguments: object) -> str:
    """All that a command prints."""
    return CliRunner().invoke(main, [*map(str, arguments)]).output


def hinted(text: str) -> set[str]:
    """The commands that a text tells to type: set in backticks, or alone after a colon."""
    found = set(re.findall(r"`([^`]*batch-predict [^`]*)`", text))
    return found | set(re.findall(r"(?:next|to go back): ([^`\n]*batch-predict [^`\n]*)", text))


def held(job: JobFolder) -> str:
    """By a check."""
    job.add("1.csv", ROWS)
    job.configure(checks={"min_rows": 4})
    return say("run", job.folder)


def not_held(job: JobFolder) -> str:
    """There is nothing to publish, and nothing published."""
    return say("publish", job.folder) + say("show", job.folder)


def rolled_back(job: JobFolder) -> str:
    """All that is said before, during and after a rollback."""
    for number in (1, 2, 3):
        job.add(f"{number}.csv", [(number, 1, 2)])
        job.run()
    said = say("history", job.folder) + say("rollback", job.folder, "--to", 9)
    said += say("backfill", job.folder, "--from", "2050-01-01", "--yes")
    said += say("rollback", job.folder) + say("rollback", job.folder)
    return said + say("run", job.folder)


def outdated(job: JobFolder) -> str:
    """A hint about what another recipe predicted."""
    job.add("1.csv", ROWS)
    job.run()
    job.configure(model={"methods": ["predict"]})
    job.add("2.csv", ROWS)
    return job.run().hint


def replaced(job: JobFolder) -> str:
    """A backfill of a part of what is only replaced whole."""
    job.configure(output={"mode": "replace"})
    job.add("1.csv", ROWS)
    job.run()
    return say("backfill", job.folder, "--from", "2020-01-01", "--yes")


def lost(job: JobFolder) -> str:
    """A part is gone, and one of its inputs too."""
    damaged.live_three_versions(job)
    damaged.missing("files")(job.output)
    said = say("verify", job.folder)
    (job.data / "1.csv").unlink()
    return said + say("repair", job.folder)


def repaired(job: JobFolder) -> str:
    """What a repair found, and the run that follows."""
    damaged.live_three_versions(job)
    damaged.missing("files")(job.output)
    return say("repair", job.folder)


def unreadable(job: JobFolder) -> str:
    """A part that is gone, met by a command that only reads."""
    damaged.live_three_versions(job)
    damaged.missing("files")(job.output)
    return say("show", job.folder)


def uncommitted(job: JobFolder) -> str:
    """The newest manifest is in the pointer alone."""
    job.add("1.csv", ROWS)
    job.run()
    (job.output / "manifests" / "0000000001.json").unlink()
    return say("verify", job.folder)


def written(job: JobFolder) -> str:
    """Mistakes of a job file, a missing one, one that is there already, and rejects."""
    job.add("1.csv", [("a", "oops", "oops")])
    said = say("validate", job.folder)
    said += say("init", job.folder, "--model", "m", "--input", "i", "--key", "id")
    new = job.folder.parent / "new"
    sample = job.add("2.csv", ROWS)
    said += say("init", new, "--model", job.folder / "model.joblib", "--input", sample,
                "--key", "id")  # fmt: skip
    (job.folder / "job.toml").write_text("input = 1")
    return said + say("run", job.folder) + say("run", job.folder / "nothing")


#: How to come to a hint, and the commands that it names.
WAYS: list[tuple[Callable[[JobFolder], str], set[str]]] = [
    (held, {"publish", "discard"}),
    (not_held, {"status", "run"}),
    (rolled_back, {"rollback", "history", "unpause", "status"}),
    (outdated, {"backfill"}),
    (replaced, {"backfill"}),
    (lost, {"repair"}),
    (repaired, {"repair", "run"}),
    (unreadable, {"verify"}),
    (uncommitted, {"repair"}),
    (written, {"try", "validate", "schema", "init"}),
]


@pytest.mark.parametrize(("way", "names"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_hints_can_be_typed_as_they_are(
    job: JobFolder, way: Callable[[JobFolder], str], names: set[str], tmp_path: Path
) -> None:
    """By a shell without an environment in another folder: neither unknown, nor misused, nor a bug."""
    said = way(job)
    commands = hinted(said)
    assert {line.split("batch-predict ", 1)[1].split()[0] for line in commands} == names, said
    for line in sorted(commands):
        found = subprocess.run(
            ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", f"HOME={tmp_path}",
             f"BATCH_PREDICT_STATE={tmp_path / 'state'}", "sh", "-c", line],
            cwd="/", text=True, capture_output=True, timeout=100, check=False,
        )  # fmt: skip
        assert found.returncode not in {1, 2, 127}, f"{line}\n{found.stderr}"
        assert "no job file" not in found.stderr, f"{line}\n{found.stderr}"


def test_every_hint_is_among_them() -> None:
    """Every command that the program can hint at has a way above; prune is tried by itself."""
    hints = {
        node.args[0].value
        for path in BATCH.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id == "command" and node.args and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip
    assert hints - {"prune"} == set[str]().union(*(names for _, names in WAYS))


def test_no_message_spells_a_command_out() -> None:
    """All are made in one place; only help texts and the comments of a new job file have others."""
    spelled = re.compile(rf"batch-predict ({'|'.join(COMMANDS)})\b")
    for path in BATCH.rglob("*.py"):
        if path.name == "template.py":
            continue
        tree = ast.parse(path.read_text())
        docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree)
                      if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)
                 and isinstance(node.value, str)}  # fmt: skip
        assert not [text for text in texts - docstrings if spelled.search(text)], path


def test_hints_of_prune_can_be_typed(job: JobFolder) -> None:
    """It says what would be deleted, and how to delete it."""
    job.add("1.csv", ROWS)
    job.run()
    garbage = job.output / "data" / "gone" / "0.parquet"
    garbage.parent.mkdir()
    garbage.write_bytes(b"1")
    os.utime(garbage, (0, 0))
    (line,) = hinted(say("prune", job.folder))
    found = subprocess.run(["sh", "-c", line], cwd="/", text=True, capture_output=True, check=False)
    assert (found.returncode, garbage.exists()) == (0, False)
    assert "deleted 1 object, 1 byte\n" in found.stdout


def test_json_reports_name_the_same_command(job: JobFolder) -> None:
    """A finding of `verify --json` has its hint."""
    job.add("1.csv", ROWS)
    job.run()
    damaged.missing("files")(job.output)
    (finding,) = json.loads(say("verify", job.folder, "--json"))["findings"]
    assert finding["hint"].endswith(f" repair {shlex.quote(str(job.folder))}")
