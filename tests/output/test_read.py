"""A version that is kept can be read, and who asks for another learns which there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.errors import NoInput
from batch.output import layout
from batch.output.manifest import Manifest
from batch.output.read import newest_manifest, read_kept
from tests.support.published import Output, part


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Four versions, of which the last three are kept."""
    made = Output(tmp_path / "out")
    for number in range(4):
        rows = part(f"2026-01-0{number + 1}", id=["a"], prediction=[float(number)])
        made.publish(rows, oldest_kept=2 if number == 3 else 1)
    return made


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_kept_version_can_be_read(output: Output, version: int) -> None:
    """The oldest, one between, and the live one."""
    assert read_kept(output.store, _live(output), version).version == version


@pytest.mark.parametrize(
    ("version", "what"),
    [(0, "does not exist"), (-1, "does not exist"), (1, "is no longer kept"),
     (5, "does not exist")],
)  # fmt: skip
def test_any_other_is_refused_with_those_that_are_kept(
    output: Output, version: int, what: str
) -> None:
    """Also one whose manifest nobody has deleted yet: its files may be gone."""
    with pytest.raises(NoInput, match=f"version {version} {what}; versions 2–4 are kept"):
        read_kept(output.store, _live(output), version)


def test_a_version_that_was_removed_by_hand_is_named(output: Output) -> None:
    """It is within the kept ones, and not there."""
    (output.folder / layout.manifest_path(3)).unlink()
    with pytest.raises(NoInput, match="version 3 is missing; versions"):
        read_kept(output.store, _live(output), 3)


def test_a_single_version_is_kept_alone(tmp_path: Path) -> None:
    """Nothing is said of versions 1 to 1."""
    output = Output(tmp_path / "out")
    live = output.publish(part("2026-01-01", id=["a"], prediction=[0.5]))
    with pytest.raises(NoInput, match="only version 1 is kept"):
        read_kept(output.store, live, 2)


def test_before_the_first_version_there_is_none(tmp_path: Path) -> None:
    """It says so."""
    with pytest.raises(NoInput, match="nothing is published yet"):
        read_kept(Output(tmp_path / "out").store, None, 1)


def _live(output: Output) -> Manifest | None:
    return newest_manifest(output.store)
