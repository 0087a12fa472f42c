"""The live predictions of one output, for an application that must not break."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

from batch.client.newest import NotPublished
from batch.client.poller import Poller
from batch.client.versions import Versions
from batch.logs import log, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta
    from types import TracebackType

    import pandas as pd
    import pyarrow as pa

    from batch.client.loaded import Version
    from batch.model.published import PublishedModel
    from batch.output.manifest import Manifest, Paused

_WAIT_STEP_SECONDS = 0.2


class Predictions:
    """The live version of an output: loaded once, swapped whole when a newer one is published.

    Every part is verified before it is used. If anything goes wrong after the first load, the last
    good version stays, `last_error` holds the error, and `age` tells how old the predictions are.
    The files and the last good version of an output on S3 are cached on this host: if S3 is
    unavailable at the start, that version is served, with `last_error` set. All methods may be
    called from any thread.

    Args:
        url: the job's OUTPUT.
        columns: the columns to load in addition to the key; by default all of them. If given,
            `_input`, `_row` and `_as_of` are part of the answers only if listed here.
        wait: seconds to wait for the first version of an output that has none.

    Raises:
        NotPublished: there is no version, and none was published in time.
        BatchError: the live version cannot be read, and none is cached here.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        columns: Sequence[str] | None = None,
        wait: float | None = None,
    ) -> None:
        self.last_error: Exception | None = None
        self.on_change: Callable[[Predictions], object] | None = None
        self.on_error: Callable[[Exception], object] | None = None
        self._versions = Versions(os.fspath(url), columns)
        self._lock, self._model_lock = threading.Lock(), threading.Lock()
        self._poller: Poller | None = None
        self._model: tuple[tuple[str, str], PublishedModel] | None = None
        self._token: str | None = None
        self._version = self._first(wait or 0)
        _open.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get(self, key: Any) -> dict[str, Any] | None:
        """The latest row of the key, None if there is none.

        Several key columns: a tuple in the order of the job's `key`. Raises TypeError for a key
        of another type than the column's: str, int (not bool), date, datetime …
        """
        return self._version.get(key)

    def get_many(self, keys: Iterable[Any]) -> list[dict[str, Any] | None]:
        """`get` for each key, in order, all from one version."""
        return self._version.get_many(list(keys))

    def table(self, all_rows: bool = False) -> pa.Table:
        """The latest row of each key, or every row, as an Arrow table."""
        return self._version.table(all_rows=all_rows)

    def frame(self) -> pd.DataFrame:
        """The latest row of each key as a DataFrame; integers with nulls stay exact, as objects."""
        frame: pd.DataFrame = self.table().to_pandas(integer_object_nulls=True)
        return frame

    @property
    def manifest(self) -> Manifest:
        """The manifest of the version that is served."""
        return self._version.manifest

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def key_count(self) -> int:
        """How many keys have a prediction."""
        return self._version.key_count

    @property
    def published_at(self) -> datetime:
        return self.manifest.published_at

    @property
    def age(self) -> timedelta:
        """Time since the version that is served was published."""
        return utc_now() - self.published_at

    def is_stale(self, max_age: timedelta | None = None) -> bool:
        """Whether `age` is above `max_age`, by default above what the job's `fresh_for` promises.

        Never without either.
        """
        if max_age is not None:
            return self.age > max_age
        stale_after = self.manifest.stale_after
        return stale_after is not None and utc_now() > stale_after

    @property
    def paused(self) -> Paused | None:
        """Who stopped the job after a rollback, when and why; None while it runs."""
        return self.manifest.paused

    def model(self) -> Any:
        """The very model behind the newest predictions, from OUTPUT, verified by its sha256.

        Raises BatchError when this environment cannot load it.
        """
        return self._published_model().estimator

    def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predict raw records now, with the model and the hooks of the newest predictions.

        Returns the prediction columns of each record. Raises BadData for a record that does not
        fit, and BatchError when this environment cannot load the model.
        """
        return self._published_model().score_records(records)

    def refresh(self) -> bool:
        """Look for a newer version; True when one is served now.

        Never raises: an error is stored in `last_error` and passed to `on_error`.
        """
        try:
            changed = self._refresh()
        except Exception as error:  # noqa: BLE001 - after any error, the last good version stays
            if repr(error) != repr(self.last_error):
                log.warning("still serving version %d: %s", self.version, error)
            self.last_error = error
            _tell(self.on_error, error)
            return False
        self.last_error = None
        if changed:
            _tell(self.on_change, self)
        return changed

    def start(
        self,
        interval: float,
        on_change: Callable[[Predictions], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Refresh about every `interval` seconds in a thread, in forked processes too.

        `on_change` is called with this object after each swap, `on_error` with the error of each
        failed refresh; both in that thread. Starting again replaces all three.
        """
        self.close()
        self.on_change, self.on_error = on_change, on_error
        self._poller = Poller(self.refresh, interval)

    def close(self) -> None:
        """Stop refreshing; what is loaded stays readable."""
        poller, self._poller = self._poller, None
        if poller:
            poller.stop()

    def _first(self, wait_seconds: float) -> Version:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                found = self._versions.first()
            except NotPublished:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise
                time.sleep(min(_WAIT_STEP_SECONDS, remaining))
            else:
                self._token, self.last_error = found.token, found.trouble
                return found.version

    def _refresh(self) -> bool:
        with self._lock:
            found = self._versions.newer(self._version, self._token)
            if found is None:
                return False
            is_newer = found.version is not self._version
            # Only now: a version that could not be loaded is tried again.
            self._version, self._token = found.version, found.token
            return is_newer

    def _published_model(self) -> PublishedModel:
        model = self.manifest.model
        wanted = (model.sha256, model.recipe)
        with self._model_lock:
            if self._model is None or self._model[0] != wanted:
                from batch.model.published import load_published

                self._model = (wanted, load_published(self._versions.store, model))
            return self._model[1]

    def _after_fork(self) -> None:
        # Threads do not survive a fork, and a lock that one of them held stays locked.
        self._lock, self._model_lock = threading.Lock(), threading.Lock()
        if self._poller:
            self._poller = Poller(self.refresh, self._poller.interval)


def _tell(callback: Callable[[Any], object] | None, news: object) -> None:
    if callback is not None:
        try:
            callback(news)
        except Exception:  # noqa: BLE001 - the application's own mistake must not end the refreshing
            log.exception("%r raised", callback)


_open: weakref.WeakSet[Predictions] = weakref.WeakSet()


def _close_all() -> None:
    # A daemon thread that is inside Arrow when the interpreter ends can abort the process.
    for predictions in list(_open):
        predictions.close()


def _restart_all() -> None:
    for predictions in list(_open):
        predictions._after_fork()  # noqa: SLF001 - this module is its own friend


atexit.register(_close_all)
os.register_at_fork(after_in_child=_restart_all)
