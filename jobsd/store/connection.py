"""Connections to Redis or Valkey: made here, with a time limit on everything."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobsd.errors import NotConfiguredError

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0

AWAY: tuple[type[Exception], ...] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    OSError,
)
"""What a call raises while the server cannot serve it: refused, lost, loading, read-only after a failover."""


def connect(url: str, *, call_timeout_s: float | None = CALL_TIMEOUT_S, connections: int = 50) -> Redis:
    """Return a client for ``url``; nothing is connected yet.

    No call is repeated behind the caller's back: what may be sent twice is decided where it is known to
    be harmless. Raises NotConfiguredError for a URL that is none.
    """
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss", "unix"}:
        ways = "a URL begins with redis://, rediss:// or unix://"
        raise NotConfiguredError(what="Redis", ways=ways)
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": call_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": connections,
        "protocol": 2,
    }
    if scheme == "unix":
        # from_url leaves the percent signs in a path; a state directory may have a space in it.
        parts = urlsplit(url)
        options["unix_socket_path"] = unquote(parts.path)
        options["username"] = unquote(parts.username) if parts.username else None
        options["password"] = unquote(parts.password) if parts.password else None
        database = next((part[3:] for part in parts.query.split("&") if part.startswith("db=")), "0")
        options["db"] = int(database or 0)
        return Redis(**options)
    return Redis.from_url(url, **options)  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs open
