"""The recipe: everything that determines a prediction. Its hash is in every ledger entry and part."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from batch import __version__
from batch.errors import DoesNotFit, reading
from batch.job.job_file import Job
from batch.job.settings import ColumnSection, InputSection, Method
from batch.model.sidecar import Sidecar
from batch.records.columns import ColumnType, InputColumn, TextOptions
from batch.records.documents import Document

MAJOR_VERSION = __version__.partition(".")[0]


class Recipe(Document, frozen=True):
    """Inputs predicted with the same recipe were predicted in the same way.

    `inputs` are the raw columns that the preprocess hook or the model reads (None: the model's
    own features), `features` the columns the model reads. `code` maps the hook files in the job
    folder, and the files they import from it, to their sha256.
    """

    program: str
    model_sha256: str
    key: tuple[str, ...]
    passthrough: tuple[str, ...]
    columns: tuple[InputColumn, ...]
    inputs: tuple[str, ...] | None
    features: tuple[str, ...] | str | None
    methods: tuple[Method, ...]
    preprocess: str | None
    postprocess: str | None
    code: dict[str, str]
    text: TextOptions

    def digest(self) -> str:
        """The sha256 that identifies this recipe."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def compose(
    job: Job, model_sha256: str, sidecar: Sidecar | None, pinned: dict[str, InputColumn]
) -> Recipe:
    """The recipe according to the job file and the sidecar; the job file has precedence.

    `pinned` are the types of key and passthrough columns that the output already has. Raises
    `DoesNotFit` if job file and sidecar contradict each other.
    """
    model, source = job.settings.model, job.settings.input
    preprocess = _one_hook("preprocess", model.preprocess, sidecar.preprocess if sidecar else None)
    postprocess = _one_hook(
        "postprocess", model.postprocess, sidecar.postprocess if sidecar else None
    )
    features = model.features or (sidecar.features if sidecar else None)
    inputs = _inputs(job, sidecar, features, preprocess)
    hooks = [hook.partition(":")[0] for hook in (preprocess, postprocess) if hook]
    return Recipe(
        program=MAJOR_VERSION,
        model_sha256=model_sha256,
        key=source.key,
        passthrough=job.settings.output.passthrough,
        columns=_columns(job, sidecar, pinned, inputs),
        inputs=inputs,
        features=features,
        methods=model.methods,
        preprocess=preprocess,
        postprocess=postprocess,
        code=_code(job.folder, [*hooks, *(sidecar.modules if sidecar else ())]),
        text=_text_options(source),
    )


def _text_options(source: InputSection) -> TextOptions:
    return TextOptions(
        delimiter=source.csv.delimiter,
        decimal=source.csv.decimal,
        encoding=source.csv.encoding,
        names=None if source.csv.header else tuple(source.columns),
        null_values=source.csv.null_values,
    )


def _one_hook(kind: str, of_job: str | None, of_sidecar: str | None) -> str | None:
    if of_job and of_sidecar and of_job != of_sidecar:
        raise DoesNotFit(
            f"model.{kind}: found {of_job!r}, the model was saved with {of_sidecar!r}",
            f"remove model.{kind} from the job file, or save the model again",
        )
    return of_job or of_sidecar


def _inputs(
    job: Job, sidecar: Sidecar | None, features: tuple[str, ...] | str | None, hook: str | None
) -> tuple[str, ...] | None:
    """The raw columns that the model or its hook reads; None: known only to the model itself."""
    if sidecar:
        return tuple(column.name for column in sidecar.columns)
    if hook:
        if not job.settings.input.columns:
            raise DoesNotFit(
                f"{job.file}: the columns the preprocess hook reads are not declared",
                "list them under [input.columns], or save the model with save_model",
            )
        return tuple(job.settings.input.columns)
    return (features,) if isinstance(features, str) else features


def _columns(
    job: Job,
    sidecar: Sidecar | None,
    pinned: dict[str, InputColumn],
    inputs: tuple[str, ...] | None,
) -> tuple[InputColumn, ...]:
    """Key, passthrough and model columns, each once."""
    source = job.settings.input
    read = source.columns if inputs is None else inputs
    names = dict.fromkeys([*source.key, *job.settings.output.passthrough, *read])
    known = {column.name: column for column in sidecar.columns} if sidecar else {}
    return tuple(_column(name, job, known.get(name), pinned.get(name), inputs) for name in names)


def _column(
    name: str,
    job: Job,
    known: InputColumn | None,
    pinned: InputColumn | None,
    inputs: tuple[str, ...] | None,
) -> InputColumn:
    declared = job.settings.input.columns.get(name)
    base = known or pinned
    is_text = job.settings.input.resolved_format != "parquet"
    is_read = inputs is None or name in inputs
    is_copied = is_text and (name in job.settings.input.key or not is_read)
    default: ColumnType | None = "string" if is_copied else None
    column_type = declared.type if declared else base.type if base else default
    categories = known.categories if known and column_type == "category" else None
    if column_type == "category" and not categories:
        raise DoesNotFit(
            f"input.columns.{name}: the categories of the training are unknown",
            "save the model with save_model, or use the type string",
        )
    return InputColumn(
        name=name,
        type=column_type,
        nullable=_nullable(name, job, declared, known, is_read),
        dtype=known.dtype if known and known.type == column_type else None,
        categories=categories,
        ordered=bool(known and categories and known.ordered),
        format=declared.format if declared else None,
        timezone=declared.timezone if declared else None,
    )


def _nullable(
    name: str, job: Job, declared: ColumnSection | None, known: InputColumn | None, is_read: bool
) -> bool:
    """Keys are never nullable; a model column is if the job file or the training says so."""
    if name in job.settings.input.key:
        return False
    if declared and declared.nullable is not None:
        return declared.nullable
    return known.nullable if known else not is_read


def _code(folder: Path, modules: Iterable[str]) -> dict[str, str]:
    try:
        return code_files(folder, modules)
    except SyntaxError as error:
        raise DoesNotFit(str(error), "correct the file, and rerun") from None


def code_files(folder: Path, modules: Iterable[str]) -> dict[str, str]:
    """The files in `folder` of these modules and everything they import, with their sha256.

    Modules outside the folder are packages of the environment and are omitted. Raises SyntaxError
    for a file that is not valid Python.
    """
    hashes: dict[str, str] = {}
    pending = list(modules)
    while pending:
        for file in _files_of(folder, pending.pop()):
            name = file.relative_to(folder).as_posix()
            if name not in hashes:
                with reading(file):
                    source = file.read_bytes()
                hashes[name] = hashlib.sha256(source).hexdigest()
                package = ".".join(file.relative_to(folder).parent.parts)
                pending.extend(_imports(_parse(source, file), package))
    return dict(sorted(hashes.items()))


def _parse(source: bytes, file: Path) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise SyntaxError(f"{file}{line}: {reason}") from None


def _files_of(folder: Path, module: str) -> Iterator[Path]:
    """The file of a module, and the `__init__.py` of every package above it."""
    parts = [part for part in module.split(".") if part]
    for length in range(1, len(parts) + 1):
        path = folder.joinpath(*parts[:length])
        candidates = [path / "__init__.py"]
        if length == len(parts):
            candidates.append(path.with_suffix(".py"))
        yield from (candidate for candidate in candidates if candidate.is_file())


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}".strip(".") for alias in node.names)
