"""arq's client and jobsd.Worker in the test's own loop, so that functions and tests share events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.worker import func

import jobsd
from jobsd.engine.arq.addresses import settings_from
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from arq.connections import ArqRedis
    from redis.asyncio import Redis

_QUICK = {"poll_delay": 0.02, "handle_signals": False}


class Office:
    """``jobs`` is an arq client; ``redis`` looks at what is stored."""

    def __init__(self, url: str, redis: Redis) -> None:
        self.url = url
        self.redis = redis
        self.settings = settings_from(url)
        self.jobs: ArqRedis
        self._pools: list[ArqRedis] = []
        self._running: dict[jobsd.Worker, asyncio.Task[None]] = {}

    async def client(self, **options: Any) -> ArqRedis:
        pool = await create_pool(self.settings, **options)
        self._pools.append(pool)
        return pool

    def worker(self, *functions: Any, **options: Any) -> jobsd.Worker:
        """Return a worker that is not started; a plain function has its bare name."""
        named = [func(one, name=one.__name__) if hasattr(one, "__name__") else one for one in functions]
        return jobsd.Worker(named, **{"redis_settings": self.settings} | _QUICK | options)

    async def burst(self, *functions: Any, **options: Any) -> jobsd.Worker:
        """Run a worker until the queue is empty, and close it."""
        worker = self.worker(*functions, burst=True, **options)
        async with asyncio.timeout(PATIENCE_S):
            await worker.main()
            await worker.close()
        return worker

    async def check(self, *functions: Any, **options: Any) -> int:
        """Run a worker's ``run_check`` in a burst, and close it."""
        worker = self.worker(*functions, burst=True, **options)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await worker.run_check()
        finally:
            await worker.close()

    def open(self, *functions: Any, **options: Any) -> jobsd.Worker:
        """Start a worker that goes on until it is closed."""
        return self.start(self.worker(*functions, **options))

    def start(self, worker: jobsd.Worker) -> jobsd.Worker:
        self._running[worker] = asyncio.create_task(worker.async_run())
        return worker

    async def shut(self, worker: jobsd.Worker) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await worker.close()
            await self._running.pop(worker)

    async def close(self) -> None:
        for worker in list(self._running):
            await self.shut(worker)
        for pool in self._pools:
            await pool.aclose()


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()
