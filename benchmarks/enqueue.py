"""Jobs put in a second, by one process, in each of the ways there are."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import uvloop
from arq import create_pool
from arq.connections import RedisSettings

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

_CALLERS = 100
_SHARED = 10  # so many more jobs where round trips are shared
_WARM_UP = 20
_WITHIN_S = 60.0
_TEXT = "hello world"

_ARQ_ALONE = "arq, one after another"
_ARQ_AT_ONCE = f"arq, {_CALLERS} callers at once"


async def measure(ground: Ground, report: Report, jobs: int) -> None:
    await ground.clear()
    places = {"redis_url": ground.redis_url, "redis_socket": ground.redis_socket}
    async with measuring("enqueue", _WITHIN_S, jobs=jobs, **places) as process:
        for row, beside, jobs_per_s in (await process.answer())["rates"]:
            report.add("enqueue", row, beside=beside, jobs_per_s=jobs_per_s)


async def main(redis_url: str, redis_socket: str, jobs: int, within_s: float) -> None:
    async with (
        asyncio.timeout(within_s),
        Client(redis_url) as client,
        _redis_alone(redis_url) as send_alone,
        _arq(redis_socket) as send_arq,
    ):

        async def send(number: int) -> None:
            await client.enqueue(noop, number, _TEXT)

        rates = [
            ("jobsd, one after another", _ARQ_ALONE, await _one_by_one(send, jobs)),
            (f"jobsd, {_CALLERS} callers at once", _ARQ_AT_ONCE, await _at_once(send, jobs * _SHARED)),
            ("jobsd, enqueue_many", _ARQ_AT_ONCE, await _in_bulk(client, jobs * _SHARED)),
            ("redis-py alone, the same script", _ARQ_ALONE, await _one_by_one(send_alone, jobs)),
            (_ARQ_ALONE, _ARQ_ALONE, await _one_by_one(send_arq, jobs)),
            (_ARQ_AT_ONCE, _ARQ_AT_ONCE, await _at_once(send_arq, jobs)),
        ]
    answer(rates=rates)


async def _one_by_one(send: Callable[[int], Awaitable[None]], jobs: int) -> float:
    for number in range(_WARM_UP):
        await send(number)
    began = time.perf_counter()
    for number in range(jobs):
        await send(number)
    return jobs / (time.perf_counter() - began)


async def _at_once(send: Callable[[int], Awaitable[None]], jobs: int) -> float:
    each = jobs // _CALLERS

    async def caller() -> None:
        for number in range(each):
            await send(number)

    await asyncio.gather(*(send(number) for number in range(_CALLERS)))  # every caller's connection is made
    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return each * _CALLERS / (time.perf_counter() - began)


async def _in_bulk(client: Client, jobs: int) -> float:
    began = time.perf_counter()
    await client.enqueue_many(noop.job(number, _TEXT) for number in range(jobs))
    return jobs / (time.perf_counter() - began)


@asynccontextmanager
async def _redis_alone(redis_url: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """The round trip and the script, with everything made beforehand: what no client on redis-py can go below."""
    redis = connect(redis_url)
    sha = await redis.script_load(source("enqueue"))
    keys = shard_key(), base_key("default")
    payload = b'{"i":"0123456789ab","t":null,"f":"bench:noop","a":[1,"hello world"],"k":{},"et":1700000000000}'

    sender, calls = new_id(), count(1)

    async def send(number: int) -> None:
        del number
        await redis.evalsha(sha, len(keys), *keys, sender, next(calls), 1, new_id(), "", payload)

    yield send
    await redis.aclose()


@asynccontextmanager
async def _arq(redis_socket: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    pool = await create_pool(RedisSettings(unix_socket_path=redis_socket))

    async def send(number: int) -> None:
        await pool.enqueue_job("noop", number, _TEXT)

    yield send
    await pool.aclose()


if __name__ == "__main__":
    uvloop.run(main(**options()))
