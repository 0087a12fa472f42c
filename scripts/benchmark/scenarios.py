"""Everything that is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scripts.benchmark.data import Data
from scripts.benchmark.scenario import Contender, Output, Scenario, Target

OURS, AGAIN = "batch-predict", "one more file"
LOOP, JOBLIB = "pandas loop", "joblib files"
BYTES, MODEL, START = "bytes floor", "model floor", "start-up"
RAY, DASK, DAFT = "Ray Data", "Dask", "Daft"

_SCRIPTS = "scripts.benchmark.contenders."
_THREE = ("{model}", "{input}", "{output}")
_RUN = ("-m", "batch", "run", "{job}")
_IMPORTS = (
    "import pandas, pyarrow.parquet, sklearn.ensemble, sklearn.linear_model, sklearn.pipeline"
)
_START = Contender(START, ("-c", _IMPORTS), answers=False)
_ONE_THREAD = {"workers": 1, "threads": 1}


@dataclass(frozen=True)
class Size:
    """How much data. What takes long takes a share of it, in files that are as large."""

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


def ours(data: Data, model: str, name: str = OURS, **settings: int | str) -> Contender:
    """The program, with everything on."""
    return Contender(name, _RUN, data, model, settings=settings)


def script(name: str, module: str, data: Data, model: str) -> Contender:
    """What people write or install instead."""
    return Contender(name, ("-m", _SCRIPTS + module, *_THREE), data, model)


def people(data: Data, model: str) -> tuple[Contender, ...]:
    """What people write instead."""
    return (
        script(LOOP, "pandas_loop", data, model),
        script(JOBLIB, "joblib_files", data, model),
    )


def floors(data: Data, model: str) -> tuple[Contender, ...]:
    """What nobody can be faster than; both without their start, which is timed apart."""
    return (
        replace(script(BYTES, "bytes_floor", data, model), answers=False),
        replace(script(MODEL, "model_floor", data, model), answers=False),
        _START,
    )


def frameworks(data: Data, model: str) -> tuple[Contender, ...]:
    """What people install instead."""
    found = (
        (RAY, "ray_data", "ray"),
        (DASK, "dask_partitions", "dask"),
        (DAFT, "daft_udf", "daft"),
    )
    return tuple(
        replace(script(name, module, data, model), needs=needs) for name, module, needs in found
    )


def of_models(size: Size) -> tuple[Scenario, ...]:
    """Each model, over many Parquet files."""
    limits = {
        "linear": (
            Target(OURS, 1.0, (LOOP,)), Target(OURS, 1.0, (JOBLIB,)),
            Target(OURS, 1 / 1.5, (DASK,)), Target(OURS, 1 / 3, (RAY,)), Target(OURS, 1.0, (DAFT,)),
        ),
        "boosting": _close_to_the_floor(), "forest": _close_to_the_floor(),
        "columns": (Target(OURS, 1.0, (LOOP, JOBLIB)), *_ahead()),
    }  # fmt: skip
    return tuple(
        _of_model(model, size if model == "linear" else size.slow, targets)
        for model, targets in limits.items()
    )


def _of_model(model: str, size: Size, targets: tuple[Target, ...]) -> Scenario:
    data = Data("parquet", size.rows, size.files, categories=model == "columns")
    memory = Target(OURS, 1.0, (LOOP,), measure="peak_bytes")
    return Scenario(
        name=model,
        title=f"{model}, {data.title}",
        contenders=(
            ours(data, model), *people(data, model), *frameworks(data, model), *floors(data, model),
        ),
        targets=(*targets, memory),
        standard=True,
    )  # fmt: skip


def _close_to_the_floor() -> tuple[Target, ...]:
    return (
        Target(OURS, 1.0, (LOOP, JOBLIB)),
        Target(OURS, 1.15, (MODEL, BYTES), less=START, slowest=True),
        *_ahead(),
    )


def _ahead() -> tuple[Target, ...]:
    return tuple(Target(OURS, 1.0, (name,)) for name in (DASK, RAY, DAFT))


def of_text(size: Size) -> tuple[Scenario, ...]:
    """CSV and JSON lines, with the model that costs least."""
    found = []
    for kind in ("csv", "jsonl"):
        data = Data("csv" if kind == "csv" else "jsonl", size.slow.rows, size.slow.files)
        loop, parallel = people(data, "linear")
        floor, _, start = floors(data, "linear")
        found.append(
            Scenario(
                name=kind,
                title=f"linear, {data.title}",
                contenders=(ours(data, "linear"), loop, parallel, floor, start),
                targets=(Target(OURS, 0.6, (LOOP,)),),
                standard=True,
            )
        )
    return tuple(found)


def of_small_files(size: Size) -> Scenario:
    """Very many files, and then one more."""
    data = Data("parquet", 100 * size.small_files, size.small_files)
    return Scenario(
        name="small",
        title=f"linear, {data.title}, and then one more file",
        contenders=(
            ours(data, "linear"),
            Contender(AGAIN, _RUN, data, "linear", after=OURS, answers=False),
            people(data, "linear")[0],
            _START,
        ),
        targets=(Target(OURS, 0.5, (LOOP,)), Target(AGAIN, 0.5, (START,), above=True, unit=" s")),
        standard=True,
    )


def of_start(size: Size) -> Scenario:
    """What a call takes that has nothing to do, and how that grows."""
    few, some, many = 10, size.small_files * 2, size.small_files * 10
    bare, text = "bare Python", "--help"
    names = {count: f"nothing new in {count:,} files" for count in (few, some, many)}
    idle = [
        Contender(
            name, ("-m", "batch", "run", "{published}/job.toml"), answers=False,
            published=Output(Data("csv", count, count)),
        )
        for count, name in names.items()
    ]  # fmt: skip
    return Scenario(
        name="start",
        title="start-up, and runs that find nothing new",
        contenders=(
            Contender(bare, ("-c", "pass"), answers=False),
            Contender(text, ("-m", "batch", "--help"), answers=False),
            *idle,
            _START,
        ),
        targets=(
            Target(text, 0.1, (bare,), above=True, unit=" s"),
            Target(names[few], 0.3, (bare,), above=True, unit=" s"),
            Target(names[many], 1.0, (bare,), above=True, unit=" s"),
            Target(names[many], many / some, (names[some],), less=bare, to_less=bare),
        ),
    )


def alone(size: Size) -> tuple[Scenario, ...]:
    """One file, which all cores share."""
    kinds = {
        "parquet": Data("parquet", size.slow.rows, row_groups=16),
        "csv": Data("csv", size.slow.rows),
    }
    # The model's own threads too: OpenMP's and joblib's would take the other cores.
    single = "one worker, one thread, one core"
    return tuple(
        Scenario(
            name=f"alone-{model}-{kind}",
            title=f"{model}, {data.title}",
            contenders=(
                ours(data, model),
                replace(ours(data, model, single, **_ONE_THREAD), one_core=True),
            ),
            targets=(Target(OURS, 0.65, (single,)),),
            most_repeats=3,
        )
        for model in ("boosting", "forest")
        for kind, data in kinds.items()
    )


def of_memory(size: Size) -> tuple[Scenario, ...]:
    """Ten times the rows in the same memory. A row of CSV takes some 390 bytes: up to 10 GB."""
    pairs = {
        "parquet": (Data("parquet", size.rows, size.files), Data("parquet", 10 * size.rows, 10 * size.files)),
        "csv": (Data("csv", size.rows * 64 // 100), Data("csv", size.rows * 64 // 10)),
    }  # fmt: skip
    flat = tuple(
        Scenario(
            name=f"memory-{kind}",
            title=f"linear, {little.title}, then {much.title}",
            contenders=(ours(little, "linear"), ours(much, "linear", "ten times the rows")),
            targets=(Target("ten times the rows", 1.1, (OURS,), measure="peak_bytes"),),
            most_repeats=2,
        )
        for kind, (little, much) in pairs.items()
    )
    return (*flat, _of_limit(size))


def _of_limit(size: Size) -> Scenario:
    """The setting that bounds it, with the model that takes most."""
    data, name = Data("parquet", size.slow.rows, size.slow.files, categories=True), "memory = 400MB"
    return Scenario(
        name="memory-limit",
        title=f"columns, {data.title}, with and without `run.memory`",
        contenders=(ours(data, "columns"), ours(data, "columns", name, memory="400MB")),
        targets=(Target(name, 400, measure="peak_bytes", unit=" MB", unit_size=1e6),),
        most_repeats=3,
    )


def of_client(size: Size) -> Scenario:
    """What an application waits for."""
    keys = {"int64 keys": False, "string keys": True}
    limits = {
        "get_microseconds": 3.0, "get_10000_milliseconds": 5.0, "load_without_index_by_pyarrow": 2.0, "poll_milliseconds": 1.0,
        "slow_calls_of_10000_in_reload": 1.0,
    }  # fmt: skip
    return Scenario(
        name="client",
        title=f"the client, {size.rows:,} rows",
        contenders=tuple(
            Contender(
                name, ("-m", _SCRIPTS + "client_speed", "{published}", "{output}"), answers=False,
                published=Output(
                    Data("parquet", size.rows, size.files, string_keys=strings), versions=2
                ),
            )
            for name, strings in keys.items()
        ),
        targets=tuple(
            Target(name, limit, measure=measure) for name in keys for measure, limit in limits.items()
        ),
    )  # fmt: skip


def scenarios(size: Size) -> tuple[Scenario, ...]:
    """All of them, in the order in which they are run and shown."""
    return (
        *of_models(size), *of_text(size), of_small_files(size), of_start(size), of_client(size),
        *alone(size), *of_memory(size),
    )  # fmt: skip
