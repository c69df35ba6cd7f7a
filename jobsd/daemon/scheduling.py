"""The daemon's scheduler, on connections of its own: what is due does not wait for what else the daemon does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobsd.errors import UnreachableError
from jobsd.records.news import SCHEDULES, News
from jobsd.records.pool import open_pool
from jobsd.records.schedules import PostgresSchedules
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.scheduler import Scheduler
from jobsd.service import Service
from jobsd.store.connection import connect
from jobsd.store.schedules import RedisSchedules
from jobsd.store.spare_schedules import SpareSchedules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from jobsd.schedule.definition import Schedule
    from jobsd.schedule.state import Store

_LISTEN_EVERY_S = 10.0
_ANSWER_WITHIN_S = 4.0
"""What does not answer by then is away: due times do not wait for longer."""


class Listener(Service):
    """Sees that news of schedules is heard."""

    expected = (UnreachableError,)

    def __init__(self, news: News) -> None:
        super().__init__()
        self._news = news

    async def tick(self) -> float:
        await self._news.listen()
        return _LISTEN_EVERY_S

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._news.close()


@asynccontextmanager
async def scheduling(
    redis_url: str, database_url: str | None, schedules: Sequence[Schedule], stopping: asyncio.Event
) -> AsyncGenerator[None]:
    """Fire schedules meanwhile: these, and those of run time. Where there is a Postgres, it is the judge.

    A daemon that is ``stopping`` fires none: what it will not run is for others, or missed.
    """
    redis = connect(redis_url, connections=2)
    pool = None if database_url is None else await open_pool(database_url, size=2, answer_within_s=_ANSWER_WITHIN_S)
    in_redis = RedisSchedules(redis)
    store: Store = in_redis if pool is None else PostgresSchedules(pool)
    bridge = None if pool is None else Bridge(SpareSchedules(redis))
    scheduler = Scheduler(store, in_redis.live, schedules, bridge=bridge)
    services: list[Service] = [scheduler]
    if pool is not None:
        services.append(Listener(News(pool, SCHEDULES, scheduler.heard)))
    running = [asyncio.create_task(service.run()) for service in services]

    async def stop() -> None:
        await stopping.wait()
        for service in services:
            service.stop()

    waiting = asyncio.create_task(stop())
    try:
        yield
    finally:
        waiting.cancel()
        for service in services:
            service.stop()
        await asyncio.gather(waiting, *running, return_exceptions=True)
        await redis.aclose()
        if pool is not None:
            await pool.close()
