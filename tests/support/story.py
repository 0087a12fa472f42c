"""Follow a command through the program: `python -m tests.support.story FILE run JOB`.

Written to FILE: the files of `batch/` in which a function was called, and the functions of ours on
the stack, from the command's own downwards, when the first part was opened and at the commit.
"""

from __future__ import annotations

import atexit
import inspect
import json
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType

BATCH = Path(__file__).parents[2] / "batch"
STORE = str(BATCH / "store" / "local.py")
#: The verbs of the store that are looked for, and where what they write begins.
MOMENTS = {("upload", "data/"): "first part", ("create", "manifests/"): "commit"}


class Story:
    """Everything that is told."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.stacks: dict[str, list[str]] = {}
        self._starters: dict[threading.Thread, list[str]] = {}

    def hear(self, frame: FrameType, event: str, _argument: object) -> None:
        """A profile function."""
        if event != "call":
            return
        code = frame.f_code
        if code is threading.Thread.start.__code__:
            self._starters[frame.f_locals["self"]] = self._stack(frame)
        elif _is_ours(code):
            self.files.add(_file(code))
            if code.co_filename == STORE:
                self._notice(frame)

    def _notice(self, frame: FrameType) -> None:
        path = str(frame.f_locals.get("path", ""))
        for (verb, start), moment in MOMENTS.items():
            if frame.f_code.co_name == verb and path.startswith(start):
                self.stacks.setdefault(moment, self._stack(frame))

    def _stack(self, frame: FrameType | None) -> list[str]:
        """Functions of ours, outermost first; a thread goes on where it was started."""
        found: list[str] = []
        while frame:
            if _is_ours(frame.f_code):
                found.append(f"{_file(frame.f_code)}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        return self._starters.get(threading.current_thread(), []) + found[::-1]

    def write(self, path: Path) -> None:
        """Stacks begin at the command's own function, the last one of the command line."""
        stacks = {
            moment: stack[max(n for n, name in enumerate(stack) if name.startswith("cli/")) :]
            for moment, stack in self.stacks.items()
        }
        path.write_text(json.dumps({"files": sorted(self.files), "stacks": stacks}))


def _is_ours(code: CodeType) -> bool:
    """A function of `batch/`; the body of a module or class is no step of the story.

    Nor is a comprehension: newer releases of Python make no frame for it.
    """
    if code.co_name.endswith("comp>"):
        return False
    return code.co_filename.startswith(f"{BATCH}/") and bool(code.co_flags & inspect.CO_OPTIMIZED)


def _file(code: CodeType) -> str:
    return str(Path(code.co_filename).relative_to(BATCH))


if __name__ == "__main__":
    from batch.cli import main

    story = Story()
    atexit.register(story.write, Path(sys.argv[1]))
    threading.setprofile(story.hear)
    sys.setprofile(story.hear)
    main(sys.argv[2:])
