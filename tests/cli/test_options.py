"""Helps that fit, and options that every command takes before it and after it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from batch.cli import COMMANDS, main
from tests.support.jobs import JobFolder

ROWS = [("a", 1, 2), ("b", 3, 1)]


def call(*arguments: object) -> Result:
    """A command without a terminal."""
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_short_helps_fit_80_columns() -> None:
    """None is cut."""
    text = CliRunner().invoke(main, ["-h"], terminal_width=80).output
    lines = text[text.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert not [line for line in lines if line.endswith("...") or len(line) > 80]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_them(name: str) -> None:
    """Also those that have nothing to log yet."""
    result = call("-v", "-q", "--log-format", "json", name, "-vv", "--quiet", "--log-format",
                  "text", "-h")  # fmt: skip
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name} ")


@pytest.mark.parametrize("is_before", [True, False])
def test_verbose_tells_the_stages_and_their_seconds(job: JobFolder, is_before: bool) -> None:
    """Before the command as after it."""
    job.add("1.csv", ROWS)
    result = call(*(["-v", "run", job.folder] if is_before else ["run", job.folder, "-v"]))
    assert result.exit_code == 0
    for stage in ("load model", "predict", "publish"):
        assert f" INFO job: {stage}: " in result.stderr
    assert f" INFO job: 1.csv: {len(ROWS)} records predicted, 0 rejected\n" in result.stderr
    assert call("run", job.folder).stderr == ""


def test_json_is_one_object_per_line_with_fields(job: JobFolder) -> None:
    """For log lines and for the error."""
    job.add("1.csv", ROWS)
    job.configure(checks={"min_rows": 4})
    result = call("--log-format", "json", "run", job.folder, "-v")
    *lines, error = map(json.loads, result.stderr.splitlines())
    seconds = {line["stage"]: line["seconds"] for line in lines if "stage" in line}
    assert {"load model", "predict"} <= seconds.keys()
    assert [line["outcome"] for line in lines if line.get("input") == "1.csv"] == ["taken"]
    assert all({"time", "level", "message", "job"} <= line.keys() for line in lines)
    assert (result.exit_code, error["level"]) == (3, "error")
    assert "min_rows" in error["message"]
    assert "--force" in error["hint"]


def test_quiet_says_nothing_about_a_success(job: JobFolder) -> None:
    """And what is wrong all the same."""
    job.add("1.csv", ROWS)
    assert on_a_terminal("run", str(job.folder), "-q") == ""
    job.add("2.csv", ROWS)
    assert "published version 2" in on_a_terminal("run", str(job.folder))
    assert call("--quiet", "rollback", job.folder).output == ""
    assert "is paused by" in on_a_terminal("--quiet", "run", str(job.folder))


def on_a_terminal(*arguments: str) -> str:
    """What a person sees."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "batch", *arguments], stdin=theirs,
                          stdout=theirs, stderr=theirs):  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:  # The last one that had it open is gone.
            pass
    os.close(ours)
    return said.decode()


def test_a_key_is_printed_as_it_is(job: JobFolder) -> None:
    """`9514` and not `9,514`, and a large number is written out."""
    job.configure(output={"passthrough": ["x"]}, input={"columns": {"id": "int64", "x": "float64"}})
    job.add("1.csv", [(9514, 2500000, 2)])
    job.run()
    said = call("show", job.folder).output
    assert "9514 " in said
    assert " 2500000 " in said
