from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.relay.conveyor import KEY, a_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis

from jobsd.clock import now_ms
from jobsd.store.record_stream import Entry, RecordStream


async def somebody_waits(redis: Redis) -> None:
    while not any(client["cmd"] == "xreadgroup" for client in await redis.client_list()):
        await asyncio.sleep(0)


async def test_entries_are_read_once_each_with_all_their_records(redis_url):
    async with a_redis(redis_url) as redis:
        one, two = RecordStream(redis, "one"), RecordStream(redis, "two")
        await one.ensure_group()
        first = await redis.xadd(KEY, {"a": "1", "b": "2"})
        second = await redis.xadd(KEY, {"c": "3"})
        assert await one.read(1, 0) == [Entry(first, [(b"a", b"1"), (b"b", b"2")])]
        assert await two.read(9, 0) == [Entry(second, [(b"c", b"3")])]
        assert await one.read(9, 0) == []


async def test_a_waiting_read_answers_when_a_record_comes(redis_url):
    async with a_redis(redis_url) as redis, a_redis(redis_url) as other:
        stream = RecordStream(redis, "one")
        await stream.ensure_group()
        reading = asyncio.create_task(stream.read(9, 60_000))
        await somebody_waits(other)
        await other.xadd(KEY, {"a": "1"})
        assert [entry.records for entry in await reading] == [[(b"a", b"1")]]


async def test_what_was_read_and_not_settled_is_read_again_by_the_same_consumer(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        await stream.ensure_group()
        added = await redis.xadd(KEY, {"a": "1"})
        await stream.read(9, 0)
        assert await stream.unsettled(9) == [Entry(added, [(b"a", b"1")])]
        await stream.settle([added])
        assert await stream.unsettled(9) == []
        assert await stream.length() == 0
        assert (await redis.xpending(KEY, "recorders"))["pending"] == 0


async def test_more_entries_than_lua_can_unpack_are_settled(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        await stream.ensure_group()
        async with redis.pipeline(transaction=False) as pipe:
            for n in range(9_000):
                pipe.xadd(KEY, {"a": n})
            await pipe.execute()
        await stream.settle([entry.id for entry in await stream.read(9_000, 0)])
        await stream.settle([])
        assert await stream.length() == 0


async def test_only_entries_of_silent_recorders_are_taken_over(redis_url):
    async with a_redis(redis_url) as redis:
        dead, alive = RecordStream(redis, "dead"), RecordStream(redis, "alive")
        await dead.ensure_group()
        added = await redis.xadd(KEY, {"a": "1"})
        await dead.read(9, 0)
        assert await alive.take_over(60_000, 9) == []
        assert await alive.take_over(0, 9) == [Entry(added, [(b"a", b"1")])]
        assert await dead.unsettled(9) == []


async def test_taking_over_goes_on_behind_what_live_recorders_hold(redis_url):
    async with a_redis(redis_url) as redis:
        alive, dead, heir = (RecordStream(redis, name) for name in ("alive", "dead", "heir"))
        await alive.ensure_group()
        for n in range(60):
            await redis.xadd(KEY, {"a": n})
        await alive.read(50, 0)
        held = await dead.read(10, 0)
        for entry in held:  # as if they had been read a minute ago
            await redis.xclaim(KEY, "recorders", "dead", 0, [entry.id], idle=60_000)
        taken: list[Entry] = []
        for _ in range(60):
            taken += await heir.take_over(30_000, 2)
        assert taken == held


async def test_an_entry_that_was_deleted_meanwhile_has_no_records(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        await stream.ensure_group()
        added = await redis.xadd(KEY, {"a": "1"})
        await stream.read(9, 0)
        await redis.xdel(KEY, added)
        assert await stream.unsettled(9) == [Entry(added, [])]
        await stream.settle([added])
        assert await stream.unsettled(9) == []


async def test_a_stream_that_is_gone_is_made_again_by_the_next_reader(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        for call in (stream.read(9, 0), stream.unsettled(9), stream.take_over(0, 9)):
            await redis.flushdb()
            assert await call == []
            assert await redis.exists(KEY) == 1
        await redis.flushdb()
        assert (await stream.length(), await stream.oldest_age_ms(), await stream.forget_consumers(0)) == (0, None, 0)
        await stream.settle([b"1-1"])


async def test_records_put_before_the_group_was_made_are_read(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        await redis.xadd(KEY, {"a": "1"})
        assert await stream.read(9, 0) == []
        assert len(await stream.read(9, 0)) == 1


async def test_a_reader_that_waits_survives_the_loss_of_the_stream(redis_url):
    async with a_redis(redis_url) as redis, a_redis(redis_url) as other:
        stream = RecordStream(redis, "one")
        await stream.ensure_group()
        reading = asyncio.create_task(stream.read(9, 60_000))
        await somebody_waits(other)
        await other.flushdb()
        assert await reading == []
        await other.xadd(KEY, {"a": "1"})
        assert len(await stream.read(9, 0)) == 1


async def test_the_age_of_the_oldest_entry_is_by_the_servers_clock(redis_url):
    async with a_redis(redis_url) as redis:
        stream = RecordStream(redis, "one")
        assert await stream.oldest_age_ms() is None
        await redis.xadd(KEY, {"a": "1"}, id=f"{now_ms() - 5000}-0")
        await redis.xadd(KEY, {"a": "2"})
        age = await stream.oldest_age_ms()
    assert age is not None
    assert 4900 < age < 60_000


async def test_consumers_that_are_gone_are_forgotten_but_none_that_holds_entries(redis_url):
    async with a_redis(redis_url) as redis:
        one, two = RecordStream(redis, "one"), RecordStream(redis, "two")
        await one.ensure_group()
        await redis.xadd(KEY, {"a": "1"})
        await one.read(9, 0)
        await two.read(9, 0)
        assert await one.forget_consumers(3_600_000) == 0
        assert await one.forget_consumers(0) == 1
        assert [consumer["name"] for consumer in await redis.xinfo_consumers(KEY, "recorders")] == [b"one"]
        assert len(await one.unsettled(9)) == 1
