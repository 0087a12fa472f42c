"""Steps of the protocol's model in words."""

from __future__ import annotations

from typing import Any

from tests.faults.protocol.world import (
    Candidates,
    Create,
    Delete,
    GiveUp,
    Manifest,
    Name,
    Newest,
    Op,
    Overwrite,
    Part,
    Read,
    Report,
    Scan,
    Spared,
    Swap,
    Use,
)

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
