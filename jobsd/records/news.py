"""News of commits, by NOTIFY: jobs were put into the outbox, schedules have changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobsd.records.pool import Pool

OUTBOX = "jobsd_outbox"
SCHEDULES = "jobsd_schedules"


class News:
    """Calls ``heard`` for what is told on ``channel``. Behind a pooler it hears nothing; who looks finds it."""

    def __init__(self, pool: Pool, channel: str, heard: Callable[[], None]) -> None:
        self._pool = pool
        self._channel = channel
        self._heard = heard
        self._connection: Any = None

    async def listen(self) -> None:
        """See that somebody listens. Raises UnreachableError."""
        if self._connection is None or self._connection.is_closed():
            await self.close()
            self._connection = await self._pool.listener(self._channel, self._heard)

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):  # whatever it says, it is not used again
                async with asyncio.timeout(1):
                    await self._connection.close()
            self._connection = None
