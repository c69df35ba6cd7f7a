"""Connections to Redis or Valkey: made here, with a time limit on everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis.exceptions
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobsd.errors import NotConfiguredError

if TYPE_CHECKING:
    from collections.abc import Callable

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


_WHOLE_SERVER = (
    "MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "READONLY", "TRYAGAIN", "OOM",
    "NOPERM", "NOAUTH", "WRONGPASS", "UNKILLABLE",
)  # fmt: skip


def is_away(error: BaseException) -> bool:
    """Tell whether the server, and not what was sent, is the reason: it may take the same call later."""
    if isinstance(error, AWAY):
        return True
    whole = isinstance(error, redis.exceptions.OutOfMemoryError | redis.exceptions.NoPermissionError)
    return whole or (isinstance(error, redis.exceptions.ResponseError) and str(error).startswith(_WHOLE_SERVER))


REFUSED: type[Exception] = redis.exceptions.ResponseError
"""What a call raises that the server has answered with an error."""

FULL: type[Exception] = redis.exceptions.OutOfMemoryError
"""What a write raises when the server's memory is full; nothing was written."""


_pack: Callable[[tuple[Any, ...]], bytes] | None
try:
    from hiredis import pack_command as _pack  # pyright: ignore[reportUnknownVariableType]
except ImportError:  # the base install; redis-py packs in Python
    _pack = None


class _PromptMixin:
    """Sends under ``asyncio.timeout``, and packs our scripts' many arguments in C where hiredis is installed.

    redis-py sends under ``asyncio.wait_for``, which on Python 3.11 loses a cancellation that comes as the
    send completes: the task would live on beyond its timeout. It also costs a task for every command.
    """

    def pack_command(self, *args: Any) -> Any:
        # Only ours: hiredis leaves alone what redis-py splits or encodes in its own way.
        if _pack is not None and args[0] == "EVALSHA":
            try:
                return [_pack(args)]
            except (TypeError, UnicodeEncodeError):  # an id of another system's that is no text
                pass
        parent: Any = super()
        return parent.pack_command(*args)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        connection: Any = self
        parent: Any = super()
        limit = connection.socket_timeout
        if limit is None:  # a line: its caller has the time limit
            await parent.send_packed_command(command, check_health)
            return
        connection.socket_timeout = None
        try:
            async with asyncio.timeout(limit):
                await parent.send_packed_command(command, check_health)
        finally:
            connection.socket_timeout = limit


class _TcpConnection(_PromptMixin, Connection): ...


class _TlsConnection(_PromptMixin, SSLConnection): ...


class _UnixConnection(_PromptMixin, UnixDomainSocketConnection): ...


_CONNECTIONS: dict[str, Any] = {"redis": _TcpConnection, "rediss": _TlsConnection, "unix": _UnixConnection}


def connect(
    url: str, *, call_timeout_s: float | None = CALL_TIMEOUT_S, connections: int = 50, waiting: bool = False
) -> Redis:
    """Return a client for ``url``; nothing is connected yet.

    ``connections`` is the most it opens. One caller more is an error, or with ``waiting`` waits its turn:
    for clients whose callers are many and not ours. No call is repeated behind the caller's back: what may
    be sent twice is decided where it is known to be harmless. Raises NotConfiguredError for a URL that is none.
    """
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss", "unix"}:
        raise NotConfiguredError(what="Redis", ways="a URL begins with redis://, rediss:// or unix://")
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": call_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": connections,
        "protocol": 2,
        "encoding_errors": "surrogateescape",  # an id of another system's may be any bytes
    }
    if waiting:
        options["timeout"] = CALL_TIMEOUT_S
    given = _of_unix(url) if scheme == "unix" else parse_url(url)
    options = given | options | {"connection_class": _CONNECTIONS[scheme]}
    return Redis.from_pool(BlockingConnectionPool(**options) if waiting else ConnectionPool(**options))


def _of_unix(url: str) -> dict[str, Any]:
    """Read a unix URL: redis-py leaves the percent signs in the path, and a state directory may have a space in it."""
    parts = urlsplit(url)
    database = dict(parse_qsl(parts.query)).get("db", "0")
    return {
        "path": unquote(parts.path),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "db": int(database),
    }
