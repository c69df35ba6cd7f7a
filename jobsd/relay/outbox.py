"""The pusher: takes jobs from the outbox to Redis, and brings back those that Redis has lost.

Any daemon may do it, several at once: what one has in hand the others pass over, and push.lua stores no job twice. A
crash anywhere means that the job is pushed again.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobsd.clock import monotonic
from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.news import OUTBOX, News
from jobsd.records.outbox import NEW, handover, is_home, left, lives
from jobsd.service import Service
from jobsd.store.connection import AWAY, REFUSED, is_away
from jobsd.store.outbox import (
    ENDED,
    ID_TAKEN,
    KEY_TAKEN,
    MOST_PUSHED,
    STORED,
    THERE,
    UNSERVED,
    OverLifeError,
    PushedJob,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from jobsd.records.outbox import Handover, OutboxJob
    from jobsd.records.pool import Pool
    from jobsd.store.outbox import Life, PushedJobs

POLL_S = 1.0
"""The longest wait for what no notification told."""

_SERVER_EVERY_S = 1.0
_LISTEN_EVERY_S = 5.0
_LOOK_EVERY_S = 30.0
_HOME_EVERY_S = 10.0
_GONE_S = 30
_MOST_BYTES = 4 * 1024 * 1024
_END_S = 1.0
_ID_TAKEN_S = 2
_REFUSED_S = 30


class Pusher(Service):
    """``ready`` says whether there is a schema, as far as one knows. While Postgres is away the recorder says so."""

    expected = (UnreachableError, *AWAY)

    def __init__(self, pool: Pool, store: PushedJobs, ready: Callable[[], bool]) -> None:
        super().__init__()
        self.pushed = 0
        self._pool = pool
        self._store = store
        self._ready = ready
        self._wanted = asyncio.Event()
        self._news = News(pool, OUTBOX, self._wanted.set)
        self._server: str = ""
        self._epoch = ""
        self._home = True
        self._server_at = self._listened_at = self._looked_at = self._home_at = float("-inf")
        self._more = True  # the first look is at once
        self._most = MOST_PUSHED

    async def tick(self) -> float | None:
        await self._turn()
        if self.stopping:
            return None
        try:
            await self._tick()
        except OverLifeError:
            self._server_at = float("-inf")  # ask anew
            self._more = True
        except UnreachableError:
            self._most = max(1, self._most // 2)  # it may be that it only takes too long
            raise
        else:
            self._most = min(MOST_PUSHED, self._most * 2)
        return None

    def stop(self) -> None:
        super().stop()
        self._wanted.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run for as long as one is in the ``with``. What it has in hand when it is cancelled is pushed again."""
        running = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self.stop()
            await asyncio.wait({running}, timeout=_END_S)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self._news.close()

    async def _turn(self) -> None:
        """Wait until there is something to do, or for a while, and to be ready. Till then nothing fails or succeeds."""
        ready = False
        while not (self.stopping or ready):
            if not self._more:
                await self._wait()
            self._more = False
            self._wanted.clear()  # in any case: who is not ready must not be woken by the same news again and again
            ready = self._ready()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S * random.uniform(0.7, 1.0)):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _tick(self) -> None:
        now = monotonic()
        if now - self._listened_at >= _LISTEN_EVERY_S:
            self._listened_at = now
            await self._news.listen()
        found = await lives(self._pool)
        more = False
        if found or not self._epoch:  # Redis is asked nothing while nobody uses the outbox
            if now - self._server_at >= _SERVER_EVERY_S:
                self._server, self._server_at = await self._store.server(), now
            life = await self._store.life(self._server)
            if await self._is_home(life.epoch, now):
                # What was lost is older than what is new, and so comes first.
                for pushed_to in sorted(found, key=lambda pushed_to: pushed_to == NEW):
                    if pushed_to != life.name:
                        more |= await self._push(pushed_to, life)
        else:
            await self._is_home(self._epoch, now)
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            await self._look()
        self._more = more

    async def _is_home(self, epoch: str, now: float) -> bool:
        """Say whether the outbox belongs to this Redis. Two would each get every job."""
        if epoch == self._epoch and self._home and now - self._home_at < _HOME_EVERY_S:
            return True
        home = await is_home(self._pool, epoch, self._epoch, _GONE_S)
        if not home and self._home:
            log.error(Event.OUTBOX_FOREIGN, consequence="this daemon pushes nothing until the other's daemons are gone")
        elif home and not self._home:
            log.info(Event.OUTBOX_TAKEN)
        self._home, self._epoch, self._home_at = home, epoch, now
        return home

    async def _push(self, pushed_to: str, life: Life) -> bool:
        """Push jobs that another life of Redis had, or none; say whether there may be more of them."""
        async with handover(self._pool, pushed_to, self._most) as taken:
            jobs = _within(taken.jobs, _MOST_BYTES)
            if jobs:
                await self._settle(taken, jobs, await self._letters(life, jobs), life)
        return len(taken.jobs) == self._most or len(jobs) < len(taken.jobs)

    async def _letters(self, life: Life, jobs: Sequence[OutboxJob]) -> list[str]:
        """Return push.lua's letter for each, or why Redis refuses it; it must not stop the others."""
        try:
            return list(await self._store.push(life, [_pushed(job) for job in jobs]))
        except REFUSED as error:
            if is_away(error):
                raise
            if len(jobs) == 1:
                return [str(error)]
        return [letter for job in jobs for letter in await self._letters(life, [job])]

    async def _settle(self, taken: Handover, jobs: Sequence[OutboxJob], letters: Sequence[str], life: Life) -> None:
        there: list[str] = []
        over: list[tuple[str, str]] = []
        waits: dict[str, str] = {}
        refused: dict[str, str] = {}
        for job, letter in zip(jobs, letters, strict=True):
            if letter == ID_TAKEN:
                waits[job.job_id] = "another job with this id waits or runs"
            elif letter == UNSERVED:
                waits[job.job_id] = f"no daemon serves a queue {job.queue!r}"
            elif letter in {ENDED, KEY_TAKEN}:
                over.append((job.job_id, job.incarnation))
            elif letter in {STORED, THERE}:
                there.append(job.job_id)
            else:
                refused[job.job_id] = letter
        await taken.pushed(there, life.name)
        await taken.over(over)
        await taken.held(waits, _ID_TAKEN_S)
        await taken.held(refused, _REFUSED_S)
        self.pushed += len(there)
        for job_id, cause in list(refused.items())[:1]:
            log.warning(Event.OUTBOX_REFUSED, count=len(refused), job_id=job_id, cause=cause)

    async def _look(self) -> None:
        """Have Redis forget, by and by, jobs that have left the outbox."""
        while not self.stopping:
            now, asked = await self._store.to_look_at()
            if asked:
                found = await left(self._pool, asked)
                await self._store.looked_at(now, list(found), [job for job in asked if job not in found])
            if len(asked) < MOST_PUSHED:
                return


def _within(jobs: list[OutboxJob], most_bytes: int) -> list[OutboxJob]:
    """Return the first of them, one at least, that are not too many bytes."""
    size = 0
    for n, job in enumerate(jobs):
        size += len(job.payload)
        if n and size > most_bytes:
            return jobs[:n]
    return jobs


def _pushed(job: OutboxJob) -> PushedJob:
    return PushedJob(job.queue, job.job_id, job.due_ms, job.payload, job.at_once, job.again)
