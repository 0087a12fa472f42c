"""Record what a real process does to the files below a folder, by strace."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.crash_states import Operation

_CALLS = (
    "openat,write,pwrite64,writev,ftruncate,fsync,fdatasync,link,linkat,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_OPTIONS = ("-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-e", "signal=none")

_HEX = r"(?:\\x[0-9a-f]{2})*"
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>\d+)(?:<.*)?")
_TEXT = re.compile(rf'"({_HEX})"')
#: A folder that a path is relative to, or an open file; strace knows their paths.
_OPEN = re.compile(rf"(?:AT_FDCWD|\d+)<({_HEX})>(\(deleted\))?")
_UNFINISHED, _RESUMED = " <unfinished ...>", re.compile(r"<\.\.\. \w+ resumed>")


@dataclass(frozen=True)
class Trace:
    """What a process and its children did, and how it ended."""

    exit_code: int
    errors: str
    operations: tuple[Operation, ...]


def why_no_trace() -> str:
    """Why processes cannot be traced here; empty if they can."""
    if not shutil.which("strace"):
        return "NO STRACE HERE (Debian: apt-get install strace)"
    tried = subprocess.run(
        ["strace", *_OPTIONS, "-e", "trace=none", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"STRACE MAY NOT TRACE HERE: {tried.stderr.strip()}" if tried.returncode else ""


def record(command: Sequence[str], root: Path, log: Path, environment: Mapping[str, str]) -> Trace:
    """Run a command to its end and return what it did below `root`, an absolute path.

    Names relative to the working folder and files written through a mapping or by the kernel
    alone (`sendfile`) are not seen: whoever replays the trace must compare it with the disk.
    """
    ended = subprocess.run(
        ["strace", *_OPTIONS, "-s", "1000000000", "-e", f"trace={_CALLS}", "-o", log, *command],
        env=environment, text=True, capture_output=True, timeout=90, check=False,
    )  # fmt: skip
    with log.open(encoding="ascii") as lines:
        operations = tuple(
            operation for call in _calls(lines) for operation in _operations(call, os.fspath(root))
        )
    return Trace(ended.returncode, ended.stderr, operations)


def _calls(lines: Iterator[str]) -> Iterator[re.Match[str]]:
    """The calls that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in lines:
        process, _, text = line.rstrip("\n").partition(" ")
        text = text.lstrip()
        if text.endswith(_UNFINISHED):
            begun[process] = text.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(text):
            text = begun.pop(process) + text[resumed.end() :]
        if call := _CALL.fullmatch(text):
            yield call


def _operations(call: re.Match[str], root: str) -> Iterator[Operation]:
    arguments, name = call["arguments"], call["name"]
    texts = [_plain(text) for text in _TEXT.findall(arguments)]
    opened = [os.fsdecode(_plain(path)) for path, gone in _OPEN.findall(arguments) if not gone]
    match name:
        case "openat" | "mkdirat" | "unlinkat" | "mkdir" | "unlink" | "rmdir":
            path = _below(root, os.path.join(*opened[:1], os.fsdecode(texts[0])))  # noqa: PTH118
            if path is not None:
                yield from _named(name, path, _TEXT.sub("", arguments))
        case "link" | "linkat" | "rename" | "renameat" | "renameat2":
            old, new = (
                _below(root, os.path.join(*opened[i : i + 1], os.fsdecode(texts[i])))  # noqa: PTH118
                for i in (0, 1)
            )
            if new is not None:
                assert old is not None, f"{new} came from outside {root}"
                yield Operation("link" if name.startswith("link") else "rename", old, new)
        case _ if opened and (path := _below(root, opened[0])) is not None:
            yield _opened(name, path, b"".join(texts), call)


def _named(name: str, path: str, flags: str) -> Iterator[Operation]:
    if name == "openat":
        if "O_CREAT" in flags:
            yield Operation("create", path)
        if "O_TRUNC" in flags:
            yield Operation("truncate", path)
    elif name.startswith("mkdir"):
        yield Operation("mkdir", path)
    else:
        yield Operation("rmdir" if name == "rmdir" or "AT_REMOVEDIR" in flags else "unlink", path)


def _opened(name: str, path: str, data: bytes, call: re.Match[str]) -> Operation:
    last = call["arguments"].rpartition(", ")[2]
    if name == "ftruncate":
        return Operation("truncate", path, size=int(last))
    if name in {"fsync", "fdatasync"}:
        return Operation("sync", path)
    offset = int(last) if name == "pwrite64" else None
    return Operation("write", path, data=data[: int(call["result"])], offset=offset)


def _below(root: str, path: str) -> str | None:
    """A path relative to the root; None for one outside."""
    path = os.path.normpath(path)
    if path == root:
        return ""
    return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else None


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
