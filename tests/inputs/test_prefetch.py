"""Inputs that are brought ahead: what happens to those that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.inputs.prefetch import Ahead
from batch.output.plan import PlannedInput
from batch.store.local import LocalStore
from batch.store.spool import spooled

PLANNED = PlannedInput(
    path="a.csv", size=8, token="1", as_of=datetime(2026, 1, 1, tzinfo=UTC), reason="new"
)


class Hanging(LocalStore):
    """Far away: sends a half, is silent until it is told to go on, and is asked once more."""

    is_remote = True

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.hangs, self.goes_on, self.was_asked_again = (threading.Event() for _ in range(3))

    @contextmanager
    def fetch(self, *_: object, **_given: object) -> Iterator[Path]:
        """As a store does that tries twice."""
        with spooled() as local:
            local.write_bytes(b"half")
            self.hangs.set()
            self.goes_on.wait()
            try:
                local.write_bytes(b"half and half")
            finally:
                self.was_asked_again.set()
            yield local


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty spool folder."""
    monkeypatch.setenv("BATCH_PREDICT_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def test_a_download_that_hangs_when_all_is_over_leaves_nothing(tmp_path: Path, spool: Path) -> None:
    """Neither its half of a file, nor another one when it goes on."""
    store = Hanging(str(tmp_path))
    with Ahead(store) as ahead:
        assert ahead.begin((PLANNED,))
        assert store.hangs.wait(10)
        assert list(spool.iterdir())
    assert not list(spool.iterdir())
    store.goes_on.set()
    assert store.was_asked_again.wait(10)
    assert not list(spool.iterdir())
