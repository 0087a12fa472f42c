"""The store of the protocol's model: what it holds, what an operation does, what must always hold.

Whatever breaks the promise raises `Violation` at the very operation that broke it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

#: What kind of thing, and which: ("manifest", 3), ("receipt", ("A1.0", 0)).
Name = tuple[str, Any]
#: (input, content): an input is sent again with a greater content.
Row = tuple[int, int]
POINTER: Name = ("pointer", "")
LOST = "answer lost"


class Violation(Exception):
    """The promise does not hold."""


class Part(NamedTuple):
    """Predictions; the path begins with the run, `writer` is the process that wrote it."""

    path: str
    writer: str
    rows: frozenset[Row]


class Entry(NamedTuple):
    """One line of the ledger."""

    input: int
    content: int
    part: str
    run: str


class Manifest(NamedTuple):
    """One version; `base` is the commit that it was drafted from."""

    number: int
    commit: str
    base: str
    kind: str
    files: frozenset[Part]
    ledger: frozenset[Entry]
    paused: bool = False
    oldest_kept: int = 1


class Planned(NamedTuple):
    """An input as a plan saw it, with the mark of the ledger entry that it had."""

    input: int
    content: int
    seen: tuple[int, str] | None


class Slice(NamedTuple):
    """The inputs that become one part, and the name of the receipt that says so."""

    receipt: Name
    inputs: tuple[Planned, ...]


class Read(NamedTuple):
    """The value of a name, None if it is free."""

    name: Name


class Scan(NamedTuple):
    """All names of some kinds with their values, at one moment."""

    kinds: tuple[str, ...]


class Newest(NamedTuple):
    """The newest manifest and the pointer, where the walk between them is not the question."""


class Candidates(NamedTuple):
    """The paths of old parts. What a process wrote that is still at work is young."""

    any_age: bool = False


class Spared(NamedTuple):
    """The runs that plans stand for. A plan given up counts until its note is old.

    The note is old when no process is at work any more that was so when it was written.
    """

    at_once: bool = False


class Create(NamedTuple):
    """True if the name was free; False if not; `LOST` may stand for either."""

    name: Name
    value: Any


class GiveUp(NamedTuple):
    """A note on a plan, which remembers who was at work."""

    run: str


class Overwrite(NamedTuple):
    """What producers do to inputs, and no writer may do to anything."""

    name: Name
    value: Any


class Swap(NamedTuple):
    """True if the pointer still was what is expected (None: whatever it was) and was moved."""

    value: Manifest
    expected: Manifest | None


class Delete(NamedTuple):
    """The name is free afterwards."""

    name: Name


class Use(NamedTuple):
    """A reader opens a part of the version that it accepted."""

    version: Manifest
    part: Part


class Report(NamedTuple):
    """A commit is reported as a success."""

    version: Manifest


Look = Read | Scan | Newest | Candidates | Spared
Write = Create | GiveUp | Overwrite | Swap | Delete
Op = Look | Write | Use | Report


@dataclass(frozen=True, eq=False)
class World:
    """What the store holds, and all commits in their order: their numbers count from 1."""

    store: frozenset[tuple[Name, Any]]
    history: tuple[Manifest, ...]


def apply(world: World, op: Op, at_work: frozenset[str]) -> tuple[World, Any]:
    """What becomes of the world, and the answer; `at_work` are processes. Raises `Violation`."""
    match op:
        case Create() | GiveUp() | Overwrite() | Swap() | Delete():
            return _write(world, op, at_work)
        case Use():
            _judge_reader(world, op)
            return world, None
        case Report():
            _judge_report(world.history, op)
            return world, None
    return world, _look(dict(world.store), op, at_work)


def parts_of(manifests: Iterable[Manifest]) -> frozenset[str]:
    """The paths of the parts that some manifests name."""
    return frozenset(part.path for manifest in manifests for part in manifest.files)


def rows_of(manifest: Manifest) -> set[Row]:
    """What a version has taken in."""
    return {(entry.input, entry.content) for entry in manifest.ledger}


def _look(items: dict[Name, Any], op: Look, at_work: frozenset[str]) -> Any:
    match op:
        case Read(name):
            return items.get(name)
        case Scan(kinds):
            return frozenset(item for item in items.items() if item[0][0] in kinds)
        case Candidates(any_age):
            parts = [value for name, value in items.items() if name[0] == "part"]
            return frozenset(part.path for part in parts if any_age or part.writer not in at_work)
        case Spared(at_once):
            return _spared(items, frozenset() if at_once else at_work)
    newest = pointer = items[POINTER]
    while newer := items.get(("manifest", newest.number + 1)):
        newest = newer
    return newest, pointer


def _spared(items: dict[Name, Any], at_work: frozenset[str]) -> frozenset[str]:
    found = set[str]()
    for (kind, run), plan in items.items():
        note = items.get(("note", run)) if kind == "plan" else frozenset()
        if note is None or note & at_work:
            # A plan may have taken over slices of other runs: their parts lie below those.
            found |= {run, *(piece.receipt[1][0] for piece in plan)}
    return frozenset(found)


def _write(world: World, op: Write, at_work: frozenset[str]) -> tuple[World, Any]:
    items, history = dict(world.store), world.history
    match op:
        case Create(name, _) if name in items:
            return world, False
        case GiveUp(run):
            items.setdefault(("note", run), at_work)
        case Delete(name):
            items.pop(name, None)
        case Swap(value, expected):
            before = items[POINTER]
            if expected is not None and before != expected:
                return world, False
            if value.number < before.number:
                raise Violation(f"the pointer goes back from {before.number} to {value.number}")
            items[POINTER] = value
        case Create(name, value) | Overwrite(name, value):
            items[name] = value
            if name[0] == "manifest" and value.number > len(history):
                _judge_commit(history, value)
                history = (*history, value)
    _judge(items, history)
    return World(frozenset(items.items()), history), True


def _judge(items: dict[Name, Any], history: tuple[Manifest, ...]) -> None:
    """Whoever looks at the pointer or at a kept version finds it, and every part it names."""
    newest, pointer = history[-1], items[POINTER]
    if pointer not in history:
        raise Violation(f"the pointer names version {pointer.number}, which was never committed")
    for version in history[newest.oldest_kept - 1 :]:
        if items.get(("manifest", version.number)) != version:
            raise Violation(f"manifest {version.number} is kept, and it is gone or another one")
    for version in (pointer, *history[pointer.oldest_kept - 1 :]):
        for part in version.files:
            if ("part", part.path) not in items:
                raise Violation(f"version {version.number} names {part.path}: no such part")


def _judge_commit(history: tuple[Manifest, ...], new: Manifest) -> None:
    """A commit extends the one before it; each input is there once, and none is lost."""
    last = history[-1]
    rows = [(*row, part.path) for part in new.files for row in part.rows]
    before = {entry.input: entry for entry in last.ledger}
    after = {entry.input: entry for entry in new.ledger}
    again = [
        entry for entry in new.ledger
        if entry.input in before and entry.run != before[entry.input].run
        and entry.content <= before[entry.input].content
    ]  # fmt: skip
    for holds, claim in (
        (new.number == last.number + 1, f"number {last.number + 1} is left out"),
        (new.base == last.commit, f"it was not drafted from version {last.number}"),
        (new.oldest_kept >= last.oldest_kept, "oldest_kept falls"),
        (len({row[0] for row in rows}) == len(rows), "an input is in two parts"),
        (sorted(rows) == sorted(entry[:3] for entry in new.ledger), "ledger and parts differ"),
        (new.kind == "rollback" or before.keys() <= after.keys(), "published inputs are lost"),
        (new.kind != "run" or not again, "a content is predicted twice, or comes back"),
        (new.kind != "run" or not last.paused, "a run published although it is paused"),
    ):
        if not holds:
            raise Violation(f"version {new.number}: {claim}")


def _judge_reader(world: World, use: Use) -> None:
    """An accepted version is one that was committed; while it is kept, its parts are there."""
    number = use.version.number
    if use.version not in world.history:
        raise Violation(f"a reader accepted version {number}, which was never committed")
    kept = number >= world.history[-1].oldest_kept
    if kept and (("part", use.part.path), use.part) not in world.store:
        raise Violation(f"a reader of version {number} misses {use.part.path}")


def _judge_report(history: tuple[Manifest, ...], report: Report) -> None:
    """Success is true: what was taken in is there, unless a rollback came after."""
    number = report.version.number
    later = history[number - 1 :]
    if any(version.kind == "rollback" for version in later):
        return
    if not any(rows_of(report.version) <= rows_of(version) for version in later):
        raise Violation(f"version {number} was reported as a success, and its inputs are lost")


# Its steps in words

_LOOKS: dict[type, str] = {
    Newest: "reads the newest version",
    Candidates: "lists old parts",
    Spared: "lists the runs that plans stand for",
}


def describe(who: str, op: Op, fault: str = "") -> str:
    """One line of a trace."""
    match op:
        case Newest() | Candidates() | Spared():
            what = _LOOKS[type(op)]
        case Scan(kinds):
            what = f"lists every {' and '.join(kinds)}"
        case Report(version):
            what = f"reports success of version {version.number}"
        case Swap(value):
            what = f"moves the pointer to {_shown(value)}"
        case GiveUp(run):
            what = f"gives up the plan {run}"
        case Create(name, value) | Overwrite(name, value):
            what = f"{type(op).__name__.lower()}s {_called(name)}: {_shown(value)}"
        case Read(name) | Delete(name):
            what = f"{type(op).__name__.lower()}s {_called(name)}"
        case Use(version, part):
            what = f"opens {part.path} of version {version.number}"
    return f"{who} {what}{fault and f' ({fault})'}"


def _called(name: Name) -> str:
    kind, which = name
    return f"{kind} {'/'.join(map(str, which)) if isinstance(which, tuple) else which}".strip()


def _shown(value: Any) -> str:
    match value:
        case Part():
            return value.path
        case Manifest():
            parts = ", ".join(sorted(part.path for part in value.files))
            return f"version {value.number}, a {value.kind}, oldest kept {value.oldest_kept}: {parts or 'no parts'}"
        case tuple():
            inputs = [[item.input for item in piece.inputs] for piece in value]
            return f"slices of {inputs}"
    return str(value)
