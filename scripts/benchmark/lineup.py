"""Who competes: the program, scripts that people write or install instead, and floors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.data import Data
from scripts.benchmark.material import Material

OURS, AGAIN = "batch-predict", "one more file"
LOOP, JOBLIB = "pandas loop", "joblib files"
RAY, DASK, DAFT = "Ray Data", "Dask", "Daft"
BYTES, MODEL, START = "bytes floor", "model floor", "start-up"

_SCRIPTS = {
    LOOP: "pandas_loop", JOBLIB: "joblib_files",
    RAY: "ray_data", DASK: "dask_partitions", DAFT: "daft_udf",
    BYTES: "bytes_floor", MODEL: "model_floor",
}  # fmt: skip
_NEEDS = {RAY: "ray", DASK: "dask", DAFT: "daft"}


@dataclass(frozen=True)
class Contender:
    """A command to be timed as a whole, in a fresh folder with an empty folder `out`.

    `arguments` are the interpreter's; `job` becomes the folder's `job.toml`. With `answers_of`,
    `out` must hold the same predictions as those of others for these data. `needs` is a library
    that may be missing. With `one_core`, neither its threads nor its processes get another one.
    With `after`, it continues in the folder of that contender once `inputs` has one more file.
    """

    name: str
    arguments: tuple[str, ...]
    job: str = ""
    answers_of: Data | None = None
    state: Path | None = None
    needs: str = ""
    one_core: bool = False
    after: str = ""
    inputs: Path = Path()


#: The imports of every program that predicts; the floors are timed without them.
IMPORTS = Contender(
    START,
    ("-c", "import pandas, pyarrow.parquet, sklearn.ensemble, sklearn.linear_model, sklearn.pipeline"),
)  # fmt: skip


def lineup(material: Material, data: Data, model: str) -> dict[str, Contender]:
    """By name: the program, its competitors, and the bounds that none of them can beat."""
    paths = (str(material.model(model)), str(material.data(data)), "out")
    scripts = {
        name: Contender(
            name, ("-m", f"scripts.benchmark.contenders.{module}", *paths),
            answers_of=None if name in {BYTES, MODEL} else data, needs=_NEEDS.get(name, ""),
        )
        for name, module in _SCRIPTS.items()
    }  # fmt: skip
    return {OURS: ours(material, data, model), **scripts, START: IMPORTS}


def ours(
    material: Material, data: Data, model: str, *, name: str = OURS, **settings: int | str
) -> Contender:
    """The program, with everything on; `settings` are those of `[run]`."""
    job = material.job(data, model, **settings)
    return Contender(name, ("-m", "batch", "run", "job.toml"), job, answers_of=data)
