"""The tables of a job file that set limits: [run] for the machine, [checks] for the result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from batch.job.types import Duration, MemorySize, Section

Action = Literal["warn", "hold"]


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
