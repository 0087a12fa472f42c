"""How counts, long lists and commands are written in messages."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

_PROGRAM = "batch-predict"


def counted(number: int, noun: str) -> str:
    """`1 input`, `1,204 inputs`, `2 more dates`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def decimal(number: float, digits: int = 6) -> str:
    """About so many significant digits, written out: `0.25`, `0.333333`, `100,000`, `0.00003`."""
    text = f"{number:,.{digits}g}"
    if "e-" in text:
        return f"{number:.{digits - 1 + int(text[-2:])}f}".rstrip("0")
    return f"{number:,.0f}" if "e+" in text else text


def listed(items: Collection[object], most: int) -> str:
    """The first `most` items, and a sign if there are more."""
    return ", ".join(map(str, [*items][:most])) + (", …" if len(items) > most else "")


def command(name: str, *arguments: object) -> str:
    """A call of this program that can be typed as it is, from any folder and in any shell.

    Inside a sentence it is set in backticks. Arguments that are paths must be absolute.
    """
    return f"{_program()} {shlex.join([name, *map(str, arguments)])}"


def _program() -> str:
    """The short name where a shell finds this very installation by it, else the whole path."""
    # Beside the interpreter: argv[0] is another program in workers, in tests and under `-m`.
    here = Path(sys.executable).with_name(_PROGRAM)
    found = shutil.which(_PROGRAM)
    if not here.is_file():
        return _PROGRAM if found else shlex.join([sys.executable, "-m", "batch"])
    return _PROGRAM if found and here.samefile(found) else shlex.quote(str(here))
