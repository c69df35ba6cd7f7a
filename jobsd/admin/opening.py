"""Opens the schedules of a Redis and, where there is one, a Postgres: that one keeps them then."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from jobsd.admin.schedules import Schedules
from jobsd.client import Client
from jobsd.store.connection import connect
from jobsd.store.last_outcomes import last_outcomes
from jobsd.store.schedules import RedisSchedules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def open_schedules(redis_url: str, database_url: str | None, *, zone: str = "UTC") -> AsyncGenerator[Schedules]:
    """Open them; no server is asked yet. ``zone`` is that of run-time schedules which name none."""
    async with AsyncExitStack() as stack:
        yield await open_on(stack, redis_url, database_url, zone=zone)


async def open_on(stack: AsyncExitStack, redis_url: str, database_url: str | None, *, zone: str) -> Schedules:
    """Open them until the stack is closed."""
    client = await stack.enter_async_context(Client(redis_url))
    redis = connect(redis_url, waiting=True)
    stack.push_async_callback(redis.aclose)
    kept = RedisSchedules(redis)
    outcomes: Any = partial(last_outcomes, redis)
    store: Any = kept
    if database_url is not None:
        store, outcomes = await _ledger(stack, database_url)
    return Schedules(store, client, kept, outcomes, outbox=database_url is not None, redis_url=redis_url, zone=zone)


async def _ledger(stack: AsyncExitStack, url: str) -> tuple[Any, Any]:
    from jobsd.records import last_outcomes as recorded  # noqa: PLC0415 - asyncpg is needed where there is a Postgres
    from jobsd.records.pool import open_pool  # noqa: PLC0415
    from jobsd.records.schedules import PostgresSchedules  # noqa: PLC0415

    pool = await open_pool(url)
    stack.push_async_callback(pool.close)
    return PostgresSchedules(pool), partial(recorded.last_outcomes, pool)
