"""Everything that is measured, and the limits it is held to.

A scenario makes its material, has its contenders timed in rounds, and judges what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter

from scripts.benchmark.data import Data, Format
from scripts.benchmark.lineup import (
    AGAIN,
    BYTES,
    DAFT,
    DASK,
    IMPORTS,
    JOBLIB,
    LOOP,
    MODEL,
    OURS,
    RAY,
    START,
    Contender,
    lineup,
    ours,
)  # fmt: skip
from scripts.benchmark.report import Result
from scripts.benchmark.rounds import Bench


@dataclass(frozen=True)
class Size:
    """How much data. Slow scenarios take a share of it, in files that are as large."""

    rows: int = 4_000_000
    files: int = 16
    slow_share: int = 4

    @property
    def slow(self) -> Size:
        """For slow models and formats."""
        return Size(self.rows // self.slow_share, max(1, self.files // self.slow_share), 1)

    @property
    def small_files(self) -> int:
        """How many files of 100 rows: 10,000 beside 4 million rows."""
        return max(10, self.rows // 400)


def linear(bench: Bench, size: Size) -> Result:
    """The model that costs least, over many Parquet files: most of it is the program."""
    data = Data("parquet", size.rows, size.files)
    contenders = lineup(bench.material, data, "linear")
    result = bench.measure("linear", f"linear, {data.title}", contenders.values())
    for name, limit in ((LOOP, 1.0), (JOBLIB, 1.0), (DASK, 1 / 1.5), (RAY, 1 / 3), (DAFT, 1.0)):
        _judge_wall(result, name, limit)
    _judge_peak(result, OURS, LOOP, 1.0)
    return result


def slow(bench: Bench, size: Size, *, model: str) -> Result:
    """Trees, whose own time is most of it, or columns of text behind a ColumnTransformer."""
    data = Data("parquet", size.slow.rows, size.slow.files, categories=model == "columns")
    contenders = lineup(bench.material, data, model)
    result = bench.measure(model, f"{model}, {data.title}", contenders.values())
    result.judge(
        f"{OURS}: wall / the faster of {LOOP} and {JOBLIB}", 1.0,
        lambda wall: wall[OURS] / min(wall[LOOP], wall[JOBLIB]),
    )  # fmt: skip
    if model != "columns":
        result.judge(
            f"{OURS}: wall without {START} / the slower of {MODEL} and {BYTES}", 1.15,
            lambda wall: (wall[OURS] - wall[START]) / max(wall[MODEL], wall[BYTES]),
        )  # fmt: skip
    for name in (DASK, RAY, DAFT):
        _judge_wall(result, name, 1.0)
    _judge_peak(result, OURS, LOOP, 1.0)
    return result


def text(bench: Bench, size: Size, *, kind: Format) -> Result:
    """CSV or JSON lines, with the model that costs least."""
    data = Data(kind, size.slow.rows, size.slow.files)
    contenders = lineup(bench.material, data, "linear")
    chosen = [contenders[name] for name in (OURS, LOOP, JOBLIB, BYTES, START)]
    result = bench.measure(kind, f"linear, {data.title}", chosen)
    _judge_wall(result, LOOP, 0.6)
    return result


def small(bench: Bench, size: Size) -> Result:
    """Very many files, and then one more."""
    data = Data("parquet", 100 * size.small_files, size.small_files)
    contenders = lineup(bench.material, data, "linear")
    again = Contender(
        AGAIN, contenders[OURS].arguments, after=OURS, inputs=bench.material.data(data)
    )
    chosen = [contenders[OURS], again, contenders[LOOP], IMPORTS]
    result = bench.measure("small", f"linear, {data.title}, and then one more file", chosen)
    _judge_wall(result, LOOP, 0.5)
    _judge_above(result, AGAIN, START, 0.5)
    return result


def start(bench: Bench, size: Size) -> Result:
    """How long a call takes that has nothing to do, and how that grows."""
    bare, text, counts = "bare Python", "--help", (10, size.small_files * 2, size.small_files * 10)
    few, some, many = names = [f"nothing new in {count:,} files" for count in counts]
    contenders = [Contender(bare, ("-c", "pass")), Contender(text, ("-m", "batch", "--help"))]
    for name, count in zip(names, counts, strict=True):
        home = bench.material.published(Data("csv", count, count))
        contenders.append(Contender(name, ("-m", "batch", "run", f"{home}/job.toml"), state=home))
    title = "start-up, and runs that find nothing new"
    result = bench.measure("start", title, [*contenders, IMPORTS])
    for name, seconds in ((text, 0.1), (few, 0.3), (many, 1.0)):
        _judge_above(result, name, bare, seconds)
    result.judge(
        f"{many}: wall without {bare} / {some}", counts[2] / counts[1],
        lambda wall: (wall[many] - wall[bare]) / (wall[some] - wall[bare]),
    )  # fmt: skip
    return result


def client(bench: Bench, size: Size) -> Result:
    """Everything that an application waits for."""
    script, contenders = "scripts.benchmark.contenders.client_speed", []
    for name, strings in (("int64 keys", False), ("string keys", True)):
        data = Data("parquet", size.rows, size.files, string_keys=strings)
        home = bench.material.published(data, versions=2)
        contenders.append(Contender(name, ("-m", script, f"{home}/out", "out")))
    result = bench.measure("client", f"the client, {size.rows:,} rows", contenders)
    for contender in contenders:
        for measure, limit in (
            ("get_microseconds", 3.0), ("get_10000_milliseconds", 5.0),
            ("load_without_index_by_pyarrow", 2.0), ("poll_milliseconds", 1.0),
            ("slow_calls_of_10000_in_reload", 1.0),
        ):  # fmt: skip
            title = f"{contender.name}: {measure.replace('_', ' ')}"
            result.judge(title, limit, itemgetter(contender.name), measure=measure)
    return result


def alone(bench: Bench, size: Size, *, model: str, kind: Format) -> Result:
    """One file, which all cores share."""
    data = Data(kind, size.slow.rows, row_groups=16 if kind == "parquet" else 1)
    single = "one worker, one thread, one core"
    shared = ours(bench.material, data, model)
    # The model's own threads too: OpenMP's and joblib's would take the other cores.
    lonely = ours(bench.material, data, model, name=single, workers=1, threads=1)
    contenders = [shared, replace(lonely, one_core=True)]
    title = f"{model}, {data.title}"
    result = bench.measure(f"alone-{model}-{kind}", title, contenders, most_repeats=3)
    _judge_wall(result, single, 0.65)
    return result


def memory(bench: Bench, size: Size, *, kind: Format) -> Result:
    """Ten times the rows in the same memory. A row of CSV takes some 390 bytes: up to 10 GB."""
    if kind == "parquet":
        little, much = (Data(kind, n * size.rows, n * size.files) for n in (1, 10))
    else:
        little, much = (Data(kind, n * size.rows * 64 // 100) for n in (1, 10))
    more = "ten times the rows"
    fewer_rows, more_rows = (
        ours(bench.material, data, "linear", name=name)
        for data, name in ((little, OURS), (much, more))
    )
    title = f"linear, {little.title}, then {much.title}"
    result = bench.measure(f"memory-{kind}", title, [fewer_rows, more_rows], most_repeats=2)
    _judge_peak(result, more, OURS, 1.1)
    return result


def memory_limit(bench: Bench, size: Size) -> Result:
    """The setting that bounds it, with the model that takes most."""
    data = Data("parquet", size.slow.rows, size.slow.files, categories=True)
    name = "memory = 400MB"
    unbounded = ours(bench.material, data, "columns")
    bounded = ours(bench.material, data, "columns", name=name, memory="400MB")
    title = f"columns, {data.title}, with and without `run.memory`"
    result = bench.measure("memory-limit", title, [unbounded, bounded], most_repeats=3)
    result.judge(
        f"{name}: peak", 400, lambda peak: peak[name] / 1e6, measure="peak_bytes", unit=" MB"
    )
    return result


#: In the order in which they are run and shown.
SCENARIOS: dict[str, Callable[[Bench, Size], Result]] = {
    "linear": linear,
    "boosting": partial(slow, model="boosting"),
    "forest": partial(slow, model="forest"),
    "columns": partial(slow, model="columns"),
    "csv": partial(text, kind="csv"),
    "jsonl": partial(text, kind="jsonl"),
    "small": small,
    "start": start,
    "client": client,
    "alone-boosting-parquet": partial(alone, model="boosting", kind="parquet"),
    "alone-boosting-csv": partial(alone, model="boosting", kind="csv"),
    "alone-forest-parquet": partial(alone, model="forest", kind="parquet"),
    "alone-forest-csv": partial(alone, model="forest", kind="csv"),
    "memory-parquet": partial(memory, kind="parquet"),
    "memory-csv": partial(memory, kind="csv"),
    "memory-limit": memory_limit,
}
#: Those that need no option to be run.
STANDARD = ("linear", "boosting", "forest", "columns", "csv", "jsonl", "small")


def _judge_wall(result: Result, other: str, limit: float) -> None:
    result.judge(f"{OURS}: wall / {other}", limit, lambda wall: wall[OURS] / wall[other])


def _judge_above(result: Result, name: str, other: str, seconds: float) -> None:
    title = f"{name}: wall above {other}"
    result.judge(title, seconds, lambda wall: wall[name] - wall[other], unit=" s")


def _judge_peak(result: Result, name: str, other: str, limit: float) -> None:
    title = f"{name}: peak / {other}"
    result.judge(title, limit, lambda peak: peak[name] / peak[other], measure="peak_bytes")
