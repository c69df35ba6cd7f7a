"""A connection that is kept for one user, who makes one call after the other.

Most of what a small call costs is taking a connection from the pool, looking whether it is still good, and giving it
back. A line leaves that out: a connection that has gone bad is found out by the call, as when it goes bad during one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Line:
    """Holds one connection of the client's pool from the first call on; closing the client closes it."""

    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None
        self._limit_s: float | None = None
        self.busy = False

    async def call(self, *command: Any) -> Any:
        """Return the answer. Raises what redis-py raises, or TimeoutError; no answer is ever taken for another's."""
        self.busy = True
        try:
            connection: Any = self._connection or await self._take()
            # One limit for all of it. redis-py drops a connection in which a call was cut short.
            async with asyncio.timeout(self._limit_s):
                await connection.send_packed_command(connection.pack_command(*command), check_health=False)
                return await connection.read_response()
        finally:
            self.busy = False

    async def _take(self) -> Any:
        try:
            connection = await self._pool.get_connection()
        except TypeError:  # before redis-py 5.3
            connection = await self._pool.get_connection("_")
        self._limit_s = connection.socket_timeout
        connection.socket_timeout = None
        self._connection = connection
        return connection
