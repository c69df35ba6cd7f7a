"""Schedules in Redis and in Postgres: what holds for one holds for the other, so most tests run on both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from jobsd.errors import UnreachableError
from jobsd.records.pool import Pool, open_pool
from jobsd.records.schedules import PostgresSchedules
from jobsd.relay.outbox import Pusher
from jobsd.schedule.definition import Schedule
from jobsd.schedule.state import Change
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.scheduler import Scheduler
from jobsd.store.keys import base_key
from jobsd.store.outbox import PushedJobs
from jobsd.store.schedules import RedisSchedules
from jobsd.store.spare_schedules import SpareSchedules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from jobsd.schedule.state import Entry, Store

HOUR_MS = 3_600_000


class AwayPool(Pool):
    """A pool whose server can be away."""

    away = False

    async def fetch(self, query: str, *args: object) -> Any:
        if self.away:
            raise UnreachableError(server="Postgres", url=self.url, cause="away")
        return await super().fetch(query, *args)


class Ground(NamedTuple):
    redis: Redis
    store: Store
    pool: Pool | None
    judge: AwayPool | None
    """The store's connections to Postgres, apart from those of all else."""

    @asynccontextmanager
    async def scheduler(self, *schedules: Schedule) -> AsyncIterator[Scheduler]:
        """Run a daemon's scheduler that declares these."""
        bridge = None if self.pool is None else Bridge(SpareSchedules(self.redis))
        scheduler = Scheduler(self.store, RedisSchedules(self.redis).live, schedules, bridge=bridge)
        running = asyncio.create_task(scheduler.run())
        try:
            yield scheduler
        finally:
            scheduler.stop()
            await running

    async def entry(self, name: str = "nightly") -> Entry:
        return (await self.store.look([name])).entries[name]

    async def fired(self, name: str = "nightly") -> list[int]:
        """Return the due times that became a job, the earliest first."""
        past = await self.store.history(name, 1000)
        return sorted(line.due for line in past if line.state == "fired")

    async def passed(self, name: str = "nightly") -> list[tuple[str, int]]:
        """Return why due times became none, with their number, the earliest first."""
        past = await self.store.history(name, 1000)
        return [(line.reason, line.due_times) for line in reversed(past) if line.state == "passed"]

    async def jobs(self, queue: str = "default") -> list[str]:
        """Return the ids of the queue's jobs, those that are due first."""
        return [job.decode() for job in await self.redis.zrange(base_key(queue), 0, -1)]

    async def end(self, job_id: str) -> None:
        """Let it have ended, as far as schedules are concerned."""
        await self.redis.delete(f"arq:job:{job_id}")
        await self.redis.zrem(base_key("default"), job_id)
        if self.pool is not None:
            await self.pool.execute("DELETE FROM jobsd.outbox WHERE job_id = $1", job_id)

    async def set_back(self, by_ms: int, name: str = "nightly") -> None:
        """Let the schedule's last due time lie so long ago, as if nobody had been there since."""
        entry = await self.entry(name)
        state = entry.state._replace(cursor=entry.state.cursor - by_ms, anchor=entry.state.anchor - by_ms)
        assert await self.store.apply([Change(name, entry.version, state)]) == {name}


@pytest.fixture(params=["redis", "postgres"])
async def ground(request: pytest.FixtureRequest, redis: Redis, ledger_url: str) -> AsyncIterator[Ground]:
    if request.param == "redis":
        yield Ground(redis, RedisSchedules(redis), None, None)
        return
    pool = await open_pool(ledger_url)
    judge = await open_pool(ledger_url)
    judge.__class__ = AwayPool
    async with Pusher(pool, PushedJobs(redis), lambda: True).running():
        yield Ground(redis, PostgresSchedules(judge), pool, judge)
    await pool.close()
    await judge.close()


def a_schedule(at: str = "@every 1s", name: str = "nightly", task: str = "reports:nightly", **options: Any) -> Schedule:
    return Schedule(name=name, task=task, at=at, **options)
