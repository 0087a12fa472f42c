"""The limits of checks, as a job file sets them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from batch.job.section import Section

Action = Literal["warn", "hold"]


class Limit(Section):
    """How far a check lets a run go, and what becomes of one that goes further.

    Without an action it is the check's own.
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
