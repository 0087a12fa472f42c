"""The documentation says what the program does."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from batch.cli import main
from batch.errors import EXIT_CODES, BatchError
from batch.job.settings import JobSettings
from batch.run.outcome import Outcome
from tests.support.jobs import JobFolder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def subclasses(base: type) -> set[type]:
    """All classes derived from a class."""
    return {kind for child in base.__subclasses__() for kind in {child, *subclasses(child)}}


def test_the_table_of_exit_codes_is_the_programs() -> None:
    """One table in the code; the README repeats it."""
    found = {
        int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE)
    }
    assert found == EXIT_CODES


def test_the_table_of_outcomes_is_the_programs() -> None:
    """Every way a run can end, in the order of the enum, with its exit code and meaning."""
    page = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| (.+) \| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert [(word, int(code), text) for word, code, text in rows] == [
        (outcome.word, outcome.exit_code, outcome.meaning) for outcome in Outcome
    ]


def test_every_error_has_an_exit_code_of_the_table() -> None:
    """No subclass invents its own."""
    assert {kind.exit_code for kind in subclasses(BatchError)} <= EXIT_CODES.keys()


def test_every_command_is_in_the_readme() -> None:
    """And the README names no others."""
    listed = set(re.findall(r"^\| `([\w-]+)", README, re.MULTILINE))
    assert listed == set(main.commands)


@pytest.mark.parametrize("name", main.commands)
def test_every_help_ends_with_an_example(name: str) -> None:
    """An example says more than a list of options."""
    command = main.commands[name]
    text = command.get_help(click.Context(command, info_name=name, parent=click.Context(main)))
    assert re.search(rf"Example:\n\s+batch-predict {name}\b", text)


@pytest.mark.parametrize("name", ["README.md", "docs/operating.md"])
def test_commands_in_the_documentation_parse(name: str) -> None:
    """Every `batch-predict …` line names a command and options that exist."""
    text = (ROOT / name).read_text()
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    calls = [
        shlex.split(line, comments=True)[1:] for line in lines if line.startswith("batch-predict")
    ]
    assert calls
    for command, *arguments in calls:
        main.commands[command].make_context(command, list(arguments), resilient_parsing=False)


def test_job_files_in_the_documentation_are_valid() -> None:
    """What people copy must work."""
    (whole,) = blocks("toml")
    JobSettings.model_validate(tomllib.loads(whole))


@pytest.mark.parametrize("file", sorted(ROOT.glob("jobs/*/job.toml")), ids=lambda f: f.parent.name)
def test_shipped_job_files_are_valid(file: Path) -> None:
    """With the keys that are commented out as well."""
    JobSettings.model_validate(tomllib.loads(file.read_text()))


def test_the_readme_uses_the_client_as_it_is(job: JobFolder) -> None:
    """The snippet runs on a published output."""
    job.add("1.csv", [("customer-17", 1, 2)])
    job.run()
    (snippet,) = [block for block in blocks("python") if "Predictions" in block]
    names: dict[str, Any] = {}
    exec(snippet.replace("/srv/predictions/churn", str(job.output)), names)
    assert names["predictions"].get("customer-17")["prediction"] in {"yes", "no"}
    names["predictions"].close()


def test_cron_lines_call_commands_that_exist() -> None:
    """Also those that are commented out; none has an unescaped percent sign."""
    lines = (ROOT / "crontab.example").read_text().splitlines()
    calls = [line.lstrip("# ") for line in lines if "bin/batch-predict " in line]
    assert len(calls) >= 3
    for line in calls:
        assert re.fullmatch(r"(\S+ ){5}.+", line)
        assert re.search(r"bin/batch-predict (\w+)", line)[1] in main.commands  # type: ignore[index]
        assert not re.search(r"(?<!\\)%", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file."""
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
