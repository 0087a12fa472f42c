"""What shapes a prediction, and what does not; where the types of columns come from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import msgspec
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from batch.errors import DoesNotFit
from batch.job.job_file import load_job
from batch.model import save_model
from batch.model.published import ChosenModel
from batch.model.recipe import Recipe, code_files, compose
from batch.model.sidecar import Sidecar, read_model_file
from batch.records.columns import PANDAS_NULLS, InputColumn
from tests.support.jobs import JobFolder

HOOK = "from helper import double\n\ndef change(frame):\n    return double(frame)\n"
HELPER = "def double(frame):\n    return frame * 2\n"

TRAINING = pd.DataFrame({
    "carrier": pd.Categorical(["AA", "UA", None, "AA"]),
    "delay": [0.5, None, 2.0, 3.0],
    "seats": pd.Series([1, 2, 3, 4], dtype="int32"),
})  # fmt: skip


def recipe_of(job: JobFolder, *, sidecar: bool = True, **pinned: InputColumn) -> Recipe:
    """What job file and sidecar say together."""
    loaded = load_job(str(job.folder))
    sha256, beside = read_model_file(Path(loaded.model_url))
    return compose(loaded, sha256, beside if sidecar else None, pinned)


def columns(recipe: Recipe) -> dict[str, tuple[Any, bool]]:
    """Each column's type and whether it may be null."""
    return {column.name: (column.type, column.nullable) for column in recipe.columns}


@pytest.fixture
def trained(job: JobFolder, tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A job whose model has categories, nulls and narrow numbers in its sidecar."""
    folder = tmp_path_factory.getbasetemp() / "trained"
    if not folder.exists():
        model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=1)
        save_model(model.fit(TRAINING, [0, 1, 0, 1]), folder / "model.joblib", sample=TRAINING)
    for name in ("model.joblib", "model.joblib.json"):
        shutil.copy2(folder / name, job.folder)
    return job


@pytest.fixture
def hooked(job: JobFolder) -> JobFolder:
    """A job with a postprocess hook that imports a module beside it."""
    (job.folder / "hook.py").write_text(HOOK)
    (job.folder / "helper.py").write_text(HELPER)
    return configured(job)


def configured(job: JobFolder, **sections: dict[str, Any]) -> JobFolder:
    """The hooked job with the keys of these sections changed."""
    usual: dict[str, dict[str, Any]] = {
        "model": {"postprocess": "hook:change"},
        "output": {"passthrough": ["origin"]},
        "input": {"columns": {"origin": "string"}},
    }
    job.configure(**{name: usual.get(name, {}) | sections.get(name, {})
                     for name in {*usual, *sections}})  # fmt: skip
    return job


# The digest


@pytest.mark.parametrize(
    "sections",
    [
        {"input": {"max_rejected": "5%"}}, {"input": {"min_age": "5m"}},
        {"input": {"exclude": ["*-test.csv"]}}, {"input": {"final_newline": "optional"}},
        {"input": {"path": "elsewhere/{date}.csv"}}, {"run": {"chunk_rows": 10, "workers": 3}},
        {"run": {"timeout": "2h"}}, {"checks": {"min_rows": 500}}, {"output": {"path": "other"}},
        {"output": {"fresh_for": "26h"}}, {"output": {"mode": "replace"}},
        {"model": {"allow_version_mismatch": True}}, {"input": {"csv": {"delimiter": ","}}},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_shape_predictions_is_not_in_the_recipe(
    hooked: JobFolder, sections: dict[str, dict[str, Any]]
) -> None:
    """Where inputs lie, how many at a time, and what a result is judged by."""
    before = recipe_of(hooked).digest()
    assert recipe_of(configured(hooked, **sections)).digest() == before


@pytest.mark.parametrize(
    "sections",
    [
        {"input": {"key": ["id", "x"]}}, {"output": {"passthrough": ["origin", "x"]}},
        {"input": {"columns": {"origin": "int64"}}},
        {"input": {"columns": {"origin": "string", "x": {"type": "float64", "nullable": True}}}},
        {"input": {"columns": {"origin": "string", "x": "int64"}}},
        {"input": {"csv": {"delimiter": ";"}}}, {"input": {"csv": {"decimal": ","}}},
        {"input": {"csv": {"encoding": "latin-1"}}}, {"input": {"csv": {"null_values": ["-"]}}},
        {"model": {"methods": ["predict"]}}, {"model": {"postprocess": "hook:double"}},
        {"model": {"preprocess": "hook:change"}}, {"model": {"features": ["x"]}},
    ],
    ids=str,
)  # fmt: skip
def test_what_shapes_predictions_is_in_the_recipe(
    hooked: JobFolder, sections: dict[str, dict[str, Any]]
) -> None:
    """Columns, types, nulls, the text of the input, methods and hooks."""
    before = recipe_of(hooked).digest()
    assert recipe_of(configured(hooked, **sections)).digest() != before


def test_the_code_of_the_hooks_is_in_the_recipe(hooked: JobFolder) -> None:
    """That of what they import too; other files of the folder are not."""
    before = recipe_of(hooked).digest()
    (hooked.folder / "train.py").write_text("print(1)")
    (hooked.folder / "notes.txt").write_text("nothing")
    assert recipe_of(hooked).digest() == before
    digests = {before}
    for name, source in (("helper.py", HELPER + "\n"), ("hook.py", HOOK + "# changed\n")):
        (hooked.folder / name).write_text(source)
        digests.add(recipe_of(hooked).digest())
    assert len(digests) == 3


def test_the_model_is_in_the_recipe(job: JobFolder) -> None:
    """By its bytes, so one that was trained again on other data makes another recipe."""
    before = recipe_of(job, sidecar=False)
    joblib.dump(LogisticRegression(C=9).fit([[0.0], [1.0]], [0, 1]), job.folder / "model.joblib")
    (job.folder / "model.joblib.json").unlink()
    after = recipe_of(job, sidecar=False)
    assert (before.model_sha256, before.digest()) != (after.model_sha256, after.digest())
    assert msgspec.structs.replace(after, model_sha256=before.model_sha256) == before


def test_the_digest_depends_on_the_recipe_alone(hooked: JobFolder, tmp_path: Path) -> None:
    """The same job in another folder, on another host, has the same."""
    before = recipe_of(hooked)
    moved = JobFolder(tmp_path / "moved")
    shutil.copytree(hooked.folder, moved.folder)
    after = recipe_of(moved)
    assert (after, after.digest()) == (before, before.digest())
    assert len(before.digest()) == 64
    decoded = msgspec.json.decode(msgspec.json.encode(before), type=Recipe)
    assert decoded.digest() == before.digest()


# Columns


def test_types_and_nulls_come_from_the_sidecar(trained: JobFolder) -> None:
    """With the dtypes and categories of training; the key is text that is never null."""
    recipe = recipe_of(trained)
    assert columns(recipe) == {
        "id": ("string", False), "carrier": ("category", True), "delay": ("float64", True),
        "seats": ("int64", False),
    }  # fmt: skip
    known = {column.name: column for column in recipe.columns}
    assert (known["seats"].dtype, known["carrier"].categories) == ("int32", ("AA", "UA"))
    assert recipe.inputs == recipe.features == ("carrier", "delay", "seats")


def test_the_job_file_comes_first(trained: JobFolder) -> None:
    """A type of its own means that the dtype of training no longer holds."""
    said = {"carrier": {"type": "category", "nullable": False}, "delay": "int64",
            "seats": {"type": "int64", "nullable": True}}  # fmt: skip
    trained.configure(input={"columns": said})
    recipe = recipe_of(trained)
    assert columns(recipe) == {
        "id": ("string", False), "carrier": ("category", False), "delay": ("int64", True),
        "seats": ("int64", True),
    }  # fmt: skip
    known = {column.name: column for column in recipe.columns}
    assert (known["seats"].dtype, known["delay"].dtype) == ("int32", None)
    assert known["carrier"].categories == ("AA", "UA")


def test_formats_and_zones_come_from_the_job_file(job: JobFolder) -> None:
    """For the columns that have them."""
    when = {"type": "timestamp", "format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin"}
    job.configure(input={"columns": {"when": when}}, output={"passthrough": ["when"]})
    known = {column.name: column for column in recipe_of(job).columns}
    assert (known["when"].format, known["when"].timezone) == ("%d.%m.%Y %H:%M", "Europe/Berlin")


def test_a_category_needs_the_categories_of_training(job: JobFolder) -> None:
    """Nobody else knows them."""
    job.configure(input={"columns": {"x": "category"}})
    with pytest.raises(
        DoesNotFit, match=r"input\.columns\.x: the categories of the training are unknown"
    ):
        recipe_of(job)


def test_carried_columns_are_text_in_text_formats(job: JobFolder) -> None:
    """Unless the job file gives them a type, or the model reads them; they may be null."""
    job.configure(
        input={"columns": {"gate": "int64"}, "key": ["id", "x"]},
        output={"passthrough": ["origin", "gate", "y"]},
    )
    assert columns(recipe_of(job)) == {
        "id": ("string", False), "x": ("float64", False), "origin": ("string", True),
        "gate": ("int64", True), "y": ("float64", False),
    }  # fmt: skip


def test_carried_columns_keep_the_types_of_parquet(job: JobFolder) -> None:
    """Once the output has them they stay; without any the file decides."""
    job.configure(input={"path": "data/*.parquet"}, output={"passthrough": ["origin"]})
    assert columns(recipe_of(job))["id"] == (None, False)
    pinned = {"id": InputColumn(name="id", type="int64", nullable=True)}
    assert columns(recipe_of(job, **pinned))["id"] == ("int64", False)
    job.configure(input={"path": "data/*.parquet", "columns": {"id": "string"}})
    assert columns(recipe_of(job, **pinned))["id"] == ("string", False)


def test_without_a_sidecar_the_job_file_says_it_all(job: JobFolder) -> None:
    """The model's own features are for the model to tell."""
    job.configure(input={"columns": {"x": {"type": "float64", "nullable": True}, "y": "int64"}})
    recipe = recipe_of(job, sidecar=False)
    assert (recipe.inputs, recipe.features) == (None, None)
    assert columns(recipe) == {
        "id": ("string", False),
        "x": ("float64", True),
        "y": ("int64", False),
    }
    job.configure(model={"features": "text"}, input={"columns": {"text": "string"}})
    recipe = recipe_of(job, sidecar=False)
    assert (recipe.inputs, recipe.features) == (("text",), "text")


def test_a_hook_without_a_sidecar_reads_the_listed_columns(job: JobFolder) -> None:
    """So they have to be listed."""
    (job.folder / "hook.py").write_text("")
    job.configure(model={"preprocess": "hook:change"})
    with pytest.raises(DoesNotFit, match="the columns the preprocess hook reads are not declared"):
        recipe_of(job, sidecar=False)
    job.configure(model={"preprocess": "hook:change"}, input={"columns": {"raw": "string"}})
    assert recipe_of(job, sidecar=False).inputs == ("raw",)


def test_the_job_cannot_name_another_hook_than_the_sidecar(job: JobFolder) -> None:
    """The model was trained with that one."""
    sidecar = read_model_file(job.folder / "model.joblib")[1]
    assert sidecar is not None
    sidecar = msgspec.structs.replace(sidecar, preprocess="features:add")
    (job.folder / "features.py").write_text("")
    sha256 = sidecar.sha256

    def composed(job: JobFolder, sidecar: Sidecar) -> Recipe:
        return compose(load_job(str(job.folder)), sha256, sidecar, {})

    assert composed(job, sidecar).preprocess == "features:add"
    job.configure(model={"preprocess": "features:add"})
    assert composed(job, sidecar).preprocess == "features:add"
    job.configure(model={"preprocess": "features:other"})
    with pytest.raises(DoesNotFit, match="found 'features:other', the model was saved with"):
        composed(job, sidecar)


def test_null_values_default_to_those_of_pandas(job: JobFolder) -> None:
    """A list replaces them."""
    assert recipe_of(job).text.null_values == PANDAS_NULLS
    job.configure(input={"csv": {"null_values": ["-"]}})
    assert recipe_of(job).text.null_values == ("-",)


def test_without_a_header_the_listed_columns_are_those_of_the_file(job: JobFolder) -> None:
    """In their order."""
    named = {"y": "float64", "id": "string", "more": "string", "x": "float64"}
    job.configure(input={"csv": {"header": False}, "columns": named})
    assert recipe_of(job).text.names == ("y", "id", "more", "x")
    assert recipe_of(configured(job)).text.names is None


# The code of the hooks


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a job folder of these sources."""

    def make(**sources: str) -> Path:
        for name, source in sources.items():
            file = tmp_path / "job" / f"{name.replace('__in', '/__in').replace('_to_', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        return tmp_path / "job"

    return make


@pytest.mark.parametrize(
    "line",
    [
        "import helper", "import helper as h", "from helper import double", "from helper import *",
        "def f():\n    import helper", "try:\n    import helper\nexcept ImportError:\n    pass",
        "if 1:\n    from helper import double as d", "from . import helper", "from .helper import x",
    ],
)  # fmt: skip
def test_imports_are_followed_wherever_they_stand(folder: Any, line: str) -> None:
    """Each file once, with its sha256, sorted by name."""
    found = code_files(folder(hook=line, helper="import deeper", deeper="import hook"), ["hook"])
    assert [*found] == ["deeper.py", "helper.py", "hook.py"]
    assert found["hook.py"] == hashlib.sha256(line.encode()).hexdigest()


def test_packages_are_followed(folder: Any) -> None:
    """With the __init__ of each, relative imports of any depth, and without what nobody imports."""
    made = folder(
        hook="import pack.inner.leaf",
        pack__init__="from .first import a",
        pack_to_first="from . import second",
        pack_to_second="",
        pack_to_unused="",
        pack_to_inner__init__="",
        pack_to_inner_to_leaf="from ..third import b\nfrom .bud import c",
        pack_to_inner_to_bud="from ... import nowhere",
        pack_to_third="import other",
        other="",
        unused="",
    )
    assert [*code_files(made, ["hook"])] == [
        "hook.py", "other.py", "pack/__init__.py", "pack/first.py", "pack/inner/__init__.py",
        "pack/inner/bud.py", "pack/inner/leaf.py", "pack/second.py", "pack/third.py",
    ]  # fmt: skip


def test_folders_without_an_init_are_packages_too(folder: Any) -> None:
    """As Python has it."""
    made = folder(
        hook="from parts.wing import lift", parts_to_wing="from . import tip", parts_to_tip=""
    )
    assert [*code_files(made, ["hook"])] == ["hook.py", "parts/tip.py", "parts/wing.py"]


def test_packages_of_the_environment_are_not_code_of_the_job(folder: Any) -> None:
    """Their versions are in the sidecar; also a virtual environment within the folder is not."""
    made = folder(hook="import os, pandas.api.types, sklearn\nimport nowhere")
    site = made / ".venv" / "lib" / "site-packages" / "nowhere"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("")
    assert [*code_files(made, ["hook", "sklearn.linear_model._logistic", "builtins"])] == [
        "hook.py"
    ]


def test_a_module_is_named_in_full(folder: Any) -> None:
    """As a class of the model may come from one deep in a package."""
    made = folder(pack__init__="", pack_to_shapes="import helper", helper="", pack_to_other="")
    assert [*code_files(made, ["pack.shapes"])] == [
        "helper.py",
        "pack/__init__.py",
        "pack/shapes.py",
    ]


def test_files_beside_the_folder_are_not_code_of_the_job(folder: Any, tmp_path: Path) -> None:
    """Even one that is named like the folder."""
    made = folder(hook="from . import anything\nfrom .. import more")
    (tmp_path / "job.py").write_text("")
    (tmp_path / "more.py").write_text("")
    assert [*code_files(made, ["hook"])] == ["hook.py"]


def test_a_file_that_is_not_python_is_named(hooked: JobFolder) -> None:
    """With its line."""
    (hooked.folder / "helper.py").write_text("x = 1\ndef broken(:\n")
    with pytest.raises(DoesNotFit, match=r"helper\.py, line 2: "):
        recipe_of(hooked)
    (hooked.folder / "helper.py").write_bytes(b"x = '\0'")
    with pytest.raises(DoesNotFit, match=r"helper\.py"):
        recipe_of(hooked)


def test_neither_hooks_nor_models_that_nobody_described_run_in_threads(trained: JobFolder) -> None:
    """The job's own hooks count as much as those of the model."""
    path = Path(load_job(str(trained.folder)).model_url)
    _, sidecar = read_model_file(path)
    recipe = recipe_of(trained)
    assert ChosenModel(path, recipe, sidecar, path.parent).is_thread_safe
    assert not ChosenModel(path, recipe, None, path.parent).is_thread_safe
    for hook in ("preprocess", "postprocess"):
        hooked = msgspec.structs.replace(recipe, **{hook: "hook:change"})
        assert not ChosenModel(path, hooked, sidecar, path.parent).is_thread_safe
