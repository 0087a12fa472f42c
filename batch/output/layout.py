"""Every name below OUTPUT, in one place. The same on disk and on S3."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime

POINTER = "manifest.json"
MANIFESTS = "manifests"
HEARTBEAT = "heartbeat.json"
PENDING = "pending"
RUNS = "runs"
HELD = "held.json"
DROPPED = "dropped.json"
PLAN = "plan.json"

_MANIFEST_NAME = re.compile(rf"{MANIFESTS}/(\d{{10}})\.json")


def manifest_path(version: int) -> str:
    """The one name whose creation commits a version."""
    return f"{MANIFESTS}/{version:010d}.json"


def version_of(path: str) -> int | None:
    """The version that a path below `manifests/` holds, None for any other name."""
    found = _MANIFEST_NAME.fullmatch(path)
    return int(found[1]) if found else None


def part_path(run_id: str, slice_number: int) -> str:
    """A fresh name: two hosts that predict the same slice never write the same part."""
    return f"data/{run_id}/{slice_number:05d}-{os.urandom(4).hex()}.parquet"


def rejects_path(run_id: str, slice_number: int) -> str:
    """A fresh name, as for a part."""
    return f"rejects/{run_id}/{slice_number:05d}-{os.urandom(4).hex()}.parquet"


def ledger_path(commit_id: str) -> str:
    """The ledger segment of one commit."""
    return f"ledger/{commit_id}.parquet"


def model_path(sha256: str) -> str:
    """The copy of a model, in a folder named after its sha256."""
    return f"models/{sha256}/model.joblib"


def recipe_folder(model_sha256: str, recipe: str) -> str:
    """The folder of a recipe's hook files, beside its model."""
    return f"models/{model_sha256}/{recipe[:16]}"


def saved_sidecar_path(model_sha256: str, recipe: str, content: bytes) -> str:
    """Named after its content: the same model may be saved again with other golden rows."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{recipe_folder(model_sha256, recipe)}/sidecar-{digest}.json"


def recipe_path(model_sha256: str, recipe: str) -> str:
    """The JSON of a recipe, beside its hook files."""
    return f"{recipe_folder(model_sha256, recipe)}/recipe.json"


def plan_path(run_id: str) -> str:
    """The plan of a run."""
    return f"{PENDING}/{run_id}/{PLAN}"


def receipt_path(run_id: str, slice_number: int) -> str:
    """The receipt of a slice; the process that creates it owns the slice."""
    return f"{PENDING}/{run_id}/{slice_number:05d}.json"


def held_path(run_id: str) -> str:
    """Why a finished run was not published."""
    return f"{PENDING}/{run_id}/{HELD}"


def dropped_path(run_id: str) -> str:
    """The note whose creation abandons an unpublished run."""
    return f"{PENDING}/{run_id}/{DROPPED}"


def record_path(run_id: str, attempt: int) -> str:
    """The record of one attempt at a run."""
    return f"{RUNS}/{run_id}-{attempt}.json"


def probe_path() -> str:
    """A name without meaning, to try out a store."""
    return f"data/probe-{os.urandom(8).hex()}"


def new_run_id(now: datetime) -> str:
    """Sorts by time, unique without asking anyone."""
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{os.urandom(3).hex()}"


def new_commit_id() -> str:
    """New for every number tried, so that a writer knows its own write."""
    return os.urandom(16).hex()
