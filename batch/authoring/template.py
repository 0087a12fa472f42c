"""The text of a new job file: TOML with comments, and only keys that differ from the default."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.authoring.sample import Sample, SampleColumn
from batch.job.settings import Method
from batch.model.sidecar import Sidecar
from batch.records.columns import PANDAS_NULLS

_OUTPUT = """\
[output]
path = "predictions"                  # in production a folder outside any checkout
passthrough = []                      # input columns to copy
# mode = "append"                     # "replace": a version holds only what is in the input now
# fresh_for = "26h"                   # an example; older predictions are stale

# [checks]                            # conditions on a run's result; one that fails holds the run
# min_rows = 0"""


@dataclass(frozen=True)
class ModelFacts:
    """A model file and its sidecar; `reads` None: even the model does not know its columns."""

    path: str
    sha256: str
    sidecar: Sidecar | None
    estimator: Any
    reads: tuple[str, ...] | None
    methods: tuple[Method, ...]


@dataclass(frozen=True)
class JobDraft:
    """The contents of the job file, with paths as they appear in it."""

    folder: Path
    model: ModelFacts
    sample: Sample
    key: tuple[str, ...]
    pattern: str
    features: tuple[str, ...] | str | None
    max_rejected: str | None = None


def render(draft: JobDraft) -> str:
    """The job file as TOML with comments."""
    sections = [_head(draft), _input(draft), _csv(draft.sample), _columns(draft), _model(draft),
                _OUTPUT]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(draft: JobDraft) -> str:
    return (
        f"# {draft.folder.name}: written by batch-predict init; edit as you like.\n"
        "# Paths are relative to this file. Commented-out keys show their default, or an example where\n"
        "# marked as one. batch-predict validate reports every mistake at once."
    )


def _input(draft: JobDraft) -> str:
    lines = [
        "[input]",
        _line(f"path = {_toml(draft.pattern)}", "* and ** match names and folders, {date} a date"),
        _line(f"key = {_toml(draft.key)}", "the columns applications look predictions up by"),
    ]
    if not draft.sample.suffix_tells:
        lines.append(f"format = {_toml(draft.sample.format)}")
    if draft.max_rejected:
        lines.append(_line(f"max_rejected = {_toml(draft.max_rejected)}",
                           "according to the sample; above it the input is skipped"))  # fmt: skip
    else:
        lines.append(_line('# max_rejected = "1%"', "per input; above it the input is skipped"))
    if not draft.sample.ends_whole:
        lines.append(_line('final_newline = "optional"', "the sample has no final newline"))
    lines.append(_line('# min_age = "60s"', "a file that changed more recently waits"))
    return "\n".join(lines)


def _csv(sample: Sample) -> str:
    usual = Sample(sample.path, sample.format, {})
    lines = [f"{name} = {_toml(getattr(sample, name))}"
             for name in ("delimiter", "decimal", "encoding")
             if getattr(sample, name) != getattr(usual, name)]  # fmt: skip
    if sample.null_texts:
        texts = ", ".join(_toml(text) for text in (*sample.null_texts, *PANDAS_NULLS))
        lines.append(f"null_values = [{texts}]")
    heading = _line("[input.csv]", "deviations from the usual CSV format")
    return "\n".join([heading, *lines]) if lines else ""


def _columns(draft: JobDraft) -> str:
    """The types inferred from the sample; none with a sidecar."""
    if draft.model.sidecar:
        return ""
    reads = draft.features if draft.features is not None else draft.model.reads
    names = (reads,) if isinstance(reads, str) else reads or ()
    columns = {name: draft.sample.columns[name] for name in names}
    # Parquet declares its types, but not whether nulls are to be allowed.
    if draft.sample.format == "parquet":
        columns = {name: column for name, column in columns.items() if column.has_nulls}
    lines = [f"{_toml_key(name)} = {_column(column, name in draft.key)}"
             for name, column in columns.items()]  # fmt: skip
    heading = _line("[input.columns]", "types inferred from the sample")
    return "\n".join([heading, *lines]) if lines else ""


def _column(column: SampleColumn, is_key: bool) -> str:
    # pandas reads a column without values as floats, so training did too.
    kind = _toml(column.type or "float64")
    return f"{{ type = {kind}, nullable = true }}" if column.has_nulls and not is_key else kind


def _model(draft: JobDraft) -> str:
    model = draft.model
    lines = [
        "[model]",
        f"path = {_toml(model.path)}",
        _line(f"methods = {_toml(model.methods)}", "also decision_function and transform"),
    ]
    if draft.features is not None:
        lines.append(_line(f"features = {_toml(draft.features)}", "in the order of training"))
    for hook in ("preprocess", "postprocess"):
        name = getattr(model.sidecar, hook, None)
        if name:
            lines.append(_line(f"{hook} = {_toml(name)}", "the model was saved with it"))
    lines.append("# Remove the # from the next line to refuse any other model.")
    lines.append(f"# sha256 = {_toml(model.sha256)}")
    return "\n".join(lines)


def _line(code: str, comment: str) -> str:
    return f"{code:<37} # {comment}"


def _toml(value: str | Collection[str]) -> str:
    """A string, or an array of strings; TOML's basic strings are JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
