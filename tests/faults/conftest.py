"""The benches of this process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.bench import Bench, Folder, in_memory


@pytest.fixture(scope="session")
def bench(tiny_model: Path) -> Iterator[Bench]:
    """One place for all faults of this process."""
    with in_memory() as root:
        yield Bench(root, partial(Folder.make, model=tiny_model))
