"""What every table of a job file has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a job file: unknown keys are refused, values keep the type they were written in."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
