"""What every test needs: a state folder of its own, and a five-row model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs import JobFolder, save_tiny_model


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of its own for every test."""
    folder = tmp_path / "state"
    monkeypatch.setenv("BATCH_PREDICT_STATE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic regression on columns x and y, saved with its sidecar; made once per process."""
    return save_tiny_model(tmp_path_factory.mktemp("model") / "model.joblib")


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path) -> JobFolder:
    """A job that takes in data/*.csv at once, by the tiny model."""
    return JobFolder.make(tmp_path / "job", tiny_model)
