"""Imports point down, and heavy or foreign libraries stay where they belong."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BATCH = Path(__file__).parents[1] / "batch"

#: From the top down. A module imports from layers below its own, and from its own group.
LAYERS: dict[str, list[set[str]]] = {
    "entry": [{"__main__"}],
    "command line": [{"cli"}],
    "flow": [
        {"runner", "attempt", "backfill", "choosing", "evidence", "working", "worker", "inputs", "reading", "trying", "validating", "previewing",
         "initializing", "schema", "preparing", "completing", "sampling", "dating", "jobtext", "upkeep", "dispatching", "tidying", "modelfile", "permissions",
         "comparing", "pairing", "differing", "moving", "finding", "explaining", "history", "coverage"},
        {"client"},
    ],
    "stages": [
        {"planning", "pending", "plans"}, {"decoding"}, {"model"}, {"predicting", "opening", "batching", "bisecting", "tally", "rows", "counting"}, {"engine"},
        {"checks"}, {"drafting", "rewriting"}, {"publishing", "newest", "retention"}, {"reporting"}, {"lock"},
        {"signals"},
    ],
    "adapters": [{"parts", "scanning"}, {"store"}],
    "values": [
        {"job", "jobfile", "mistakes", "pattern", "columns", "casting", "parsing", "chunk", "recipe",
         "sidecar", "slices", "manifest", "ledger", "version", "record", "layout", "histogram",
         "digest", "wording", "duration", "section", "limits",
         "arrays", "latest", "causes", "memory", "machine"},
    ],
    "ground": [{"errors", "logs", "lanes", "grouping"}],
}  # fmt: skip
#: Where a library may be imported; everything else goes through these modules.
HOMES = {
    "click": {"cli"},
    "rich": {"cli"},
    "boto3": {"store"},
    "sklearn": {"model"},
    "joblib": {"model", "engine", "client"},
    "pandas": {"model", "client"},
}


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


def place(name: str) -> tuple[int, int]:
    """The numbers of a module's layer, from the top, and of its group therein."""
    for number, groups in enumerate(LAYERS.values()):
        for index, group in enumerate(groups):
            if name in group:
                return number, index
    raise AssertionError(f"batch/{name} is in no layer: say where it belongs")


@every_module
def test_imports_point_down(name: str, path: Path) -> None:
    """A stage knows no other stage, and nothing knows what stands above it."""
    layer, group = place(name)
    ours = {full.split(".")[1] for full in imports(path) if full.startswith("batch.")}
    for other in ours - {"__version__"}:
        below, beside = place(other)
        allowed = below > layer or (below, beside) == (layer, group)
        is_adapter = list(LAYERS)[layer] == "adapters" and other == "store"
        assert allowed or is_adapter, f"{path.name} imports batch.{other}"


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
