"""Who competes: the program, scripts that people write or install instead, and floors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from scripts.benchmark.data import Data
from scripts.benchmark.material import Material

OURS, AGAIN = "batch-predict", "one more file"
LOOP, JOBLIB = "pandas loop", "joblib files"
BYTES, MODEL, START = "bytes floor", "model floor", "start-up"
RAY, DASK, DAFT = "Ray Data", "Dask", "Daft"

_IMPORTS = (
    "import pandas, pyarrow.parquet, sklearn.ensemble, sklearn.linear_model, sklearn.pipeline"
)


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


#: What every program that predicts imports.
IMPORTS = Contender(START, ("-c", _IMPORTS))


def ours(
    material: Material, data: Data, model: str, *, name: str = OURS, **settings: int | str
) -> Contender:
    """The program, with everything on; `settings` are those of `[run]`."""
    job = material.job(data, model, **settings)
    return Contender(name, ("-m", "batch", "run", "job.toml"), job, answers_of=data)


def idle(material: Material, data: Data, *, name: str) -> Contender:
    """A run of the program that finds nothing new."""
    home = material.published(data)
    return Contender(name, ("-m", "batch", "run", f"{home}/job.toml"), state=home)


def people(material: Material, data: Data, model: str) -> list[Contender]:
    """What people write instead."""
    return [
        _script(LOOP, "pandas_loop", material, data, model),
        _script(JOBLIB, "joblib_files", material, data, model),
    ]


def frameworks(material: Material, data: Data, model: str) -> list[Contender]:
    """What people install instead."""
    return [
        replace(_script(RAY, "ray_data", material, data, model), needs="ray"),
        replace(_script(DASK, "dask_partitions", material, data, model), needs="dask"),
        replace(_script(DAFT, "daft_udf", material, data, model), needs="daft"),
    ]


def floors(material: Material, data: Data, model: str) -> list[Contender]:
    """The bounds that no contender can beat; both without their start, which is timed apart."""
    return [
        replace(_script(BYTES, "bytes_floor", material, data, model), answers_of=None),
        replace(_script(MODEL, "model_floor", material, data, model), answers_of=None),
        IMPORTS,
    ]


def _script(name: str, module: str, material: Material, data: Data, model: str) -> Contender:
    paths = (str(material.model(model)), str(material.data(data)), "out")
    module = f"scripts.benchmark.contenders.{module}"
    return Contender(name, ("-m", module, *paths), answers_of=data)
