"""What strace saw of a program makes the folder that the program made."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.faults.crash_states import FileSystem
from tests.faults.tracing import record, why_no_trace

_WHY_NOT = why_no_trace()
pytestmark = pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)

#: Every way of changing files that is followed, in two threads and a child.
PROGRAM = r"""
import os, sys, threading
from pathlib import Path

root = Path(sys.argv[1])
(root / "odd größe").mkdir()
os.chdir(root / "odd größe")

def work(name):
    for number in range(20):
        path = root / f"{name}-{number}"
        path.write_bytes(bytes(range(256)))
        descriptor = os.open(path, os.O_RDWR)
        os.pwrite(descriptor, b"in the middle", 100)
        os.ftruncate(descriptor, 200)
        os.lseek(descriptor, 0, os.SEEK_END)
        os.writev(descriptor, [b"at", b"the end"])
        os.fsync(descriptor)
        os.close(descriptor)
        os.link(path, root / f"{name}-link-{number}")
        os.rename(root / f"{name}-link-{number}", root / f"{name}-renamed-{number}")

threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
if os.fork() == 0:
    work("child")
    os._exit(0)
os.wait()
folder = os.open(root, os.O_RDONLY)
os.mkdir("made here", dir_fd=folder)
os.rename("a-1", "made here/moved", src_dir_fd=folder, dst_dir_fd=folder)
os.unlink("a-2", dir_fd=folder)
os.mkdir(root / "short-lived")
os.rmdir("short-lived", dir_fd=folder)
with open(root / "a-3", "ab") as file:
    file.write(b"appended")
os.unlink(root / "a-4")
unnamed = os.open(root, os.O_TMPFILE | os.O_WRONLY)
os.write(unnamed, b"nobody sees it")
sys.exit(7)
"""


def test_a_trace_replayed_is_what_is_on_the_disk(tmp_path: Path) -> None:
    """Names and content, from all processes and threads, in the order in which they happened."""
    root = (tmp_path / "root").resolve()
    root.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(root)]
    trace = record(command, root, tmp_path / "trace", os.environ)
    assert trace.exit_code == 7, trace.errors
    system = FileSystem()
    for operation in trace.operations:
        system.apply(operation)
    assert system.tree() == {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }
    assert sum(operation.verb == "sync" for operation in trace.operations) == 60
