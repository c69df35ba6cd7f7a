"""What a worker has said that a queue keeps of its finished jobs holds for all who finish, archive and trim."""

from __future__ import annotations

import pytest

from tests.store.shop import ARCHIVE_MS, LEASE_MS, SHARD, Shop, an_ending, completed

DAY_MS = 86_400_000
KEEPS_ALL = {"completed": 10_000, "archived": 10_000}


async def say(shop: Shop, **keep: str) -> None:
    await shop.jobs.announce("w0", {"pid": "1"}, list(keep), keep=keep)


async def complete(shop: Shop, count: int, queue: str = "default", **keep: int) -> None:
    """Let as many new jobs complete in one batch, written by a worker that would keep so many."""
    await end(shop, completed, count, queue, **keep)


async def fail(shop: Shop, count: int, queue: str = "default", **keep: int) -> None:
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), count, queue, **keep)


async def end(shop: Shop, make, count: int, queue: str, **keep: int) -> None:
    number = (await shop.stats(queue)).get("processed", 0)
    await shop.put(*(f"{queue}-{number + n:05}" for n in range(count)), queue=queue)
    hand = shop.hand(f"{queue}-from-{number}")
    leases = await hand.claim(count, **{queue: count})
    await hand.finish(*map(make, leases), **(KEEPS_ALL | keep))
    await shop.jump(1)


async def trim(shop: Shop, queue: str = "default") -> list[int]:
    """Trim as a worker that would keep nothing of the archive; return what each step has forgotten."""
    steps = []
    while step := await shop.jobs.trim(queue, keep_archived_ms=0, keep_archived_count=0):
        steps.append(step)
    return steps


async def listed(shop: Shop, kind: str, queue: str = "default") -> int:
    return await shop.redis.zcard(f"{SHARD}{queue}:{kind}")


async def results(shop: Shop) -> int:
    return len(await shop.redis.keys("arq:result:*"))


async def test_who_finishes_keeps_as_many_completed_as_the_queue_says_and_not_as_it_would_itself(shop):
    await say(shop, default="3:0:0", low="10:0:0")
    for _ in range(4):
        await complete(shop, 5, "default")
        await complete(shop, 5, "low", completed=1)
    assert (await listed(shop, "completed"), await listed(shop, "completed", "low")) == (3, 10)
    assert await results(shop) == 13


async def test_one_batch_keeps_to_the_numbers_of_each_of_its_queues(shop):
    await say(shop, default="1:0:0", low=f"2:{DAY_MS}:1")
    await shop.put(*"abcd", queue="default")
    await shop.put(*"efgh", queue="low")
    hand = shop.hand("w1")
    leases = await hand.claim(8, default=4, low=4)
    endings = [an_ending(lease, "A", 0, "{}") if lease.id in "gh" else completed(lease) for lease in leases]
    await hand.finish(*endings, **KEEPS_ALL)
    assert (await listed(shop, "completed"), await listed(shop, "completed", "low")) == (1, 2)
    assert await listed(shop, "archived", "low") == 1


async def test_where_nobody_has_said_anything_it_is_as_who_finishes_would_have_it(shop):
    await say(shop, low="3:0:0")
    await complete(shop, 5, completed=2)
    await fail(shop, 5, archived=4)
    assert (await listed(shop, "completed"), await listed(shop, "archived")) == (2, 4)
    assert await trim(shop) == [4], "and as who trims"
    assert await listed(shop, "completed") == 2


async def test_an_archiving_keeps_to_the_count_and_the_age_that_the_queue_says(shop):
    await say(shop, default=f"0:{DAY_MS}:5")
    await fail(shop, 8, archived=1)
    assert await listed(shop, "archived") == 5
    await shop.jump(DAY_MS)
    await fail(shop, 1)
    assert await listed(shop, "archived") == 1
    assert await shop.redis.keys(f"{SHARD}default:dead:*") == [f"{SHARD}default:dead:default-00008".encode()]


async def test_who_trims_forgets_nothing_that_the_queue_says_is_kept(shop):
    await say(shop, default=f"10:{ARCHIVE_MS}:10")
    await complete(shop, 10)
    await fail(shop, 10)
    assert await trim(shop) == []
    await shop.jump(LEASE_MS)
    assert await trim(shop) == []


async def test_numbers_that_are_lowered_hold_at_once_and_in_steps(shop):
    await say(shop, default=f"2000:{ARCHIVE_MS}:2000")
    for _ in range(3):
        await complete(shop, 400)
        await fail(shop, 400)
    await say(shop, default=f"10:{ARCHIVE_MS}:5")
    steps = await trim(shop)
    assert sum(steps) == 2400 - 15
    assert max(steps) == 700
    assert (await listed(shop, "completed"), await listed(shop, "archived"), await results(shop)) == (10, 5, 10)
    kept = await shop.redis.zrange(f"{SHARD}default:archived", 0, -1)
    assert kept == [b"default-%05d" % n for n in range(2395, 2400)], "the latest"


async def test_what_is_cancelled_counts_in_the_archive_like_what_fails(shop):
    await say(shop, default=f"0:{ARCHIVE_MS}:2")
    await shop.put(*"abcde")
    for job_id in "abcde":
        assert await shop.jobs.cancel("default", job_id) == "cancelled"
    assert await trim(shop) == [3]
    assert await listed(shop, "archived") == 2


async def test_who_came_last_decides_and_what_nobody_says_stays(shop):
    await say(shop, default="5:0:0", low="4:0:0")
    await say(shop, default="2:0:0")
    await shop.jobs.announce("w9", {"pid": "9"}, ["default", "low"])
    await complete(shop, 6)
    await complete(shop, 6, "low")
    assert (await listed(shop, "completed"), await listed(shop, "completed", "low")) == (2, 4)


@pytest.mark.parametrize("text", ["", "later than we know", "1:2"])
async def test_a_text_that_nobody_can_read_is_as_good_as_none(shop, text):
    await say(shop, default=text)
    await complete(shop, 5, completed=2)
    await fail(shop, 5, archived=4)
    assert (await listed(shop, "completed"), await listed(shop, "archived")) == (2, 4)


async def test_what_a_later_version_adds_to_the_text_does_no_harm(shop):
    await say(shop, default=f"2:{DAY_MS}:1:more")
    await complete(shop, 5)
    await fail(shop, 5)
    assert (await listed(shop, "completed"), await listed(shop, "archived")) == (2, 1)


async def test_a_queue_of_arqs_is_said_by_its_key(shop):
    await say(shop, **{"arq:queue": "2:0:0"})
    assert await shop.redis.hget(f"{SHARD}:state", "keep:arq:queue") == b"2:0:0"
