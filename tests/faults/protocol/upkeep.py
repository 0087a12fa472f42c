"""The commit protocol in small: the commit itself, operators, prune, and readers.

A program is a generator: it yields an operation on the store, is sent the answer, and returns the
program that goes on. `_breaks` lets it break a rule by name.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

from tests.faults.protocol.world import (
    LOST,
    POINTER,
    Candidates,
    Create,
    Delete,
    Manifest,
    Name,
    Newest,
    Op,
    Overwrite,
    Read,
    Report,
    Row,
    Scan,
    Spared,
    Swap,
    Use,
    parts_of,
)

#: The program that goes on, and its arguments besides the name of the process.
Next = tuple[str, tuple[Any, ...]] | None
Program = Generator[Op, Any, Next]

#: What the programs can be made to do wrong.
RULES = frozenset(
    {
        "a manifest is overwritten",
        "a part is deleted when its receipt is not there",
        "a plan given up is forgotten at once",
        "a receipt is overwritten",
        "commit without a look at the plan",
        "inputs of another's plan are left to it",
        "one's own run is not recognised",
        "one's own write is taken for another's",
        "pointer before manifest",
        "prune deletes the newest manifests first",
        "prune ignores age",
        "prune leaves the pointer behind",
        "prune lists candidates last",
        "prune lists manifests before plans",
        "pruned numbers count",
        "receipt before part",
        "rollback to what is not kept",
        "runs go on while paused",
        "slices are kept in part",
        "slices are not compared with the ledger",
        "the draft is not made anew",
        "the next number after a lost answer",
        "the pointer is moved without comparing",
    }
)


class Upkeep:
    """What is done to an output besides running.

    The last `kept` versions are kept. With `walks`, other operations come between the steps of
    finding the newest version.
    """

    def __init__(self, broken: Collection[str], *, kept: int, walks: bool) -> None:
        assert RULES.issuperset(broken), broken
        self._broken, self._kept, self._walks = frozenset(broken), kept, walks

    def rollback(self, me: str, target: int) -> Program:
        """Commit what an earlier version held, paused; later, unpause."""
        base, _ = yield from self._newest()
        is_kept = base.oldest_kept <= target or self._breaks("rollback to what is not kept")
        if not is_kept or target >= base.number:
            return None
        old = yield Read(("manifest", target))
        if old is None:
            return None
        draft = self._next(me, base, "rollback")
        draft = draft._replace(files=old.files, ledger=old.ledger, paused=True)
        return "commit", (draft, ("unpause", ()), ("rollback", (target,)))

    def unpause(self, me: str) -> Program:
        """Commit what there is, no longer paused."""
        base, _ = yield from self._newest()
        if not base.paused:
            return None
        draft = self._next(me, base, "unpause")._replace(paused=False)
        return "commit", (draft, None, ("unpause", ()))

    def renew(self, me: str, times: int) -> Program:
        """Commit what there is, some times, as if it were something new."""
        base, _ = yield from self._newest()
        then = ("renew", (times - 1,)) if times > 1 else None
        return "commit", (self._next(me, base, "repair"), then, ("renew", (times,)))

    def prune(self, _me: str) -> Program:
        """No manifest is deleted before the pointer says that its number is gone."""
        base, pointer = yield from self._newest()
        then = ("prune_manifests", (base.oldest_kept,))
        behind = pointer.oldest_kept < base.oldest_kept
        if behind and not self._breaks("prune leaves the pointer behind"):
            return "point", (base, then)
        return then

    def prune_manifests(self, _me: str, oldest_kept: int) -> Program:
        """Delete what is no longer kept, oldest first."""
        backwards = self._breaks("prune deletes the newest manifests first")
        numbers = sorted((name[1] for name, _ in (yield Scan(("manifest",)))), reverse=backwards)
        for number in numbers:
            if number < oldest_kept:
                yield Delete(("manifest", number))
        return "prune_parts", ()

    def prune_parts(self, _me: str) -> Program:
        """Candidates first, then plans, then manifests: what is adopted meanwhile is seen."""
        any_age = self._breaks("prune ignores age")
        old = yield Candidates(any_age)
        if self._breaks("prune lists manifests before plans"):
            kept = yield from self._named()
        spared = yield Spared(any_age or self._breaks("a plan given up is forgotten at once"))
        if not self._breaks("prune lists manifests before plans"):
            kept = yield from self._named()
        if self._breaks("prune lists candidates last"):
            old = yield Candidates(any_age)
        for path in sorted(old - kept):
            if path.split("/")[0] not in spared:
                yield Delete(("part", path))
        return None

    def commit(self, me: str, draft: Manifest, won: Next, lost: Next) -> Program:
        """Create the next number; a number that was pruned does not count."""
        if self._breaks("pointer before manifest"):
            yield Swap(draft, (yield Read(POINTER)))
        if self._breaks("the next number after a lost answer"):
            if (yield Create(("manifest", draft.number), draft)) == LOST:
                number = draft.number + 1
                return "commit", (
                    draft._replace(number=number, commit=f"{me}@{number}"), won, lost
                )  # fmt: skip
        elif not (yield from self._create(("manifest", draft.number), draft)):
            return lost
        pointer = yield Read(POINTER)
        if pointer.oldest_kept > draft.number and not self._breaks("pruned numbers count"):
            return lost
        yield Report(draft)
        if pointer.number < draft.number and not (yield self._swap(draft, pointer)):
            return "point", (draft, won)
        return "follow", (draft.number, won)

    def point(self, _me: str, manifest: Manifest, then: Next) -> Program:
        """Move the pointer, only forward."""
        pointer = yield Read(POINTER)
        if pointer.number < manifest.number and not (yield self._swap(manifest, pointer)):
            return "point", (manifest, then)
        return "follow", (manifest.number, then)

    def follow(self, _me: str, number: int, then: Next) -> Program:
        """Somebody may have committed the next number and died before moving the pointer."""
        newer = yield Read(("manifest", number + 1))
        return ("point", (newer, then)) if newer else then

    def read(self, _me: str, accepted: int) -> Program:
        """Poll for ever; a version that is not newer is ignored."""
        version = yield Read(POINTER)
        if version.number <= accepted:
            return "read", (accepted,)
        for part in sorted(version.files):
            yield Use(version, part)
        return "read", (version.number,)

    def change(self, _me: str, changes: tuple[Row, ...]) -> Program:
        """A producer sends inputs, or sends them again with another content."""
        for number, content in changes:
            yield Overwrite(("input", number), content)
        return None

    def _breaks(self, rule: str) -> bool:
        assert rule in RULES, rule
        return rule in self._broken

    def _newest(self) -> Generator[Op, Any, tuple[Manifest, Manifest]]:
        if not self._walks:
            return (yield Newest())
        pointer = newest = yield Read(POINTER)
        while newer := (yield Read(("manifest", newest.number + 1))):
            newest = newer
        return newest, pointer

    def _named(self) -> Generator[Op, Any, frozenset[str]]:
        return parts_of(manifest for _, manifest in (yield Scan(("manifest",))))

    def _create(self, name: Name, value: Any) -> Generator[Op, Any, bool]:
        """Create; if the answer was lost, repeat and read back: one's own write is a success."""
        if f"a {name[0]} is overwritten" in self._broken:
            return (yield Overwrite(name, value))
        answer = yield Create(name, value)
        if answer != LOST:
            return answer
        if (yield Create(name, value)):
            return True
        if self._breaks("one's own write is taken for another's"):
            return False
        return (yield Read(name)) == value

    def _swap(self, manifest: Manifest, expected: Manifest) -> Swap:
        blind = self._breaks("the pointer is moved without comparing")
        return Swap(manifest, None if blind else expected)

    def _next(self, me: str, base: Manifest, kind: str) -> Manifest:
        number = base.number + 1
        return base._replace(
            number=number,
            commit=f"{me}@{number}",
            base=base.commit,
            kind=kind,
            oldest_kept=max(base.oldest_kept, number + 1 - self._kept),
        )
