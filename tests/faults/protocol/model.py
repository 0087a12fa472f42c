"""The commit protocol in small: a run, from its plan to the clearing of it.

Nothing here imports the product. `tests/faults/protocol/upkeep.py` has the commit and all that is no run,
`tests/faults/protocol/world.py` the store and what must hold, `tests/faults/protocol/explorer.py` walks through
all states.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import Any

from tests.faults.protocol.upkeep import Next, Program, Upkeep
from tests.faults.protocol.world import (
    Delete,
    Entry,
    GiveUp,
    Manifest,
    Name,
    Op,
    Part,
    Planned,
    Read,
    Scan,
    Slice,
)

_CLEAR: Next = ("clear", ())
Done = tuple[tuple[Slice, Part], ...]


class Protocol(Upkeep):
    """All programs."""

    def run(self, _me: str, turn: int) -> Program:
        """Begin at the newest version; whoever finds the pointer behind moves it."""
        base, pointer = yield from self._newest()
        then = ("plan", (turn, base))
        return ("point", (base, then)) if pointer.number < base.number else then

    def plan(self, me: str, turn: int, base: Manifest) -> Program:
        """What is there, less the ledger; what pending plans have done of it is taken over."""
        if self._stands_still(base):
            return None
        marks, inputs = _marks(base), (yield Scan(("input",)))
        planned = [
            Planned(number, content, marks.get(number)) for (_, number), content in sorted(inputs)
        ]
        todo = [item for item in planned if item.seen is None or item.seen[0] != item.content]
        pending = dict((yield Scan(("plan", "receipt", "note"))))
        published = {entry.run for entry in base.ledger}
        for kind, run in list(pending):
            if kind == "plan" and (run in published or ("note", run) in pending):
                del pending[kind, run]
        if self._breaks("inputs of another's plan are left to it"):
            plans = [plan for (kind, _), plan in pending.items() if kind == "plan"]
            held = {item.input for plan in plans for piece in plan for item in piece.inputs}
            todo = [item for item in todo if item.input not in held]
        if not todo:
            return None
        return "work", (turn, base, *_adopt(pending, todo, f"{me}.{turn}"))

    def work(
        self, me: str, turn: int, base: Manifest, run: str, slices: tuple[tuple[Slice, bool], ...]
    ) -> Program:
        """Plan, then each part, then the receipt that names it."""
        done = []
        if run == f"{me}.{turn}":
            yield from self._create(("plan", run), tuple(piece for piece, _ in slices))
        for number, (piece, is_done) in enumerate(slices):
            if is_done:
                # After the plan: only now it keeps what was taken over.
                part = yield Read(piece.receipt)
            else:
                rows = frozenset(item[:2] for item in piece.inputs)
                path = f"{run}/{number}-{me}.{turn}"
                part = yield from self._predict(piece, Part(path, me, rows))
            if part is None:
                return "run", (turn + 1,)  # Another host finished it and cleared it.
            done.append((piece, part))
        return "publish", (turn, base, run, tuple(done))

    def publish(self, me: str, turn: int, base: Manifest, run: str, done: Done) -> Program:
        """Extend a version by what still fits, while the plan is there."""
        if self._stands_still(base):
            return None
        if not self._breaks("slices are not compared with the ledger"):
            done = tuple(pair for pair in done if self._fits(base, pair[0]))
        if not done:
            return _CLEAR
        if not self._breaks("commit without a look at the plan"):
            there = {name for name, _ in (yield Scan(("plan", "note")))}
            if ("plan", run) not in there or ("note", run) in there:
                return "run", (turn + 1,)
        new = [part for _, part in done]
        draft = yield from self._draft((me, turn), base, run, new)
        if self._breaks("the draft is not made anew"):
            return "commit", (draft, _CLEAR, ("renumber", (draft,)))
        return "commit", (draft, _CLEAR, ("rebase", (turn, run, done)))

    def rebase(self, _me: str, turn: int, run: str, done: Done) -> Program:
        """After a lost race: done, if another host published this very run; else try again."""
        base, _ = yield from self._newest()
        published = run in {entry.run for entry in base.ledger}
        if published and not self._breaks("one's own run is not recognised"):
            return _CLEAR
        return "publish", (turn, base, run, done)

    def renumber(self, me: str, draft: Manifest) -> Program:
        """What no run may do after a lost race: try the next number with the same draft."""
        base, _ = yield from self._newest()
        draft = self._next(me, base, "run")._replace(files=draft.files, ledger=draft.ledger)
        return "commit", (draft, _CLEAR, ("renumber", (draft,)))

    def clear(self, _me: str) -> Program:
        """Give up every plan there is: where clocks differ, no plan is safe from another host.

        The plan stays beside the note. Somebody may have looked at it before, and commit after.
        """
        found = sorted(name for name, _ in (yield Scan(("plan", "receipt", "note"))))
        for _, run in [name for name in found if name[0] == "plan"]:
            if ("note", run) not in found:
                yield GiveUp(run)
            for receipt in [name for name in found if name[0] == "receipt"]:
                if receipt[1][0] == run:
                    yield Delete(receipt)
        return None

    def _stands_still(self, base: Manifest) -> bool:
        return base.paused and not self._breaks("runs go on while paused")

    def _fits(self, base: Manifest, piece: Slice) -> bool:
        """Each of its inputs still has the ledger entry that the plan saw."""
        marks = _marks(base)
        found = [marks.get(item.input) == item.seen for item in piece.inputs]
        return any(found) if self._breaks("slices are kept in part") else all(found)

    def _predict(self, piece: Slice, part: Part) -> Generator[Op, Any, Part | None]:
        """The part that counts: ours, or that of whoever was first; None if none does any more."""
        late = self._breaks("receipt before part")
        if not late:
            yield from self._create(("part", part.path), part)
        if (yield from self._create(piece.receipt, part)):
            if late:
                yield from self._create(("part", part.path), part)
            return part
        found = yield Read(piece.receipt)
        # Our part is not deleted, whatever is there by now: an answer that was lost may have been
        # a success, and another host may have published our receipt and cleared it since.
        if found != part and self._breaks("a part is deleted when its receipt is not there"):
            yield Delete(("part", part.path))
        return found

    def _draft(
        self, process: tuple[str, int], base: Manifest, run: str, new: Collection[Part]
    ) -> Generator[Op, Any, Manifest]:
        """Live parts that hold inputs of the new ones are dropped, or written without them."""
        me, turn = process
        taken = {row[0] for part in new for row in part.rows}
        runs = {entry.input: entry.run for entry in base.ledger}
        entries = {Entry(*row, part.path, run) for part in new for row in part.rows}
        files = set(new)
        for number, file in enumerate(sorted(base.files - files)):
            rows = frozenset(row for row in file.rows if row[0] not in taken)
            kept = file
            if rows != file.rows:
                kept = Part(f"{run}/{base.number}-{number}-{me}.{turn}", me, rows)
            if rows and kept is not file:
                yield from self._create(("part", kept.path), kept)
            if rows:
                files.add(kept)
            entries |= {Entry(*row, kept.path, runs[row[0]]) for row in rows}
        draft = self._next(f"{me}.{turn}", base, "run")
        return draft._replace(files=frozenset(files), ledger=frozenset(entries), paused=False)


def _marks(base: Manifest) -> dict[int, tuple[int, str]]:
    return {entry.input: (entry.content, entry.run) for entry in base.ledger}


def _adopt(
    pending: dict[Name, Any], todo: Iterable[Planned], run: str
) -> tuple[str, tuple[tuple[Slice, bool], ...]]:
    """The run to go on with, and its slices with whether each is done.

    A pending plan that covers everything is continued; else its receipts are used in a new one.
    """
    left = {item.input: item for item in todo}
    slices: list[tuple[Slice, bool]] = []
    for name in sorted((name for name in pending if name[0] == "plan"), reverse=True):
        fitting = [
            piece
            for piece in pending[name]
            if all(left.get(item.input) == item for item in piece.inputs)
        ]
        covered = sum(len(piece.inputs) for piece in fitting)
        if not slices and len(fitting) == len(pending[name]) and covered == len(left):
            return name[1], tuple((piece, piece.receipt in pending) for piece in fitting)
        for piece in fitting:
            if piece.receipt in pending:
                slices.append((piece, True))
                for item in piece.inputs:
                    del left[item.input]
    if left:
        receipt = ("receipt", (run, len(slices)))
        slices.append((Slice(receipt, tuple(left.values())), False))
    return run, tuple(slices)
