"""Heavy or foreign libraries stay where they belong, and names say what they hold.

That imports point down is held by the contracts in pyproject.toml (lint-imports).
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BATCH = Path(__file__).parents[1] / "batch"

#: Where a library may be imported; everything else goes through these modules.
HOMES = {
    "click": {"cli"},
    "rich": {"cli"},
    "boto3": {"store"},
    "sklearn": {"model"},
    "joblib": {"model", "run", "client"},
    "pandas": {"model", "client"},
}


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
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from batch.cli import main\nmain()\n"
    )
    found = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True,
                           text=True, check=True, timeout=60)  # fmt: skip
    loaded = {name.split(".")[0] for name in json.loads(found.stderr.splitlines()[-1])}
    assert not loaded & {"pandas", "sklearn", "joblib", "boto3", "rich", "scipy"}


def test_parts_are_opened_in_one_place() -> None:
    """So that every reader names a damaged part in the same way."""
    found = {
        path.relative_to(BATCH).as_posix()
        for path in BATCH.rglob("*.py")
        if re.search(r"\bpq\.\w+\(", path.read_text())
    }
    assert found == OPENERS
