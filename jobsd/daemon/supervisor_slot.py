"""The place of one daemon under the supervisor: there is always one in it, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service, backoff_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobsd.daemon.supervisor_child import Child

# A daemon that lived so long did not die of its start: the pauses begin anew.
_SETTLED_S = 30.0


class Slot(Service):
    """Restarts the daemon whenever it has ended, after a pause that grows with the deaths in a row."""

    def __init__(self, number: int, start: Callable[[int], Awaitable[Child]]) -> None:
        super().__init__()
        self.number = number
        self.child: Child | None = None
        self.began: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """0 when its first daemon is ready, or nobody waits for it any more; the exit code of a first that refuses."""
        self._start = start
        self._placing = asyncio.Lock()
        self._deaths = 0

    @property
    def name(self) -> str:
        return f"daemon {self.number}"

    async def tick(self) -> float | None:
        child = await self._filled()
        if await child.begins():
            self._begin(0)
        await child.ended.wait()
        if self.stopping or self.child is not child:  # a reload has put another in its place
            return None
        self.child = None
        # Number 1 starts before all others: what it refuses they would refuse too.
        if self.number == 1 and child.exit_code > 0 and not self.began.done():
            self._begin(child.exit_code)
            self.stop()
            return None
        self._deaths = 1 if child.lived_s > _SETTLED_S else self._deaths + 1
        log.error(
            Event.DAEMON_DIED,
            daemon=self.number,
            pid=child.pid,
            how=child.how,
            lived_s=child.lived_s,
            consequence="it is started anew",
        )
        return backoff_s(self._deaths)

    def stop(self) -> None:
        super().stop()
        self._begin(0)

    async def put(self, child: Child) -> Child | None:
        """Put another daemon in, one that is ready; return the one that was there."""
        async with self._placing:
            before, self.child = self.child, child
        self._begin(0)
        return before

    async def _filled(self) -> Child:
        async with self._placing:
            if self.child is None:
                self.child = await self._start(self.number)
            return self.child

    def _begin(self, code: int) -> None:
        if not self.began.done():
            self.began.set_result(code)
