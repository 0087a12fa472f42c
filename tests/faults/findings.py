"""What a soak found: figures, violations, and the spells in which something was allowed."""

from __future__ import annotations

import threading
import time
from collections import Counter

import click


class Findings:
    """Collected from every thread of a soak; the first violation ends it.

    A spell is a time in which an outcome is expected that would else be a violation, such as an
    unreadable input lying there. Several holders may keep one spell up.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._holders: dict[str, set[str]] = {}
        self._ended: dict[str, float] = {}

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def violation(self, text: str) -> None:
        """Something broke the promise; the message says when, and by which seed."""
        with self._lock:
            found = f"VIOLATION after {self.elapsed():.1f} s, seed {self.seed}: {text}"
            self.violations.append(found)
        click.echo(found, err=True)

    def say(self, text: str) -> None:
        click.echo(f"[{self.elapsed():5.0f} s] {text}")

    def elapsed(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self._start

    def begin(self, spell: str, holder: str = "") -> None:
        with self._lock:
            self._holders.setdefault(spell, set()).add(holder)

    def end(self, spell: str, holder: str = "") -> None:
        with self._lock:
            if holder in self._holders.get(spell, ()):
                self._holders[spell].remove(holder)
                self._ended[spell] = time.monotonic()

    def held(self, spell: str, since: float) -> bool:
        """Whether the spell held at any moment after `since` (by the monotonic clock)."""
        with self._lock:
            return bool(self._holders.get(spell)) or self._ended.get(spell, 0.0) >= since
