"""The real command without its start: a process that has imported everything, and forks.

Nine tenths of a short run are imports, which write nothing. A program that kills the command at
every system call forks it from here instead: each fork runs `python -m batch` to its end, after
somebody had the time to attach to it. It talks JSON, one document a line.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import runpy
import sys
from typing import Any

#: What the program imports only where it needs it.
_LAZY = ("joblib", "pandas", "pyarrow.csv", "pyarrow.parquet", "sklearn.linear_model", "tempfile")


def main() -> None:
    """Fork one command for every request, and answer with its process id, then its exit code."""
    _import_everything()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        # Opened before there is a process to attach to: the command itself opens the same files
        # every time, however soon it is traced.
        complaints = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        attached, let_go = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(let_go)
            _become_the_command(request, attached, (nowhere, nowhere, complaints))
            return
        os.close(attached)
        os.close(complaints)
        _say(process)
        sys.stdin.readline()
        os.close(let_go)
        _, status = os.waitpid(process, 0)
        _say(os.waitstatus_to_exitcode(status))


def _import_everything() -> None:
    import batch

    for module in pkgutil.walk_packages(batch.__path__, "batch."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in _LAZY:
        importlib.import_module(name)


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become_the_command(
    request: dict[str, Any], attached: int, standard: tuple[int, int, int]
) -> None:
    """Be `python -m batch ARGUMENTS` under cron: no terminal, stderr in a file."""
    os.read(attached, 1)  # Ends when the other side is closed.
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    for descriptor in {attached, *standard}:
        os.close(descriptor)
    os.environ.update(request["environment"])
    sys.argv = ["batch", *request["arguments"]]
    if request["open_files"]:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (request["open_files"], most))
    runpy.run_module("batch", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
