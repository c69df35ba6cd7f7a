"""Keeps the payloads of arq's clients from expiring while they wait, unless their caller wished it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.engine.keepers import Adopter

if TYPE_CHECKING:
    from jobsd.store.jobs import Jobs
    from jobsd.store.neighbours import Neighbours


class ArqAdopter(Adopter):
    """Of its own queue it leaves alone what was enqueued with ``_expires``; of others it cannot tell."""

    def __init__(self, jobs: Jobs, queue: str, neighbours: Neighbours) -> None:
        super().__init__(jobs)
        self._queue = queue
        self._neighbours = neighbours
        self._cursor = 0

    async def adopt(self, queue: str) -> None:
        if queue != self._queue:
            await super().adopt(queue)
        else:
            self._cursor = await self._neighbours.adopt(self._cursor)
