"""Value types of a job file: durations ("26h"), memory sizes ("1GiB"), and the base of its tables."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> timedelta:
    """Turn "90s", "10m", "26h" or "90d" into a timedelta."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected a duration such as "60s", "10m", "26h" or "90d"')
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]$"}
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    Field(json_schema_extra=_DURATION_SCHEMA),
]


_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def parse_bytes(value: object) -> int:
    """Turn "500MB" or "1GiB" into bytes."""
    match = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|MiB|GiB)", value)
        if isinstance(value, str)
        else None
    )
    if match is None:
        raise ValueError('expected a memory size such as "500MB", "1GiB" or "1.5GB"')
    return int(float(match[1]) * _UNITS[match[2]])


MemorySize = Annotated[
    int,
    BeforeValidator(parse_bytes, json_schema_input_type=str),
    Field(json_schema_extra={"type": "string", "pattern": r"^\d+(\.\d+)?\s*(MB|GB|MiB|GiB)$"}),
]


class Section(BaseModel):
    """A table of a job file: unknown keys are refused, and values are not converted to other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
