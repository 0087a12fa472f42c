"""Durations as a person writes them: "90s", "10m", "26h", "90d"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> timedelta:
    """Turn "90s", "10m", "26h" or "90d" into a timedelta."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('expected a duration such as "60s", "10m", "26h" or "90d"')
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]$"}
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    Field(json_schema_extra=_DURATION_SCHEMA),
]
