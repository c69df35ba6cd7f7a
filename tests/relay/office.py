"""A producer with a connection of its own, a ledger, and a worker when it is called for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from jobsd.definition import Task
from jobsd.relay.outbox import Pusher
from jobsd.store.outbox import PushedJobs
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.engine.hall import Hall
    from tests.relay.conveyor import Belt

BASE = "jobsd:{main}:default"


async def note(ctx, n: int = 0) -> int:
    ctx["ran"].append(n)
    return n


NOTE = Task(note, "note")


class Office:
    """A producer with a connection of its own, a ledger, and a worker when it is called for."""

    def __init__(self, belt: Belt, hall: Hall, database_url: str) -> None:
        self.belt = belt
        self.redis = belt.redis
        self.hall = hall
        self.url = database_url
        self.conn: Any = None
        self.ran: list[int] = []

    def pusher(self) -> Pusher:
        return Pusher(self.belt.pool, PushedJobs(self.redis), lambda: True)

    def work(self, *tasks: Task[..., Any], **options: Any) -> None:
        worker = self.hall.make(NOTE, *tasks, records=True, **options)
        worker._runner._caller._shared["ran"] = self.ran
        self.hall.start(worker)

    async def enqueue(self, *numbers: int, **options: Any) -> list[Any]:
        async with self.conn.transaction():
            return [await self.hall.client.enqueue(NOTE.opts(conn=self.conn, **options), n) for n in numbers]

    async def another_commits(self) -> None:
        """Enqueue by another connection, and wait until that is in Redis."""
        conn = await asyncpg.connect(self.url)
        async with conn.transaction():
            ref = await self.hall.client.enqueue(NOTE.opts(conn=conn), 0)
        await conn.close()
        await until(lambda: is_state(ref, "pending"))

    async def in_redis(self) -> int:
        return await self.redis.zcard(BASE)

    async def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.belt.pool.fetch("SELECT * FROM jobsd.outbox ORDER BY number")]

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        recorder = self.belt.recorder()
        running = asyncio.create_task(recorder.run())
        try:
            yield
        finally:
            recorder.stop()
            await running


async def is_state(ref: Any, state: str) -> bool:
    return await ref.status() == state
