"""Schedules on real servers: declared by nobody's daemon, asked by a test, their jobs run by a worker in its loop."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from jobsd.admin.opening import open_schedules
from jobsd.records.schedules import PostgresSchedules
from jobsd.relay.outbox import Pusher
from jobsd.schedule.declared import fingerprint_of
from jobsd.schedule.definition import Schedule
from jobsd.store.outbox import PushedJobs
from jobsd.store.schedules import RedisSchedules
from tests.engine.hall import Hall
from tests.relay.conveyor import a_belt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from jobsd.admin.schedules import Schedules
    from jobsd.schedule.state import Entry, Store

FAR = "0 0 1 1 *"
"""Due once a year: never while a test runs, one hopes."""


def a_schedule(name: str = "nightly", **options: Any) -> Schedule:
    return Schedule(**{"task": "tidy", "at": FAR, "source": "config", "name": name, **options})


async def tidy(ctx, n: int = 1) -> dict[str, Any]:
    return {"success": True, "message": f"tidied {n}", "data": {"n": n}}


class Bureau:
    def __init__(self, schedules: Schedules, store: Store, hall: Hall, *, ledger: bool) -> None:
        self.schedules = schedules
        self.store: Any = store
        self.hall = hall
        self.ledger = ledger
        self.recorder: Any = None

    async def declare(self, *schedules: Schedule) -> None:
        await self.store.declare(schedules, fingerprint_of(schedules), at_start=True)

    async def nobody_declares(self) -> None:
        """As if the daemons that declare schedules were silent for long."""
        if self.ledger:
            await self.store._pool.execute("UPDATE jobsd.schedule_declarations SET seen_at = now() - interval '1 hour'")
        else:
            await self.hall.redis.delete("jobsd:{main}::declared")

    async def entry(self, name: str = "nightly") -> Entry:
        return (await self.store.look([name])).entries[name]

    def work(self, *tasks: Any) -> None:
        self.hall.open(*(tasks or (tidy,)), records=self.ledger)


@asynccontextmanager
async def a_bureau(redis_url: str, redis: Redis, ledger_url: str | None) -> AsyncIterator[Bureau]:
    """Return one without a ledger, or one whose outbox and records are carried as a daemon would."""
    hall = Hall(redis_url, redis)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(hall.close)
        schedules = await stack.enter_async_context(open_schedules(redis_url, ledger_url))
        store: Any = RedisSchedules(redis)
        recorder = None
        if ledger_url is not None:
            belt = await stack.enter_async_context(a_belt(redis_url, ledger_url))
            store = PostgresSchedules(belt.pool)
            recorder = belt.recorder()
            recording = asyncio.create_task(recorder.run())
            stack.push_async_callback(asyncio.wait, {recording})
            stack.callback(recorder.stop)
            pusher = Pusher(belt.pool, PushedJobs(redis), lambda: True)
            await stack.enter_async_context(pusher.running())
        made = Bureau(schedules, store, hall, ledger=ledger_url is not None)
        made.recorder = recorder
        yield made
