"""The waiting times of an application, in a process that does nothing else. OUTPUT FOLDER.

OUTPUT has two versions that have no file in common.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq

from batch.client import Predictions, loaded
from batch.client.buckets import KeyIndex
from batch.client.index import key_index

#: A call of `get` that takes longer is slow.
_SLOW_SECONDS = 0.005


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """The median of `times` calls."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def loading(output: Path) -> dict[str, float]:
    """From nothing to answers, against pyarrow; the key index apart."""
    newest = json.loads((output / "manifest.json").read_text())
    paths = [output / file["path"] for file in newest["files"]]

    def read() -> None:
        for path in paths:
            pq.read_table(path)

    def load() -> None:
        Predictions(output).close()

    def build(*arguments: Any) -> KeyIndex:
        start = time.perf_counter()
        index = key_index(*arguments)
        built.append(time.perf_counter() - start)
        return index

    built: list[float] = []
    read()  # From the disk to memory, for all.
    by_pyarrow = seconds(read, 3)
    with patch.object(loaded, "key_index", build):
        whole = seconds(load, 3)
    by_index = median(built)
    return {
        "load_seconds": whole,
        "index_seconds": by_index,
        "pyarrow_seconds": by_pyarrow,
        "load_without_index_by_pyarrow": (whole - by_index) / by_pyarrow,
    }


def asking(predictions: Predictions, keys: list[Any]) -> dict[str, float]:
    """Single keys, many keys, and whether there is a newer version."""
    few = random.Random(1).sample(keys, min(len(keys), 100_000))
    many = few[:10_000]

    def get() -> None:
        look_up = predictions.get
        for key in few:
            look_up(key)

    return {
        "get_microseconds": seconds(get, 5) / len(few) * 1e6,
        "get_10000_milliseconds": seconds(lambda: predictions.get_many(many), 20) * 1e3,
        "poll_milliseconds": seconds(predictions.refresh, 100) * 1e3,
    }


def reloading(output: Path, folder: Path, keys: list[Any]) -> dict[str, float]:
    """How many calls of `get` are slow while another thread takes up a newer version."""
    there = folder / "there"
    shutil.copytree(output, there, copy_function=os.link)
    _publish(there, 1)
    predictions = Predictions(there)
    few = random.Random(2).sample(keys, min(len(keys), 100_000))
    _publish(there, 2)
    reload = threading.Thread(target=predictions.refresh)
    reload.start()
    calls, slow, longest = 0, 0, 0.0
    while reload.is_alive():
        key = few[calls % len(few)]
        start = time.perf_counter()
        predictions.get(key)
        took = time.perf_counter() - start
        calls += 1
        slow += took > _SLOW_SECONDS
        longest = max(longest, took)
    assert predictions.version == 2
    predictions.close()
    return {
        "slow_calls_of_10000_in_reload": slow / calls * 10_000,
        "slowest_milliseconds_in_reload": longest * 1e3,
    }


def _publish(output: Path, number: int) -> None:
    """Make a version the newest, as the program does it: the pointer is replaced."""
    aside = output / "manifest.aside"
    shutil.copy(output / "manifests" / f"{number:010d}.json", aside)
    aside.replace(output / "manifest.json")


def main(output: Path, folder: Path) -> None:
    """Measure, and print it as JSON."""
    found = loading(output)
    predictions = Predictions(output)
    keys = predictions.table()["key"].to_pylist()
    found |= asking(predictions, keys)
    predictions.close()
    print(json.dumps(found | reloading(output, folder, keys)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
