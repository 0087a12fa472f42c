"""What a job file says of the machine that it runs on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from batch.job.section import Section
from batch.job.types import Duration
from batch.run.memory import MemorySize


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
            raise ValueError("threads are those of one process: they go with workers = 1")
        return threads
