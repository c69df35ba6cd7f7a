"""Whatever is broken, in whatever way: a repair loses no payload, and a second one finds nothing more to mend."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobsd.admin.fsck import Fsck
from jobsd.store.connection import connect
from tests.admin.stock import SHARD, WAITING, Stock

if TYPE_CHECKING:
    from jobsd.admin.report import Report

_NAMES = [*WAITING, "runs", "holds", "elsewhere", "done", "dead", "gone", "k=acme", "k=other"]
_SCORES = [1.0, -9e15, -8e15, 9e15, 1.7e12, 4e12]


async def break_something(redis: Any, seed: int) -> None:
    """Change one key in one way. Payloads may vanish too, but none is made up."""
    dice = random.Random(seed)
    keys = sorted([key async for key in redis.scan_iter(count=1000) if not key.startswith(b"arq:result:")])
    key = dice.choice(keys)
    if key.endswith((b":queues", b":state")):
        return
    match await redis.type(key), dice.randrange(3):
        case b"zset", 0:
            await redis.zadd(key, {dice.choice(_NAMES): dice.choice(_SCORES)})
        case b"zset", 1:
            await redis.zrem(key, dice.choice(await redis.zrange(key, 0, -1)))
        case b"hash", 0:
            await redis.hset(key, dice.choice(_NAMES), "2")
        case b"hash", 1:
            await redis.hdel(key, dice.choice(await redis.hkeys(key)))
        case _, 2:
            name = key.decode().rpartition(":")[0] + ":" + dice.choice(_NAMES)
            if not name.startswith(("arq:job:", f"{SHARD}:")) and not await redis.exists(name):
                await redis.copy(key, name)
        case _:
            await redis.delete(key)


async def repaired(stock: Stock) -> Report:
    return await Fsck(stock.jobs, lease_ms=20).run(mend=True)


async def broken_and_repaired(url: str, seeds: list[int]) -> None:
    redis = connect(url)
    try:
        await redis.flushdb()
        stock = await Stock(redis).open()
        for seed in seeds:
            await break_something(redis, seed)
        before = await stock.payloads()
        await repaired(stock)
        after = await stock.payloads()
        for job_id, payload in before.items():
            if after.get(job_id) == payload:
                continue
            kept = [await redis.hget(key, "payload") async for key in redis.scan_iter(match=f"*:dead:{job_id}")]
            result = await redis.get(f"arq:result:{job_id}")
            assert payload in kept or (result is not None and result[:19] == payload[:19]), job_id
        then = await stock.everything()
        again = await repaired(stock)
        assert {found.kind: found.items for found in again.problems if found.mended} == {}
        assert {key: value for key, value in (await stock.everything()).items() if key != ":state"} == {
            key: value for key, value in then.items() if key != ":state"
        }
    finally:
        await redis.aclose()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seeds=st.lists(st.integers(0, 2**32), min_size=1, max_size=6))
def test_a_repair_loses_no_payload_and_is_done_at_once(redis_url, seeds):
    asyncio.run(broken_and_repaired(redis_url, seeds))
