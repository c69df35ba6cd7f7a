"""What waits for a recorder, as it is told."""

from __future__ import annotations

import pytest

from jobsd.admin.inspector import Inspector, RecordFacts
from jobsd.store.backlog import Backlog, limit_of
from jobsd.store.jobs import Jobs
from jobsd.store.keys import records_key
from jobsd.store.looks import Looks

MEGABYTE = 1_000_000


@pytest.fixture
async def bounded(redis):
    """Give the server a limit of 400 MB while the test lasts."""
    await redis.config_set("maxmemory", 400 * MEGABYTE)
    yield
    await redis.config_set("maxmemory", 0)


async def test_where_nothing_waits_all_is_nought(redis):
    assert await Looks(redis).backlog() == Backlog(entries=0, bytes=0, oldest_age_ms=None, maxmemory=0)


async def test_entries_their_memory_and_the_age_of_the_oldest_are_told(redis):
    now = int((await redis.time())[0]) * 1000
    await redis.xadd(records_key(), {"a": b"x" * 50_000, "b": b"x" * 50_000}, id=f"{now - 90_000}-0")
    await redis.xadd(records_key(), {"c": "1"})
    found = await Looks(redis).backlog()
    assert found.entries == 2
    assert 100_000 < found.bytes < 150_000
    assert 90_000 <= found.oldest_age_ms < 120_000


async def test_a_few_small_entries_in_front_do_not_hide_large_ones(redis):
    for n in range(1000):
        await redis.xadd(records_key(), {"small": n})
    for _ in range(100):
        await redis.xadd(records_key(), {"large": b"x" * 100_000})
    assert (await Looks(redis).backlog()).bytes > 10_000_000


async def test_a_share_is_one_of_the_servers_memory(redis, bounded):
    await redis.xadd(records_key(), {"large": b"x" * 4_400_000})
    found = await Inspector(Jobs(redis)).records("1%")
    assert found == RecordFacts(
        entries=1,
        bytes=found.bytes,
        oldest_age_ms=found.oldest_age_ms,
        maxmemory=400 * MEGABYTE,
        limit_bytes=4 * MEGABYTE,
        claims_percent=60,
    )
    assert 4_400_000 < found.bytes < 4_405_000


def test_where_the_server_has_no_limit_any_share_is_512_mib():
    assert limit_of("50%", 0) == limit_of("25%", 0) == 512 * 1024 * 1024
    assert limit_of("1 GB", 0) == limit_of("1GB", MEGABYTE) == 1000 * MEGABYTE
