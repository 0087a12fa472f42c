"""One timeline of runs, whatever their outcome, and versions, whatever published them."""

from __future__ import annotations

from datetime import datetime

from batch.errors import BatchError
from batch.output.manifest import Counts, Manifest
from batch.output.read import all_kept, newest_manifest
from batch.output.run_record import RunRecord, read_records
from batch.records.documents import Document
from batch.store.base import Store
from batch.wording import listed

_NAMED = 3


class Event(Document, frozen=True):
    """One run, or one version that no run has a record of.

    `at` is when it was published, else when it ended; `version` is the one it published, and
    `is_kept` tells whether a rollback to it is possible. `model` is the sha256 of the model behind
    the version's newest predictions. `exit_code` and `seconds` are null without a run record.
    """

    at: datetime
    kind: str
    outcome: str
    exit_code: int | None
    version: int | None
    is_kept: bool
    is_live: bool
    added: Counts
    seconds: float | None
    model: str | None
    by: str
    run_id: str
    message: str


class History(Document, frozen=True):
    """The last events, the newest last; `live` and `oldest_kept` are versions.

    `trouble` says why the versions cannot be read, if they cannot.
    """

    events: tuple[Event, ...]
    live: int | None
    oldest_kept: int | None
    trouble: str = ""


def read_history(store: Store, *, last: int) -> History:
    """The last events of an output."""
    live, trouble = None, ""
    try:
        live = newest_manifest(store)
    except BatchError as error:
        trouble = error.message
    manifests = _manifests(store, live, last)
    records = list(read_records(store, last=last))
    recorded = {record.version for record in records if _published(record, manifests)}
    events = [_of_run(record, manifests, live) for record in records]
    events += [
        _of_version(manifest, live)
        for version, manifest in manifests.items()
        if version not in recorded
    ]
    return History(
        events=tuple(sorted(events, key=lambda event: event.at)[-last:]),
        live=live.version if live else None,
        oldest_kept=live.oldest_kept if live else None,
        trouble=trouble,
    )


def _manifests(store: Store, live: Manifest | None, last: int) -> dict[int, Manifest]:
    """The last versions that can be read: a rollback to others is impossible."""
    if live is None:
        return {}
    versions = all_kept(store, live, since=live.version - last + 1)
    return {version: found for version, found in versions if isinstance(found, Manifest)}


def _published(record: RunRecord, manifests: dict[int, Manifest]) -> bool:
    """Whether the run published its version, and did not only leave it as it was."""
    manifest = manifests.get(record.version or 0)
    if manifest:
        return manifest.run_id == record.run_id
    return record.outcome == "published"


def _of_run(record: RunRecord, manifests: dict[int, Manifest], live: Manifest | None) -> Event:
    version = record.version if _published(record, manifests) else None
    manifest = manifests.get(version or 0)
    return Event(
        at=manifest.published_at if manifest else record.ended_at,
        kind=record.kind,
        outcome=record.outcome,
        exit_code=record.exit_code,
        version=version,
        is_kept=_is_kept(version, live, manifests),
        is_live=bool(live and version == live.version),
        added=record.added,
        seconds=(record.ended_at - record.started_at).total_seconds(),
        model=manifest.made_by if manifest else None,
        by=manifest.published_by if manifest else record.host,
        run_id=record.run_id,
        message=_problem(record) or (_forced(manifest) if manifest else ""),
    )


def _of_version(manifest: Manifest, live: Manifest | None) -> Event:
    return Event(
        at=manifest.published_at,
        kind=manifest.kind,
        outcome="published",
        exit_code=None,
        version=manifest.version,
        is_kept=True,
        is_live=bool(live and manifest.version == live.version),
        added=manifest.added,
        seconds=None,
        model=manifest.made_by,
        by=manifest.published_by,
        run_id=manifest.run_id,
        message=manifest.paused.reason if manifest.paused else _forced(manifest),
    )


def _is_kept(version: int | None, live: Manifest | None, manifests: dict[int, Manifest]) -> bool:
    if version is None or live is None:
        return False
    # The versions that were not read are assumed to be there.
    return version in manifests or live.oldest_kept <= version < min(manifests, default=0)


def _problem(record: RunRecord) -> str:
    """The message of a run that had problems, else ""."""
    if record.unreadable and record.outcome == "published":
        names = [f"{bad.path}: {bad.reason}" for bad in record.unreadable]
        return f"unreadable: {listed(names, _NAMED)}"
    return record.message if record.exit_code else ""


def _forced(manifest: Manifest) -> str:
    forced = [check.name for check in manifest.checks if check.outcome == "forced"]
    return f"published despite failed checks: {', '.join(forced)}" if forced else ""
