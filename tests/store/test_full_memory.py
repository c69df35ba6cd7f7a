"""A server whose memory is full takes no new jobs, and everything that makes room again goes on."""

from __future__ import annotations

import pytest
from redis.exceptions import OutOfMemoryError

from jobsd.store.record_stream import RecordStream
from tests.store.shop import LEASE_MS, START, a_job, an_ending, archived, claimed, completed


@pytest.fixture
async def full(redis):
    """Return a function after which the server counts as full, until the test is over."""

    async def fill() -> None:
        await redis.config_set("maxmemory", 1)

    yield fill
    await redis.config_set("maxmemory", 0)


async def test_a_job_is_refused_and_nothing_of_it_is_stored(shop, full):
    before = await shop.everything()
    await full()
    with pytest.raises(OutOfMemoryError):
        await shop.enqueue([a_job("job-1")])
    assert await shop.everything() == before


@pytest.mark.parametrize("ending", [completed, archived, lambda lease: an_ending(lease, "R", START + 1, "{}")])
async def test_endings_are_written(shop, full, ending):
    hand, [lease] = await claimed(shop, "job-1")
    await full()
    assert await hand.finish(ending(lease)) == [True]


async def test_what_waits_for_a_recorder_that_never_came_is_recorded_nevertheless(shop, full, redis):
    hand, [lease] = await claimed(shop, "job-1")
    await full()
    assert await hand.finish(completed(lease, record=b"[1]")) == [True]
    stream = RecordStream(redis, "late")
    assert await stream.read(9, 0) == []  # it makes what the recorders have in common
    [entry] = await stream.read(9, 0)
    assert entry.records == [(b"job-1", b"[1]")]
    await stream.settle([entry.id])
    assert await stream.length() == 0


async def test_stale_endings_are_answered(shop, full):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease))
    await full()
    assert await hand.finish(completed(lease)) == [False]


async def test_leases_are_prolonged(shop, full):
    hand, _ = await claimed(shop, "job-1")
    await full()
    assert await hand.extend() == []


async def test_jobs_are_claimed(shop, full):
    await shop.put("job-1")
    await full()
    assert len(await shop.hand("w1").claim()) == 1


async def test_jobs_of_dead_workers_are_taken_back(shop, full):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS)
    await shop.jump(1)
    await full()
    assert await shop.recover() == ["job-1"]


async def test_parked_jobs_are_released(shop, full):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "P", lease.due, "task:x"))
    await full()
    assert await shop.jobs.release("default", ["task:x"]) == 1


async def test_results_are_forgotten(shop, full):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease, keep_ms=1))
    await shop.jump(1)
    await full()
    assert await shop.jobs.trim("default", keep_archived_ms=1, keep_archived_count=1) == 1
