"""Heavy or foreign libraries stay where they belong, and names say what they hold.

That imports point down is held by the contracts in pyproject.toml (lint-imports).
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import JobFolder

BATCH = Path(__file__).parents[1] / "batch"

#: Where a library may be imported; everything else goes through these modules.
HOMES = {
    "click": {"cli"},
    "rich": {"cli"},
    "boto3": {"store"},
    "botocore": {"store"},
    "pydantic": {"job"},
    "sklearn": {"model"},
    "joblib": {"model", "run", "client"},
    "pandas": {"model", "client"},
}
#: Module names that end in "ing", and why.
GERUNDS = {
    "authoring": "the room: writing a job and trying it out",
    "wording": "a noun of its own: how something is worded",
    "decoding": "the field's name for it, and a package: one module per format",
}
#: Modules of fewer than 20 lines, and why they are no part of another one.
SHORT: dict[str, str] = {}
#: All that `ls batch/` shows: rooms, and the few modules that every room may import.
MOST_NAMES = 18


#: Where Parquet files are opened: parts (in one place, verified), ledger segments, and inputs.
OPENERS = {
    "output/part_reader.py", "output/part_writer.py", "output/ledger.py",
    "inputs/decoding/parquet.py", "authoring/sample.py",
}  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours with the first part of its name below `batch`."""
    for path in sorted(BATCH.rglob("*.py")):
        name = path.relative_to(BATCH).parts[0].removesuffix(".py")
        if name != "__init__":
            yield name, path


every_module = pytest.mark.parametrize(
    ("name", "path"), [pytest.param(*found, id=found[1].name) for found in modules()]
)


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@every_module
def test_libraries_stay_at_home(name: str, path: Path) -> None:
    """One place for each library that a user may have another version of."""
    for full in imports(path):
        home = HOMES.get(full.split(".")[0])
        assert home is None or name in home, f"{path.name} imports {full}"


def test_no_name_is_a_gerund() -> None:
    """A module is a thing, not an activity."""
    names = {part for path in BATCH.rglob("*.py") for part in path.relative_to(BATCH).parts}
    gerunds = {
        name for name in (name.removesuffix(".py") for name in names) if name.endswith("ing")
    }
    assert gerunds == GERUNDS.keys()


def test_no_two_modules_share_a_name() -> None:
    """One name leads to one file; those of the command line are named as their commands."""
    names = Counter(
        path.stem for path in BATCH.rglob("*.py")
        if path.stem != "__init__" and BATCH / "cli" not in path.parents
    )  # fmt: skip
    assert [name for name, count in names.items() if count > 1] == []


def test_no_module_is_a_fragment() -> None:
    """A file is worth opening: the few short ones have a reason."""
    short = {
        path.relative_to(BATCH).as_posix() for path in BATCH.rglob("*.py")
        if path.stem not in {"__init__", "__main__"} and len(path.read_text().splitlines()) < 20
    }  # fmt: skip
    assert short == SHORT.keys()


def test_a_room_says_what_is_in_it() -> None:
    """In one or two sentences; indented lines are an example."""
    for path in BATCH.rglob("__init__.py"):
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        prose = re.sub(r"^ +.*$", "", said, flags=re.MULTILINE)
        sentences = re.findall(r"\.(?=\s|$)", prose)
        assert 1 <= len(sentences) <= 2, f"{path.parent.name}: {said!r}"


def test_the_house_has_few_doors() -> None:
    """One look at `ls batch/` is enough to choose where to go on."""
    names = [path.name for path in BATCH.iterdir() if path.name != "__pycache__"]
    assert len(names) <= MOST_NAMES, sorted(names)


@pytest.mark.parametrize("command", ["--help", "run --help", "nothing to do"])
def test_what_does_nothing_loads_nothing_heavy(command: str, tmp_path: Path) -> None:
    """Help, and a run without anything new, start without pandas and scikit-learn."""
    arguments = command.split()
    if command == "nothing to do":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "1.csv").write_text("id\n")
        (tmp_path / "job.toml").write_text(
            "input.path = 'data/*.csv'\ninput.key = ['id']\nmodel.path = 'none'\n"
            "output.path = 'out'\n"
        )  # The file is too young, so the run only looks.
        arguments = ["run", str(tmp_path)]
    script = "from batch.cli import main\nmain()\n"
    heavy = {"pandas", "sklearn", "joblib", "boto3", "rich", "scipy"}
    if "--help" in arguments:
        heavy |= {"pydantic", "pyarrow", "numpy"}
    assert not loaded_by(script, *arguments) & heavy


def test_a_run_loads_the_model_s_libraries_with_the_model() -> None:
    """Not before: the first inputs download meanwhile, and the seconds count as loading."""
    loaded = loaded_by("import batch.run.execute, batch.run.completion")
    assert not loaded & {"pandas", "sklearn", "joblib", "scipy"}


def test_an_application_loads_what_it_needs(tiny_model: Path, tmp_path: Path) -> None:
    """Predictions of a local output are read and looked up without any library of writers."""
    job = JobFolder.make(tmp_path / "job", tiny_model)
    job.add("1.csv", [("a", 1, 2)])
    job.run()
    script = (
        "import sys\n"
        "from batch.client import Predictions\n"
        "predictions = Predictions(sys.argv[1])\n"
        "assert predictions.get('a')['id'] == 'a'\n"
        "assert predictions.get_many(['a', 'b'])[1] is None\n"
        "assert predictions.refresh() is False\n"
    )
    heavy = {
        "pydantic",
        "boto3",
        "botocore",
        "pandas",
        "sklearn",
        "scipy",
        "joblib",
        "click",
        "rich",
    }
    loaded = loaded_by(script, str(job.output))
    assert "pyarrow" in loaded
    assert not loaded & heavy


def loaded_by(script: str, *arguments: str) -> set[str]:
    """The libraries that a process of its own has loaded when it ends."""
    last = "import atexit, json, sys\natexit.register(lambda: print(json.dumps([*sys.modules]), file=sys.stderr))\n"
    found = subprocess.run(
        [sys.executable, "-c", last + script, *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return {name.split(".")[0] for name in json.loads(found.stderr.splitlines()[-1])}


def test_parts_are_opened_in_one_place() -> None:
    """So that every reader names a damaged part in the same way."""
    found = {
        path.relative_to(BATCH).as_posix()
        for path in BATCH.rglob("*.py")
        if re.search(r"\bpq\.\w+\(", path.read_text())
    }
    assert found == OPENERS
