"""The ground of the run ``effects``: servers behind wires, daemons at their ends, and the tables of the witness."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from tests.chaos.calls import BASE, asked, waiting
from tests.chaos.daemons import Addresses, Daemons, some_daemons
from tests.chaos.ground import Ground, a_ground
from tests.chaos.wires import PostgresWire, RedisWire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOK_EVERY_S = 0.1
_SETTLES_WITHIN_S = 60.0
_SWALLOWED = {"claim": 0.03, "finish": 0.01, "push": 0.02}
_TABLES = """
CREATE SCHEMA witness;
CREATE TABLE witness.orders (n integer);
CREATE TABLE witness.effects (n integer, way text, key text, token text, at timestamptz DEFAULT clock_timestamp());
"""


class Crew(NamedTuple):
    """``cut`` is the part of the connections that end at COMMIT."""

    daemons: int
    concurrency: int = 50
    lease: str = "3s"
    cut: float = 0.01


class Site(NamedTuple):
    """The daemons, and whoever enqueues at ``producers_url``, reach the servers through the wires; we do not."""

    ground: Ground
    daemons: Daemons
    producers_url: str
    redis_wire: RedisWire
    daemons_wire: PostgresWire
    producers_wire: PostgresWire

    def heal(self) -> None:
        for wire in (self.redis_wire, self.daemons_wire, self.producers_wire):
            wire.healed = True

    async def settled(self) -> list[str]:
        """Wait until no job waits or runs, nor is in the outbox; return what is stuck when the time is over."""
        left = ["stuck: nobody could look"]
        end = monotonic() + _SETTLES_WITHIN_S
        while left and monotonic() < end:
            await asyncio.sleep(LOOK_EVERY_S)
            left = await self._left()
        return left

    async def _left(self) -> list[str]:
        redis, now = self.ground.redis, await waiting(self.ground.redis)
        counts = {
            "jobs wait or run": now.jobs,
            "records wait": now.records,
            "rows are in the outbox": await self.ground.pool.fetchval("SELECT count(*) FROM jobsd.outbox"),
            "jobs are in the archive": await asked(lambda: redis.zcard(f"{BASE}:archived")),
            "jobs are in Redis": len(await asked(lambda: redis.keys("arq:job:*"))),
            "leases go on": len(await asked(lambda: redis.keys("arq:in-progress:*"))),
            "jobs have failed, and are not to run again": await asked(lambda: redis.hlen(f"{BASE}:side")),
        }
        return [f"stuck: {count:,} {what}" for what, count in counts.items() if count]


@asynccontextmanager
async def a_site(crew: Crew, seed: int) -> AsyncIterator[Site]:
    """Start it all; at the end nothing is left of it."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(a_ground())
        socket = ground.place / "redis.sock"
        redis = RedisWire(
            Path(urlsplit(ground.redis_url).path), socket, random.Random(f"{seed} redis"), rates=_SWALLOWED
        )
        await stack.enter_async_context(redis)
        ends: dict[str, PostgresWire] = {}
        for name in ("daemons", "producers"):
            path = ground.place / name / ground.postgres.socket.name
            path.parent.mkdir()
            ends[name] = PostgresWire(ground.postgres.socket, path, random.Random(f"{seed} {name}"), rate=crew.cut)
            await stack.enter_async_context(ends[name])
        daemons_url, producers_url = (ground.postgres.url_at(ground.place / name) for name in ends)
        daemons = await stack.enter_async_context(
            some_daemons(
                ground,
                crew.daemons,
                concurrency=crew.concurrency,
                altered=("hasty", "halting"),
                tasks="effect_tasks",
                lease=crew.lease,
                addresses=Addresses(f"unix://{quote(str(socket))}", daemons_url),
            )
        )
        await ground.pool.execute(_TABLES)
        yield Site(ground, daemons, producers_url, redis, ends["daemons"], ends["producers"])
