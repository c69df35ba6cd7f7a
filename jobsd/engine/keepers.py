"""The services that keep a shard in order; every daemon runs them, and any of them may do any of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from jobsd.duration import duration_ms
from jobsd.events import Event
from jobsd.logger import log
from jobsd.service import Service
from jobsd.store.connection import AWAY
from jobsd.store.keys import NO_CHILD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobsd.engine.options import WorkerOptions
    from jobsd.store.jobs import Jobs

_RELEASE_EVERY_S = 1.0  # while daemons with and without a task share a queue, its jobs wait so long at times
_TRIM_EVERY_S = 30.0
_TRIM_MORE_S = 1.0  # a number was lowered, and a queue has more to forget than one round may
_ADOPT_EVERY_S = 5.0  # a backlog of a million is seen within three hours; a payload expires after 24
_MOST_CALLS = 20
_TICKS_A_LEASE = 4


class Keeper(Service):
    expected = AWAY


class Recoverer(Keeper):
    """Takes back the jobs of dead workers, also where nothing is claimed: idle workers, paused queues."""

    def __init__(self, jobs: Jobs, options: WorkerOptions, *, records: bool) -> None:
        super().__init__()
        self._jobs = jobs
        self._lease_ms = duration_ms(options.lease)
        self._max_losses = options.max_losses
        self._records = records
        self._every_s = min(1.0, self._lease_ms / 1000 / _TICKS_A_LEASE)
        self._queues: list[str] = []
        self._ticks = 0

    async def tick(self) -> float | None:
        if self._ticks % _TICKS_A_LEASE == 0:  # a new queue is known before the first lease in it can run out
            self._queues = await self._jobs.looks.queues()
        self._ticks += 1
        if self._queues:
            lost = await self._jobs.recover(
                self._queues, lease_ms=self._lease_ms, max_losses=self._max_losses, records=self._records
            )
            for job_id in lost:
                log.warning(Event.JOB_LOST, job_id=job_id)
        return self._every_s


class Releaser(Keeper):
    """Gives back parked jobs, as many as ``room`` says that this worker can take now: those of tasks that it knows,
    or those that wait for a child process.

    ``queues`` tells from which first. ``claim`` then takes them before a worker that would only park them again.
    """

    def __init__(
        self,
        jobs: Jobs,
        queues: Callable[[], list[str]],
        reasons: Sequence[str],
        room: Callable[[], int],
        look: Callable[[], None],
    ) -> None:
        super().__init__()
        self._jobs = jobs
        self._queues = queues
        self._reasons = reasons
        self._room = room
        self._look = look
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Look now: there is room again."""
        self._poked.set()

    async def tick(self) -> float | None:
        self._poked.clear()
        room = self._room()
        if room > 0 and (released := await self._jobs.release(self._queues(), self._reasons, most=room)):
            self._look()
            log.log(self._level, Event.TASKS_RELEASED, jobs=released)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_EVERY_S):
                await self._poked.wait()
        return None

    @property
    def _level(self) -> int:
        return logging.DEBUG if NO_CHILD in self._reasons else logging.INFO


class Adopter(Keeper):
    """Keeps the payloads of arq's clients from expiring while they wait, a page at a time."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._cursors: dict[str, str] = {}

    async def tick(self) -> float | None:
        for queue in await self._jobs.looks.queues():
            self._cursors[queue] = await self._jobs.adopt(queue, self._cursors.get(queue, "0"))
        return _ADOPT_EVERY_S


class Trimmer(Keeper):
    """Forgets completed and archived jobs whose time is over, or that are too many, in all queues.

    How much a queue keeps has been announced by those who serve it. ``options`` hold where nobody ever did.
    """

    def __init__(self, jobs: Jobs, options: WorkerOptions) -> None:
        super().__init__()
        self._jobs = jobs
        self._keep_ms = duration_ms(options.keep_archived)
        self._keep_count = options.keep_archived_count

    async def tick(self) -> float | None:
        pause_s = _TRIM_EVERY_S
        for queue in await self._jobs.looks.queues():
            for _ in range(_MOST_CALLS):
                if not await self._jobs.trim(
                    queue, keep_archived_ms=self._keep_ms, keep_archived_count=self._keep_count
                ):
                    break
            else:
                pause_s = _TRIM_MORE_S
        return pause_s
