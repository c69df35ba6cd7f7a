"""Jobs put in a second, by one process, in each of the ways there are."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import uvloop
from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.filling import TEXT
from benchmarks.jobsd_worker import noop
from benchmarks.processes import answer, measuring, options
from jobsd.client import Client
from jobsd.store.connection import connect
from jobsd.store.ids import new_id
from jobsd.store.keys import base_key, shard_key
from jobsd.store.scripts import source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from benchmarks.ground import Ground
    from benchmarks.report import Report

    Send = Callable[[int], Awaitable[None]]

_CALLERS = 100
_SHARED = 10  # so many more jobs where round trips are shared
_TURNS = 10
_WITHIN_S = 60.0
_ALONE = "redis-py alone, the same script"


class Way(NamedTuple):
    """``take`` enqueues so many jobs and returns the seconds."""

    row: str
    take: Callable[[int], Awaitable[float]]
    jobs: int


async def measure(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    async with measuring("enqueue", _WITHIN_S, jobs=jobs, redis_url=ground.redis_url) as process:
        rates: dict[str, float] = (await process.answer())["rates"]
    for row, jobs_per_s in rates.items():
        report.add("enqueue", row, jobs_per_s=jobs_per_s, alone=jobs_per_s / rates[_ALONE])


async def main(redis_url: str, jobs: int, within_s: float) -> None:
    async with (
        asyncio.timeout(within_s),
        Client(redis_url) as client,
        _redis_alone(redis_url) as send_alone,
        _arq(redis_url) as send_arq,
    ):

        async def send(number: int) -> None:
            await client.enqueue(noop, number, TEXT)

        async def send_in_bulk(jobs: int) -> float:
            began = time.perf_counter()
            await client.enqueue_many(noop.job(number, TEXT) for number in range(jobs))
            return time.perf_counter() - began

        ways = [
            Way("jobsd, one after another", _one_by_one(send), jobs),
            Way(_ALONE, _one_by_one(send_alone), jobs),
            Way("arq, one after another", _one_by_one(send_arq), jobs),
            Way(f"jobsd, {_CALLERS} callers at once", _at_once(send), jobs * _SHARED),
            Way("jobsd, enqueue_many", send_in_bulk, jobs * _SHARED),
            Way(f"arq, {_CALLERS} callers at once", _at_once(send_arq), jobs),
        ]
        answer(rates=await _in_turns(ways))


async def _in_turns(ways: list[Way]) -> dict[str, float]:
    """Return jobs a second. The ways take turns, there and back: what is compared has the same minute."""
    for way in ways:
        await way.take(_CALLERS)  # every caller's connection is made
    seconds = dict.fromkeys((way.row for way in ways), 0.0)
    for turn in range(_TURNS):
        for way in ways if turn % 2 else reversed(ways):
            gc.collect()  # what the last one has left is not this one's
            seconds[way.row] += await way.take(way.jobs // _TURNS)
    return {way.row: way.jobs // _TURNS * _TURNS / seconds[way.row] for way in ways}


def _one_by_one(send: Send) -> Callable[[int], Awaitable[float]]:
    async def take(jobs: int) -> float:
        began = time.perf_counter()
        for number in range(jobs):
            await send(number)
        return time.perf_counter() - began

    return take


def _at_once(send: Send) -> Callable[[int], Awaitable[float]]:
    async def caller(jobs: int) -> None:
        for number in range(jobs):
            await send(number)

    async def take(jobs: int) -> float:
        each, more = divmod(jobs, _CALLERS)
        began = time.perf_counter()
        await asyncio.gather(*(caller(each + (number < more)) for number in range(_CALLERS)))
        return time.perf_counter() - began

    return take


@asynccontextmanager
async def _redis_alone(redis_url: str) -> AsyncIterator[Send]:
    """The round trip and the script, with everything made beforehand: what no client on redis-py can go below."""
    redis = connect(redis_url)
    sha = await redis.script_load(source("enqueue"))
    keys = shard_key(), base_key("default")
    payload = b'{"i":"0123456789ab","t":null,"f":"bench:noop","a":[1,"hello world"],"k":{},"et":1763500000000}'
    sender, calls = new_id(), count(1)

    async def send(number: int) -> None:
        del number
        await redis.evalsha(sha, len(keys), *keys, sender, next(calls), 1, new_id(), "", payload)

    yield send
    await redis.aclose()


@asynccontextmanager
async def _arq(redis_url: str) -> AsyncIterator[Send]:
    pool = await create_pool(RedisSettings.from_dsn(redis_url))

    async def send(number: int) -> None:
        await pool.enqueue_job("noop", number, TEXT)

    yield send
    await pool.aclose()


if __name__ == "__main__":
    uvloop.run(main(**options()))
