"""A thread that polls for new versions, and ends with its owner."""

from __future__ import annotations

import random
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each pause differs by up to this share, so that many processes do not poll at the same moment.
JITTER = 0.2


class Poller:
    """Calls a bound method again and again, about every `interval` seconds.

    It holds no reference to the method's object: when that is gone, the thread ends.
    """

    def __init__(self, refresh: Callable[[], object], interval: float) -> None:
        if interval <= 0:
            raise ValueError(f"interval: found {interval}, expected seconds above 0")
        self.interval = interval
        self._refresh = weakref.WeakMethod(refresh)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batch.client", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended, from the thread itself at once."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.interval * random.uniform(1 - JITTER, 1 + JITTER)):
            if not self._refresh_once():
                return

    def _refresh_once(self) -> bool:
        refresh = self._refresh()
        if refresh is not None:
            refresh()
        return refresh is not None
