"""The connection to S3. The only file that imports boto3.

Its own retries are off: who asks must know which requests may have been done without an answer.
"""

from __future__ import annotations

import os
from typing import Any

CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 5, 30
_CONNECTIONS = 32
_clients: dict[int, Any] = {}


def client() -> Any:
    """The client of this process: made when it is first needed, never shared across a fork."""
    return _clients.get(os.getpid()) or connect()


def disconnect() -> None:
    """Forget the client: the next request makes another one, by the settings of that moment."""
    _clients.clear()


def connect(*, read_timeout_seconds: float = READ_TIMEOUT_SECONDS) -> Any:
    """Make the client of this process, by the settings that there are now."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    settings: dict[str, Any] = {
        "retries": {"total_max_attempts": 1},
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": read_timeout_seconds,
        "max_pool_connections": _CONNECTIONS,
        "user_agent_extra": "batch-predict",
    }
    made = session.client("s3", config=Config(**settings))
    if "amazonaws.com" not in made.meta.endpoint_url:
        # Other servers seldom answer under a host name of the bucket's own.
        made = session.client("s3", config=Config(**settings, s3={"addressing_style": "path"}))
    _clients[os.getpid()] = made
    return made
