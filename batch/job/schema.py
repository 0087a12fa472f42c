"""The JSON Schema of the job file, for editors: completion, descriptions, mistakes at once."""

from __future__ import annotations

from typing import Any

from batch.job.settings import JobSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What an editor shows at a key; the long version is docs/job-file.md.
_DESCRIPTIONS = {
    "name": "The job's name. Default: the name of its folder.",
    "input.path": "Where records accumulate: *, ** and ? match names, {date} an ISO date, "
    "{date:%Y/%m/%d} any other.",
    "input.format": "Default: told by the suffix of path; .gz and .zst too.",
    "input.key": "The columns by which applications look a prediction up.",
    "input.min_age": "A local file that changed more recently waits for the next run.",
    "input.final_newline": '"optional" if the exporter never ends the last line of a plain CSV.',
    "input.exclude": "Patterns of names that are never taken in.",
    "input.take": '"latest": only the inputs of the newest {date}; goes with mode = "replace".',
    "input.max_rejected": "How many records of an input may be rejects, as a share or a count; "
    "never fewer than 10. More make the input unreadable.",
    "input.csv": "How the CSV files differ from comma, UTF-8 and one header line.",
    "input.csv.delimiter": "Between the fields.",
    "input.csv.decimal": "Between a number's whole part and its fraction.",
    "input.csv.encoding": "Any encoding that Python knows.",
    "input.csv.header": "false: [input.columns] names every column, in order.",
    "input.csv.null_values": "Texts that mean null, except in keys. Default: those of pandas.",
    "input.columns": "Types of columns, where the model's sidecar or Parquet says otherwise or "
    "nothing.",
    "input.columns.type": "The type of the column.",
    "input.columns.nullable": "Whether a record may have a null here; otherwise it is a reject.",
    "input.columns.format": "How dates or timestamps are written, as strptime spells it.",
    "input.columns.timezone": "The zone of timestamps that name none. Default: UTC.",
    "model.path": "The model file, as save_model or joblib wrote it.",
    "model.sha256": "Refuse every other model file.",
    "model.methods": "What to call, in this order.",
    "model.features": "The columns that the model reads; a single string: one text column. "
    "Default: the model's own.",
    "model.preprocess": "MODULE:FUNCTION of the job folder, from DataFrame to DataFrame, before "
    "the model. Default: the one that the model was saved with.",
    "model.postprocess": "Likewise, over the predictions.",
    "model.allow_version_mismatch": "Load a model that another scikit-learn has saved.",
    "output.path": "The folder of the predictions; in production outside of any checkout.",
    "output.mode": '"append": each input is predicted once; "replace": a version holds only what '
    "is in the input now.",
    "output.passthrough": "Input columns to carry along.",
    "output.fresh_for": "Predictions older than this are stale.",
    "output.window": "Parts that are older than this leave the live version.",
    "output.retain": "How long the files of a version that was replaced are kept.",
    "output.kms_key": "On S3: the KMS key that encrypts what is written.",
    "output.storage_class": "On S3: the storage class of predictions, rejects and models.",
    "run.chunk_rows": "Rows in memory at once.",
    "run.memory": "What one process should do with; wide rows come in smaller chunks then.",
    "run.threads": 'Threads of one process that predict; "auto" decides by the model and the work.',
    "run.workers": 'Processes; "auto" decides by the work and the cores.',
    "run.timeout": "A run that takes longer is stopped, and continued by the next.",
    "checks.min_rows": "A run that predicts fewer records is held.",
    "checks.max_null_predictions": "Share of predicted records with a null prediction.",
    "checks.max_row_change": "By what share of the last run's records a run may differ from it.",
    "checks.max_psi": "How far the distribution of the predictions may move (population "
    "stability index).",
    "checks.max_key_loss": 'With mode = "replace": the share of live keys that may vanish.',
    "checks.*.limit": "How far a run may go.",
    "checks.*.action": "What becomes of a run that goes further. Default: it is held; max_psi "
    "holds by a new recipe alone.",
    "checks.unique_key": "How many keys may stand more than once in a run.",
}
_SECTIONS = {"InputSection": "input", "CsvSection": "input.csv", "ColumnSection": "input.columns",
             "ModelSection": "model", "OutputSection": "output", "RunSection": "run",
             "ChecksSection": "checks", "Limit": "checks.*"}  # fmt: skip
_DURATIONS = {"input.min_age": "60s"}


def job_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a job file as TOML, before variables are filled in."""
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
    for name, found in section["properties"].items():
        path = prefix + name
        found.pop("title", None)
        if "$ref" in found or found.get("default", 0) is None:
            found.pop("default", None)  # TOML has no null, and a table's keys state their own.
        if path in _DURATIONS:
            found["default"] = _DURATIONS[path]
        branches = [branch for branch in found.get("anyOf", ()) if branch != {"type": "null"}]
        if len(branches) == 1:
            del found["anyOf"]
            found.update(branches[0])
        elif branches:
            found["anyOf"] = branches
        if path in _DESCRIPTIONS:
            found["description"] = _DESCRIPTIONS[path]
