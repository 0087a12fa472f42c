"""The job file's tables: this input, this model, this output.

These models are the only definition of the keys, their types and their defaults; the JSON Schema of
`batch-predict schema` is generated from them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from batch.job.pattern import InputPattern
from batch.job.types import Duration, MemorySize, Section
from batch.records.columns import PANDAS_NULLS, ColumnType, compression_of

Format = Literal["csv", "jsonl", "parquet"]
Method = Literal["predict", "predict_proba", "decision_function", "transform"]
Mode = Literal["append", "replace"]
Action = Literal["warn", "hold"]

MIN_REJECTS = 10

_SUFFIXES: dict[str, Format] = {
    "csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"
}  # fmt: skip


#: A TOML array of strings, as an immutable tuple.
Strings = Annotated[tuple[str, ...], Field(strict=False)]


class CsvSection(Section):
    """Deviations of the CSV files from comma, UTF-8 and one header line."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    decimal: str = Field(default=".", min_length=1, max_length=1)
    encoding: str = "utf-8"
    header: bool = True
    null_values: Strings = PANDAS_NULLS

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError(f"unknown encoding {encoding!r}") from None
        return encoding


class ColumnSection(Section):
    """One column whose type the sidecar or Parquet does not declare, or declares differently."""

    type: ColumnType
    nullable: bool | None = None
    format: str | None = Field(default=None, description="strptime format of a timestamp or date")
    timezone: str | None = Field(default=None, description="zone of timestamps without one")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"unknown time zone {zone!r}") from None
        return zone


class InputSection(Section):
    """Where records accumulate and how to read them."""

    path: str = Field(min_length=1)
    format: Format | None = Field(default=None, validate_default=True)
    key: Strings = Field(min_length=1)
    min_age: Duration = timedelta(seconds=60)
    final_newline: Literal["required", "optional"] = "required"
    exclude: Strings = ()
    take: Literal["all", "latest"] = "all"
    max_rejected: str | int = "1%"
    csv: CsvSection = CsvSection()
    columns: dict[str, ColumnSection] = Field(default_factory=dict, validate_default=True)

    @field_validator("path")
    @classmethod
    def _pattern(cls, path: str) -> str:
        InputPattern(path)
        return path

    @field_validator("max_rejected")
    @classmethod
    def _share_or_count(cls, value: str | int) -> str | int:
        if isinstance(value, str):
            share = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)
            if share is None or float(share[1]) > 100:
                raise ValueError('expected a share such as "1%" or a count such as 500')
        elif value < 0:
            raise ValueError("expected a count of 0 or more")
        return value

    @field_validator("key")
    @classmethod
    def _not_ours(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        return _require_not_ours(key)

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, value: Format | None, info: ValidationInfo) -> Format | None:
        path = info.data.get("path")
        if path is None:
            return value
        if value is None and _format_of(path) is None:
            raise ValueError(
                'the suffix of path implies no format: set format = "csv", "jsonl" or "parquet"'
            )
        if (value or _format_of(path)) == "parquet" and compression_of(path):
            raise ValueError(
                "Parquet is compressed internally: .gz and .zst files are not supported"
            )
        return value

    @field_validator("take")
    @classmethod
    def _latest_has_dates(cls, take: str, info: ValidationInfo) -> str:
        if take == "latest" and not InputPattern(info.data.get("path", "{date}")).has_date:
            raise ValueError('take = "latest" needs a {date} in path')
        return take

    @field_validator("columns")
    @classmethod
    def _columns_without_header(
        cls, columns: dict[str, ColumnSection], info: ValidationInfo
    ) -> dict[str, ColumnSection]:
        csv = info.data.get("csv")
        if csv and not csv.header and not columns:
            raise ValueError(
                "csv.header = false requires every column here, in the order of the file"
            )
        return columns

    @property
    def resolved_format(self) -> Format:
        resolved = self.format or _format_of(self.path)
        assert resolved is not None, "validated above"
        return resolved

    def rejects_allowed(self, records: int) -> int:
        """How many of an input's records may be rejected before it counts as unreadable."""
        if isinstance(self.max_rejected, int):
            return max(MIN_REJECTS, self.max_rejected)
        return max(MIN_REJECTS, int(records * float(self.max_rejected.rstrip("% ")) / 100))


class ModelSection(Section):
    """The model, its hooks and its methods."""

    path: str = Field(min_length=1)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    methods: tuple[Method, ...] = Field(default=("predict",), min_length=1, strict=False)
    features: str | Strings | None = None
    preprocess: str | None = Field(default=None, pattern=r"^[\w.]+:\w+$")
    postprocess: str | None = Field(default=None, pattern=r"^[\w.]+:\w+$")
    allow_version_mismatch: bool = False


class OutputSection(Section):
    """Where predictions are published."""

    path: str = Field(min_length=1)
    mode: Mode = "append"
    passthrough: Strings = ()
    fresh_for: Duration | None = None
    window: Duration | None = None
    retain: Duration = timedelta(days=30)
    kms_key: str | None = None
    storage_class: str | None = None

    @field_validator("window")
    @classmethod
    def _window_appends(cls, window: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if window and info.data.get("mode") == "replace":
            raise ValueError('mode = "replace" holds the current input only: remove window')
        return window

    @field_validator("passthrough")
    @classmethod
    def _not_ours(cls, passthrough: tuple[str, ...]) -> tuple[str, ...]:
        return _require_not_ours(passthrough)


class Limit(Section):
    """The limit of a check, and the action for a run that exceeds it.

    Without an action, the check's default applies.
    """

    limit: float = Field(ge=0, allow_inf_nan=False)
    action: Action | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: object) -> object:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"limit": value} if is_number else value


class ChecksSection(Section):
    """Conditions on a run's result; a run that fails one is held."""

    min_rows: Limit = Limit(limit=0)
    max_null_predictions: Limit = Limit(limit=0)
    max_row_change: Limit | None = None
    max_psi: Limit = Limit(limit=0.25)
    max_key_loss: Limit | None = None
    unique_key: Limit | None = None


class RunSection(Section):
    """How a run uses this machine."""

    chunk_rows: int = Field(default=65_536, ge=1)
    memory: MemorySize | None = None
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    timeout: Duration | None = None

    @field_validator("threads")
    @classmethod
    def _of_one_process(
        cls, threads: Literal["auto"] | int, info: ValidationInfo
    ) -> Literal["auto"] | int:
        if threads not in {"auto", 1} and info.data.get("workers") not in {"auto", 1, None}:
            raise ValueError("threads are per process: they require workers = 1")
        return threads


class JobSettings(Section):
    """A whole job file."""

    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    input: InputSection
    model: ModelSection
    output: OutputSection
    run: RunSection = RunSection()
    checks: ChecksSection = ChecksSection()

    @field_validator("output")
    @classmethod
    def _latest_replaces(cls, output: OutputSection, info: ValidationInfo) -> OutputSection:
        source = info.data.get("input")
        if source and source.take == "latest" and output.mode != "replace":
            raise ValueError('input.take = "latest" requires output.mode = "replace"')
        return output

    @field_validator("checks")
    @classmethod
    def _keys_are_lost_by_replacing(
        cls, checks: ChecksSection, info: ValidationInfo
    ) -> ChecksSection:
        output = info.data.get("output")
        if checks.max_key_loss and output and output.mode != "replace":
            raise ValueError('max_key_loss requires output.mode = "replace": append loses no keys')
        return checks


def _require_not_ours(names: tuple[str, ...]) -> tuple[str, ...]:
    ours = sorted({*names} & {"_input", "_row", "_as_of"})
    if ours:
        raise ValueError(f"{', '.join(ours)}: reserved for the output; rename the input column")
    return names


def _format_of(path: str) -> Format | None:
    name = path.rsplit("/", 1)[-1]
    if compression_of(name):
        name = name.rsplit(".", 1)[0]
    return _SUFFIXES.get(name.rsplit(".", 1)[-1]) if "." in name else None
