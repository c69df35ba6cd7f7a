"""Who enqueues the jobs of a run, and how far they are."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from jobsd import Client, JobRequest
from jobsd.store.connection import AWAY
from jobsd.store.keys import base_key, records_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    from redis.asyncio import Redis

    from tests.chaos.ground import Ground

    Found = TypeVar("Found")

BASE = base_key("default")
_LOOK_EVERY_S = 0.1
_STUCK_AFTER_S = 60.0  # three times as long as records stay with a recorder that was killed


class Waiting(NamedTuple):
    """``jobs`` wait or run, ``records`` are entries of the stream."""

    jobs: int
    records: int


def calls(numbers: range, filler: str = "") -> list[JobRequest[Any]]:
    return [JobRequest("begin", (n, filler) if filler else (n,), {}, "default") for n in numbers]


async def enqueue(ground: Ground, jobs: int) -> None:
    async with Client(ground.redis_url) as client:
        await client.enqueue_many(calls(range(jobs)))


async def ended(redis: Redis) -> int:
    """Return how many runs have ended by themselves."""
    return int(await asked(lambda: redis.hget(f"{BASE}:stats", "processed")) or 0)


async def waiting(redis: Redis) -> Waiting:
    jobs = await asked(lambda: redis.zcard(BASE)) + await asked(lambda: redis.zcard(f"{BASE}:active"))
    return Waiting(jobs, await asked(lambda: redis.xlen(records_key())))


async def settled(redis: Redis) -> list[str]:
    """Wait until no job waits or runs, and every record has left the stream; return what waits if nothing moves."""
    before, moved_at = await waiting(redis), monotonic()
    while any(now := await waiting(redis)):
        if now != before:
            before, moved_at = now, monotonic()
        elif monotonic() > moved_at + _STUCK_AFTER_S:
            return [f"{now.jobs:,} jobs and {now.records:,} entries of records wait, and nothing moves"]
        await asyncio.sleep(_LOOK_EVERY_S)
    return []


async def asked(question: Callable[[], Awaitable[Found]]) -> Found:
    """Ask again when we were cut off ourselves."""
    while True:
        try:
            return await question()
        except AWAY:
            await asyncio.sleep(0)
