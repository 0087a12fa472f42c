"""What a power cut may leave of a folder: a file system that knows what was synced.

The rules are those of POSIX at their harshest. The content of a file survives from the moment at
which the file was synced, a name from the moment at which its folder was. Everything newer may be
there or not, in any combination, and a file whose content was not synced may be empty, cut short,
or zeros of the right length. Only a rename is atomic: the old name or the new one is there.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Every path below the root, with the content of a file; None for a folder.
Tree = Mapping[str, bytes | None]
Verb = Literal["create", "truncate", "write", "sync", "link", "rename", "unlink", "mkdir", "rmdir"]

_ROOT = 0
_Names = dict[int, dict[str, int]]


@dataclass(frozen=True)
class Operation:
    """One system call that changed a folder, with paths relative to it.

    `target` is the new name of a link or a rename, `size` the length that a file was cut to,
    `offset` where the data was written (None: at the end).
    """

    verb: Verb
    path: str
    target: str = ""
    data: bytes = b""
    offset: int | None = None
    size: int = 0

    def __str__(self) -> str:
        return f"{self.verb} {self.path}" + (f" -> {self.target}" if self.target else "")


@dataclass
class _File:
    content: bytes = b""
    synced: bytes = b""

    @property
    def is_synced(self) -> bool:
        return self.content == self.synced


#: What a crash makes of a file that was written since it was synced.
_Content = Callable[[_File], bytes]
_CONTENTS: dict[str, _Content] = {
    "synced": lambda file: file.synced,
    "whole": lambda file: file.content,
    "empty": lambda _: b"",
    "half": lambda file: file.content[: len(file.content) // 2],
    "zeros": lambda file: bytes(len(file.content)),
}


@dataclass(frozen=True)
class _Edit:
    """A name made to mean a file or folder, or taken away (None)."""

    folder: int
    name: str
    node: int | None


@dataclass
class FileSystem:
    """A folder as its processes see it, and as much of it as would survive a power cut now."""

    _files: dict[int, _File] = field(default_factory=dict)
    _names: _Names = field(default_factory=lambda: {_ROOT: {}})
    _synced: _Names = field(default_factory=lambda: {_ROOT: {}})
    #: What happened to names since their folders were synced, in order; each is all or nothing.
    _changes: list[tuple[_Edit, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, tree: Tree) -> FileSystem:
        """One in which all of this was synced long ago."""
        made = cls()
        for path, content in sorted(tree.items()):
            made.apply(Operation("mkdir" if content is None else "create", path))
            if content is not None:
                made.apply(Operation("write", path, data=content))
                made.apply(Operation("sync", path))
        for path in ["", *(path for path, content in tree.items() if content is None)]:
            made.apply(Operation("sync", path))
        return made

    def copy(self) -> FileSystem:
        """Another one that goes its own way from here."""
        return copy.deepcopy(self)

    def tree(self) -> Tree:
        """What the processes see: also what is left when they are killed."""
        return self._tree(self._names, _CONTENTS["whole"])

    def apply(self, operation: Operation) -> None:
        """Do what a system call did. Raises `KeyError` for one that could not have succeeded."""
        path = operation.path
        match operation.verb:
            case "create":
                self._create(path)
            case "truncate":
                file = self._files[self._find(path)]
                file.content = file.content[: operation.size].ljust(operation.size, b"\0")
            case "write":
                self._write(operation)
            case "sync":
                self._sync(self._find(path))
            case "link":
                self._change(self._edit(operation.target, self._find(path)))
            case "rename":
                node = self._find(path)
                self._change(self._edit(path, None), self._edit(operation.target, node))
            case "unlink" | "rmdir":
                self._find(path)
                self._change(self._edit(path, None))
            case "mkdir":
                node = self._new_node()
                self._names[node], self._synced[node] = {}, {}
                self._change(self._edit(path, node))

    def is_synced(self, path: str) -> bool:
        """Whether the content of a file would survive."""
        return self._files[self._find(path)].is_synced

    def crash_states(self, chance: random.Random, *, subsets: int) -> Iterator[tuple[str, Tree]]:
        """What a power cut may leave now, each under a description; some are alike.

        After the regular ones come `subsets` that chance puts together.
        """
        everything = range(len(self._changes))
        for label, kept, content in (
            ("only what was synced", [], "synced"),
            ("all of it, as after a kill", everything, "whole"),
            ("names, and files empty", everything, "empty"),
            ("names, and files cut in half", everything, "half"),
            ("names, and files of zeros", everything, "zeros"),
            ("content, and no new names", [], "whole"),
        ):
            yield label, self._survivor(kept, _CONTENTS[content])
        for number in everything:
            others = [other for other in everything if other != number]
            yield f"all but {self._describe(number)}", self._survivor(others, _CONTENTS["whole"])
            yield f"only {self._describe(number)}", self._survivor([number], _CONTENTS["synced"])
        for number in range(subsets if self._changes else 0):
            some = [change for change in everything if chance.random() < 0.5]
            yield f"subset {number}", self._survivor(some, _by_chance(chance))

    def _describe(self, number: int) -> str:
        edits = self._changes[number]
        return ", ".join(f"{'no ' if edit.node is None else ''}{edit.name}" for edit in edits)

    def _survivor(self, kept: Collection[int], content: _Content) -> Tree:
        names = {folder: dict(entries) for folder, entries in self._synced.items()}
        for number in sorted(kept):
            _enter(names, self._changes[number])
        return self._tree(names, content)

    def _tree(self, names: _Names, content: _Content) -> Tree:
        found: dict[str, bytes | None] = {}
        stack = [("", _ROOT)]
        while stack:
            prefix, folder = stack.pop()
            for name, node in names[folder].items():
                file = self._files.get(node)
                if file:
                    found[prefix + name] = file.synced if file.is_synced else content(file)
                else:
                    found[prefix + name] = None
                    stack.append((f"{prefix}{name}/", node))
        return found

    def _create(self, path: str) -> None:
        folder, name = self._place(path)
        if name not in self._names[folder]:
            node = self._new_node()
            self._files[node] = _File()
            self._change(_Edit(folder, name, node))

    def _write(self, operation: Operation) -> None:
        file, data = self._files[self._find(operation.path)], operation.data
        start = len(file.content) if operation.offset is None else operation.offset
        before, after = file.content[:start].ljust(start, b"\0"), file.content[start + len(data) :]
        file.content = before + data + after

    def _sync(self, node: int) -> None:
        if node in self._files:
            self._files[node].synced = self._files[node].content
            return
        left = []
        for change in self._changes:
            here = [edit for edit in change if edit.folder == node]
            # A rename's old name is not gone for good before its new one is there for good.
            gone = any(edit.node is None for edit in here)
            durable = change if gone else tuple(here)
            _enter(self._synced, durable)
            if rest := tuple(edit for edit in change if edit not in durable):
                left.append(rest)
        self._changes = left

    def _change(self, *edits: _Edit) -> None:
        _enter(self._names, edits)
        self._changes.append(edits)

    def _edit(self, path: str, node: int | None) -> _Edit:
        folder, name = self._place(path)
        return _Edit(folder, name, node)

    def _place(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._find(folder), name

    def _find(self, path: str) -> int:
        node = _ROOT
        for name in path.split("/") if path else ():
            node = self._names[node][name]
        return node

    def _new_node(self) -> int:
        return 1 + max([_ROOT, *self._files, *self._names])


def _enter(names: _Names, edits: tuple[_Edit, ...]) -> None:
    for edit in edits:
        names[edit.folder].pop(edit.name, None)
        if edit.node is not None:
            names[edit.folder][edit.name] = edit.node


def _by_chance(chance: random.Random) -> _Content:
    """Each file gets a fate of its own, under every name it has."""
    chosen: dict[int, bytes] = {}

    def content(file: _File) -> bytes:
        if id(file) not in chosen:
            chosen[id(file)] = _CONTENTS[chance.choice(list(_CONTENTS))](file)
        return chosen[id(file)]

    return content
