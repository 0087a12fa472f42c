"""Counts, lists and commands in messages."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from batch.wording import command, counted, listed


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 inputs"), (1, "1 input"), (2, "2 inputs"), (1204, "1,204 inputs")]
)
def test_plurals_are_right_and_thousands_are_grouped(number: int, text: str) -> None:
    """A count as a person would write it."""
    assert counted(number, "input") == text


def test_a_long_list_ends_in_a_sign() -> None:
    """The first items stand for all."""
    assert listed(["a", "b", "c"], 2) == "a, b, …"
    assert listed(["a", "b"], 2) == "a, b"


def test_a_command_names_this_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Short where PATH leads here, whole under cron, and never another installation's name."""
    here = Path(sys.executable).with_name("batch-predict")
    monkeypatch.setenv("PATH", str(here.parent))
    assert command("run", "/jobs/churn") == "batch-predict run /jobs/churn"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert command("run", "/jobs/churn") == f"{here} run /jobs/churn"
    other = tmp_path / "batch-predict"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("run", "/jobs/churn") == f"{here} run /jobs/churn"


def test_a_command_is_quoted_for_a_shell() -> None:
    """A folder with a space in its name is one argument."""
    _, *arguments = shlex.split(command("run", "/my jobs/churn"))
    assert arguments == ["run", "/my jobs/churn"]
