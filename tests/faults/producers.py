"""Whoever drops inputs while runs are under way: adds, rewrites, re-sends, renames, removes."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.faults.findings import Findings
from tests.support.contents import PADDING_BYTES, Content, Form, digest

#: So many names are in use; a removed one comes back with other records.
NAMES = 40
#: What was written so shortly ago must be taken for young; a little less than input.min_age.
LONGEST_GAP_SECONDS = 2.8
_PAUSES = (0.02, 0.5)
_PIECES = 4


class Producer(threading.Thread):
    """Changes the input folder at random, and remembers every content that ever lay there.

    `present` is what lies there now, `known` every content by path and digest, `moments` when each
    came there, `torn` those that were there only while a file was being written, `touched` the
    paths that changed since it was cleared.
    """

    def __init__(self, folder: Path, findings: Findings) -> None:
        super().__init__(name="producer", daemon=True)
        self.present: dict[str, Content] = {}
        self.known: dict[tuple[str, str], Content] = {}
        self.moments: dict[tuple[str, str], list[int]] = {}
        self.torn: set[tuple[str, str]] = set()
        self.touched: set[str] = set()
        self._folder = folder
        self._findings = findings
        self._random = random.Random(f"{findings.seed}/producer")
        self._serial = 0
        self._turn = threading.Lock()
        self._stopped = threading.Event()

    def begin(self) -> None:
        """Start; a few inputs are there at once."""
        for _ in range(NAMES // 4):
            name = self._random.choice(self._free())
            self._write_aside(name, self._content(name))
        self.start()

    def run(self) -> None:
        try:
            while not self._stopped.wait(self._random.uniform(*_PAUSES)):
                with self._turn:
                    self._act()
        except Exception:  # noqa: BLE001 - a thread that ends unseen would make a soak of nothing
            self._findings.violation(f"the producer itself broke:\n{traceback.format_exc()}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing changes in here, and nothing is half done."""
        with self._turn:
            yield

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join()

    def _act(self) -> None:
        actions = {
            self._add: 5 if len(self.present) < NAMES else 0,
            self._exchange: 4,
            self._rewrite: 1,
            self._send_again: 2,
            self._rename: 1,
            self._remove: 3 if len(self.present) > NAMES // 2 else 1,
            self._spoil: 1,
            self._leave_half: 1,
            self._mend: 3,
        }
        [action] = self._random.choices(list(actions), list(actions.values()))
        if self.present or action == self._add:
            action()

    def _add(self) -> None:
        name = self._random.choice(self._free())
        write = self._write_slowly if self._random.random() < 0.2 else self._write_aside
        write(name, self._content(name))

    def _exchange(self) -> None:
        name = self._any()
        self._write_aside(name, self._content(name))

    def _rewrite(self) -> None:
        name = self._any()
        self._write_slowly(name, self._content(name))

    def _send_again(self) -> None:
        name = self._any()
        self._write_aside(name, self.present[name])

    def _rename(self) -> None:
        name, other = self._any(), self._random.choice(self._free())
        content = self.present[name]
        self._note(other, content)
        (self._folder / name).rename(self._folder / other)
        self._settle(other)
        self._forget(name)

    def _remove(self) -> None:
        name = self._any()
        (self._folder / name).unlink()
        self._forget(name)

    def _spoil(self) -> None:
        name = self._any()
        self._write_aside(name, self._content(name, form="unreadable"))

    def _leave_half(self) -> None:
        name = self._any()
        self._write_aside(name, self._content(name, form="half"))

    def _mend(self) -> None:
        broken = [name for name, content in self.present.items() if content.form != "whole"]
        if broken:
            name = self._random.choice(broken)
            self._write_aside(name, self._content(name))

    def _free(self) -> list[str]:
        names = [f"{number:02}.csv" for number in range(NAMES)]
        # A few names that were never there before, so that the ledger grows too.
        return [name for name in names if name not in self.present] + [f"new-{self._serial}.csv"]

    def _any(self) -> str:
        return self._random.choice(sorted(self.present))

    def _content(self, name: str, form: Form = "whole") -> Content:
        pick = self._random
        self._serial += 1
        rows = pick.choice(
            [0, 1, pick.randint(2, 50), pick.randint(50, 800), pick.randint(900, 4000)]
        )
        rows = max(rows, 1) if form != "whole" else rows
        # Where all are bad, or more than ten, the input as a whole is.
        bad = pick.sample(range(rows), min(max(rows - 1, 0), pick.choice([0, 0, 1, 8])))
        large = form == "whole" and pick.random() < 0.25
        padding = PADDING_BYTES if large else 0
        return Content(name, self._serial, rows, tuple(sorted(bad)), padding, form)

    def _write_aside(self, name: str, content: Content) -> None:
        """As producers should: whole, under another name, then renamed."""
        aside = self._folder / f".{name}.tmp"
        aside.write_bytes(content.data())
        time.sleep(self._random.uniform(0, 0.1))
        self._note(name, content)
        aside.replace(self._folder / name)
        self._settle(name)

    def _write_slowly(self, name: str, content: Content) -> None:
        """In place, piece by piece; only its age and its missing end tell that it is not whole."""
        data = content.data()
        pieces = self._cut(content, data)
        self._note(name, content)
        torn = self._note_torn(
            name, content, [sum(map(len, pieces[:n])) for n in range(1, _PIECES)]
        )
        long_after = self._random.randrange(_PIECES * 2)
        last, longest = time.monotonic(), 0.0
        with (self._folder / name).open("wb", buffering=0) as file:
            for number, piece in enumerate(pieces):
                file.write(piece)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
                time.sleep(2.5 if number == long_after else self._random.uniform(0, 0.2))
        longest = max(longest, time.monotonic() - last)
        self._settle(name)
        if longest < LONGEST_GAP_SECONDS:
            self.torn |= torn
        else:
            self._findings.count("writers that stalled")

    def _cut(self, content: Content, data: bytes) -> list[bytes]:
        """In pieces, at the ends of lines or within them."""
        places = sorted(
            self._random.randint(0, len(data) - content.padding) for _ in range(_PIECES - 1)
        )
        if self._random.random() < 0.7:
            places = [data.rfind(b"\n", 0, place) + 1 for place in places]
        bounds = [0, *places, len(data)]
        return [data[start:end] for start, end in pairwise(bounds)]

    def _note_torn(self, name: str, content: Content, ends: Sequence[int]) -> set[tuple[str, str]]:
        """What lies there between two pieces, where it looks whole."""
        data = content.data()
        torn = set()
        self._know((name, digest(b"")), Content(name, 0, 0))
        for end in ends:
            if 0 < end < len(data) - content.padding and data[end - 1 : end] == b"\n":
                part = content.first(data[:end].count(b"\n") - 1)
                place = (name, digest(data[:end]))
                self._know(place, part)
                if part.rows:
                    torn.add(place)
        return torn

    def _know(self, place: tuple[str, str], content: Content) -> None:
        self.known[place] = content
        self.moments.setdefault(place, []).append(len(self.moments))

    def _note(self, name: str, content: Content) -> None:
        """Before it can be seen: a run that reads it must find it known."""
        self._know((name, content.digest()), content)
        if content.form == "unreadable":
            self._findings.begin("unreadable", name)
        self.present[name] = content
        self.touched.add(name)
        self._findings.count("inputs written")

    def _settle(self, name: str) -> None:
        """After it was written."""
        if self.present[name].form != "unreadable":
            self._findings.end("unreadable", name)

    def _forget(self, name: str) -> None:
        del self.present[name]
        self.touched.add(name)
        self._findings.end("unreadable", name)
