"""All states that the processes of a scenario can reach, breadth first, each of them judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.faults.protocol.model import Protocol
from tests.faults.protocol.world import (
    LOST,
    POINTER,
    Candidates,
    Create,
    Delete,
    GiveUp,
    Manifest,
    Name,
    Op,
    Overwrite,
    Report,
    Row,
    Scan,
    Spared,
    Swap,
    Violation,
    World,
    apply,
    describe,
    rows_of,
)

FIRST = Manifest(1, "first", "", "run", frozenset(), frozenset())
_UNDISTURBED_STEPS = 200
#: Where one of these is broken, it matters to others when a part is created.
_PARTS_MATTER = {"receipt before part", "prune ignores age"}


@dataclass(frozen=True)
class Scenario:
    """Who takes part, what is there at first, and how many faults of each kind there may be.

    `actors` are programs with their arguments; a run that crashes starts again.
    """

    actors: tuple[tuple[str, tuple[Any, ...]], ...]
    inputs: tuple[Row, ...] = ((1, 0),)
    first: Manifest = FIRST
    pending: tuple[tuple[Name, Any], ...] = ()
    crashes: int = 0
    lost: int = 0
    late: int = 0
    kept: int = 2
    walks: bool = False


@dataclass(frozen=True, eq=False)
class Process:
    """A program at its next operation, after the answers it got.

    A private operation is seen and disturbed by nobody. A process may crash before operations
    that change something; crashes elsewhere make no difference. Before its first operation it is
    not at work yet.
    """

    me: str
    program: str
    arguments: tuple[Any, ...]
    answers: tuple[Any, ...]
    op: Op
    is_private: bool
    may_fail: bool
    is_at_work: bool


class Request(NamedTuple):
    """A request on its way, which its sender no longer waits for."""

    sender: str
    op: Create


class State(NamedTuple):
    """One moment."""

    world: World
    processes: tuple[Process | None, ...]
    requests: frozenset[Request]
    crashes: int
    lost: int
    late: int


class Move(NamedTuple):
    """What leads to a state, for the trace."""

    who: str
    op: Op
    fault: str = ""


class Result(NamedTuple):
    """How much was explored; the first violation, with the shortest way to it."""

    states: int
    steps: int
    violation: str
    trace: tuple[str, ...]


def explore(scenario: Scenario, broken: Collection[str] = ()) -> Result:
    """Walk through everything that can happen, up to the first violation."""
    explorer = _Explorer(scenario, broken)
    start = explorer.start()
    reached: dict[State, tuple[State, Move] | None] = {start: None}
    queue, steps, state = deque([start]), 0, start
    try:
        while queue:
            state = queue.popleft()
            for move, after in explorer.moves(state):
                steps += 1
                if after not in reached:
                    reached[after] = (state, move)
                    queue.append(after)
            if all(process is None or process.program == "read" for process in state.processes):
                explorer.judge_end(state.world)
    except Violation as violation:
        trace = []
        while found := reached[state]:
            state, move = found
            trace.append(describe(*move))
        return Result(len(reached), steps, str(violation), tuple(reversed(trace)))
    return Result(len(reached), steps, "", ())


class _Explorer:
    """Worlds and processes are made once, so that states are compared by identity."""

    def __init__(self, scenario: Scenario, broken: Collection[str]) -> None:
        self._scenario = scenario
        self._protocol = Protocol(broken, kept=scenario.kept, walks=scenario.walks)
        self._parts_matter = bool(_PARTS_MATTER & set(broken))
        self._inputs_matter = any(program == "change" for program, _ in scenario.actors)
        self._worlds: dict[tuple[Any, ...], World] = {}
        self._processes: dict[tuple[Any, ...], Process] = {}
        self._applied: dict[tuple[Any, ...], tuple[World, Any]] = {}
        self._answered: dict[tuple[Any, ...], Process | None] = {}
        self._ended: set[World] = set()

    def start(self) -> State:
        """The first moment."""
        first, actors = self._scenario.first, self._scenario.actors
        items = dict(self._scenario.pending)
        items[POINTER] = items["manifest", first.number] = first
        items |= {("part", part.path): part for part in first.files}
        items |= {("input", number): content for number, content in self._scenario.inputs}
        return State(
            self._made(World(frozenset(items.items()), (first,))),
            tuple(self._begun(slot, attempt=1) for slot in range(len(actors))),
            frozenset(),
            self._scenario.crashes,
            self._scenario.lost,
            self._scenario.late,
        )

    def moves(self, state: State) -> Iterator[tuple[Move, State]]:
        """Everything that can happen next; a private operation need not wait for its turn."""
        processes = [(slot, one) for slot, one in enumerate(state.processes) if one]
        private = [item for item in processes if item[1].is_private][:1]
        for slot, process in private or processes:
            world, answer = self._apply(state, process.me, process.op)
            after = self._answer(process, answer)
            yield Move(process.me, process.op), _with(state, slot, after, world)
            if process.may_fail:
                if state.lost and isinstance(process.op, Create):
                    yield from self._lose(state, slot, process, world)
                if state.crashes:
                    yield from self._crash(state, slot, process)
        for request in () if private else state.requests:
            world, _ = self._apply(state, *request)
            requests = state.requests - {request}
            yield Move(*request, "late"), state._replace(world=world, requests=requests)

    def judge_end(self, world: World) -> None:
        """However it ended, one undisturbed run takes in every input. Raises `Violation`."""
        if world in self._ended:
            return
        self._ended.add(world)
        for me, program, arguments in (("Y1", "unpause", ()), ("Z1", "run", (0,))):
            process, steps = self._play(me, program, arguments, ()), 0
            while process:
                state = State(world, (), frozenset(), 0, 0, 0)
                world, answer = self._apply(state, me, process.op)
                process, steps = self._answer(process, answer), steps + 1
                if steps > _UNDISTURBED_STEPS:
                    raise Violation("the next run does not come to an end")
        inputs = {(name[1], content) for name, content in world.store if name[0] == "input"}
        if rows_of(world.history[-1]) != inputs:
            raise Violation("the next run does not take in every input")

    def _lose(
        self, state: State, slot: int, process: Process, world: World
    ) -> Iterator[tuple[Move, State]]:
        """The answer is lost: it was done, or it will be done later."""
        after = _with(state, slot, self._answer(process, LOST), state.world)
        after = after._replace(lost=state.lost - 1)
        if world is not state.world:
            yield Move(process.me, process.op, "answer lost"), after._replace(world=world)
        if state.late:
            yield Move(process.me, process.op, "answer lost, not done yet"), _later(after, process)

    def _crash(self, state: State, slot: int, process: Process) -> Iterator[tuple[Move, State]]:
        runs = self._scenario.actors[slot][0] == "run"
        again = self._begun(slot, attempt=int(process.me[1:]) + 1) if runs else None
        after = _with(state, slot, again, state.world)._replace(crashes=state.crashes - 1)
        yield Move(process.me, process.op, "not done: crash"), after
        if state.late and isinstance(process.op, Create):
            yield Move(process.me, process.op, "not done yet: crash"), _later(after, process)

    def _apply(self, state: State, who: str, op: Op) -> tuple[World, Any]:
        at_work: frozenset[str] = frozenset()
        if isinstance(op, Candidates | GiveUp | Spared):
            names = {process.me for process in state.processes if process and process.is_at_work}
            at_work = frozenset(names | {request.sender for request in state.requests})
        key = (state.world, type(op), op, at_work)
        found = self._applied.get(key)
        if found is None:
            try:
                world, answer = apply(state.world, op, at_work)
            except Violation as violation:
                raise Violation(f"{describe(who, op)}: {violation}") from None
            found = self._applied[key] = (self._made(world), answer)
        return found

    def _answer(self, process: Process, answer: Any) -> Process | None:
        key = (process, answer)
        if key not in self._answered:
            answers = (*process.answers, answer)
            self._answered[key] = self._play(
                process.me, process.program, process.arguments, answers
            )
        return self._answered[key]

    def _begun(self, slot: int, *, attempt: int) -> Process | None:
        program, arguments = self._scenario.actors[slot]
        return self._play(f"{chr(ord('A') + slot)}{attempt}", program, arguments, ())

    def _play(
        self, me: str, program: str, arguments: tuple[Any, ...], answers: tuple[Any, ...]
    ) -> Process | None:
        """Play a program up to the operation that follows the answers; None at its end."""
        while True:
            steps = getattr(self._protocol, program)(me, *arguments)
            try:
                op = next(steps)
                for answer in answers:
                    op = steps.send(answer)
            except StopIteration as end:
                if end.value is None:
                    return None
                (program, arguments), answers = end.value, ()
                continue
            key = (me, program, arguments, answers)
            begins = not answers and (program, arguments) in self._scenario.actors
            is_at_work = not begins and program not in {"read", "change"}
            if key not in self._processes:
                self._processes[key] = Process(
                    *key, op, self._is_private(op), self._may_fail(program, op), is_at_work
                )
            return self._processes[key]

    def _is_private(self, op: Op) -> bool:
        match op:
            case Report():
                return True
            case Scan(("input",)):
                return not self._inputs_matter
            case Create(("part", _), _):
                return not self._parts_matter
        return False

    def _may_fail(self, program: str, op: Op) -> bool:
        changes = isinstance(op, Create | GiveUp | Overwrite | Swap | Delete)
        return changes and program not in {"read", "change"}

    def _made(self, world: World) -> World:
        return self._worlds.setdefault((world.store, world.history), world)


def _with(state: State, slot: int, process: Process | None, world: World) -> State:
    before = state.processes
    processes = (*before[:slot], process, *before[slot + 1 :])
    return State(world, processes, *state[2:])


def _later(state: State, process: Process) -> State:
    assert isinstance(process.op, Create), "only such requests are late"
    requests = state.requests | {Request(process.me, process.op)}
    return state._replace(requests=requests, late=state.late - 1)
