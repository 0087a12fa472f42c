"""The JSON Schema of the job file, for completion, descriptions and validation in editors."""

from __future__ import annotations

from typing import Any

from batch.job.settings import JobSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Shown by editors at a key; docs/job-file.md has the details.
_DESCRIPTIONS = {
    "name": "The job's name. Default: the name of its folder.",
    "input.path": "Where records accumulate: *, ** and ? match names, {date} an ISO date, "
    "{date:%Y/%m/%d} any other.",
    "input.format": "Default: from the suffix of path; .gz and .zst too.",
    "input.key": "The columns applications look predictions up by.",
    "input.min_age": "A local file that changed more recently waits for the next run.",
    "input.final_newline": '"optional" if the exporter omits the final newline of a plain CSV.',
    "input.exclude": "Patterns of names to ignore.",
    "input.take": '"latest": only the inputs with the newest {date}; requires mode = "replace".',
    "input.max_rejected": "How many records of an input may be rejected, as a share or a count; "
    "at least 10 always may. If there are more, the input is skipped.",
    "input.csv": "Deviations from comma, UTF-8 and one header line.",
    "input.csv.delimiter": "The character between fields.",
    "input.csv.decimal": "The decimal mark in numbers.",
    "input.csv.encoding": "Any encoding that Python knows.",
    "input.csv.header": "false: [input.columns] names every column, in order.",
    "input.csv.null_values": "Texts that mean null, except in keys. Default: those of pandas.",
    "input.columns": "Types of columns that the model's sidecar or Parquet does not declare, or "
    "declares differently.",
    "input.columns.type": "The type of the column.",
    "input.columns.nullable": "Whether the column may be null; if not, a record with a null is rejected.",
    "input.columns.format": "The format of dates or timestamps, in strptime syntax.",
    "input.columns.timezone": "The time zone of timestamps that do not include one. Default: UTC.",
    "model.path": "The model file, written by save_model or joblib.",
    "model.sha256": "Refuse any other model file.",
    "model.methods": "The methods to call, in this order.",
    "model.features": "The columns the model reads; a single string: one text column. "
    "Default: the model's own.",
    "model.preprocess": "MODULE:FUNCTION in the job folder, from DataFrame to DataFrame, called "
    "before the model. Default: the one the model was saved with.",
    "model.postprocess": "The same, applied to the predictions.",
    "model.allow_version_mismatch": "Load a model saved with a different scikit-learn version.",
    "output.path": "The folder for the predictions; in production outside any checkout.",
    "output.mode": '"append": each input is predicted once; "replace": a version holds only what '
    "is in the input now.",
    "output.passthrough": "Input columns to copy to the output.",
    "output.fresh_for": "Predictions older than this are stale.",
    "output.window": "Parts older than this are removed from the live version.",
    "output.retain": "How long the files of superseded versions are kept.",
    "output.kms_key": "On S3: the KMS key that encrypts the output.",
    "output.storage_class": "On S3: the storage class of predictions, rejects and models.",
    "run.chunk_rows": "The number of records passed to the model at once.",
    "run.memory": "The memory one process should make do with; wide rows get smaller chunks.",
    "run.threads": 'Threads that predict in one process; "auto": depends on the model and the work.',
    "run.workers": 'Processes; "auto": depends on the work and the cores.',
    "run.timeout": "A run that takes longer is stopped; the next one resumes.",
    "checks.min_rows": "A run that predicts fewer records is held.",
    "checks.max_null_predictions": "Share of predicted records with a null prediction.",
    "checks.max_row_change": "How much the number of records may differ from the last run's, as a share.",
    "checks.max_psi": "How far the distribution of the predictions may shift (population "
    "stability index).",
    "checks.max_key_loss": 'With mode = "replace": the share of live keys that may disappear.',
    "checks.*.limit": "The limit.",
    "checks.*.action": "The action for a run that exceeds the limit. Default: hold; max_psi "
    "warns unless the recipe is new.",
    "checks.unique_key": "How many keys may appear more than once in a run.",
}
_SECTIONS = {"InputSection": "input", "CsvSection": "input.csv", "ColumnSection": "input.columns",
             "ModelSection": "model", "OutputSection": "output", "RunSection": "run",
             "ChecksSection": "checks", "Limit": "checks.*"}  # fmt: skip
_DURATIONS = {"input.min_age": "60s"}


def job_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a job file as TOML, before variables are substituted."""
    schema = JobSettings.model_json_schema()
    sections = schema["$defs"]
    _describe(schema, "")
    for section, path in _SECTIONS.items():
        del sections[section]["title"]
        _describe(sections[section], f"{path}.")
    # `distance = "float64"` is short for `distance = { type = "float64" }`.
    for section, key in (("ColumnSection", "type"), ("Limit", "limit")):
        whole = sections[section]
        sections[section] = {"anyOf": [whole["properties"][key], whole]}
    title = {"$schema": _DIALECT, "title": "batch-predict job file"}
    return {**title, **schema, **title}


def _describe(section: dict[str, Any], prefix: str) -> None:
    for name, key in section["properties"].items():
        path = prefix + name
        key.pop("title", None)
        # TOML has no null, and the keys of a table have their own defaults.
        if "$ref" in key or key.get("default", 0) is None:
            key.pop("default", None)
        if path in _DURATIONS:
            key["default"] = _DURATIONS[path]
        branches = [branch for branch in key.get("anyOf", ()) if branch != {"type": "null"}]
        if len(branches) == 1:
            del key["anyOf"]
            key.update(branches[0])
        elif branches:
            key["anyOf"] = branches
        if path in _DESCRIPTIONS:
            key["description"] = _DESCRIPTIONS[path]
