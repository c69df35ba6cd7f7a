"""Which queue's jobs a claim takes: each its quota, then what is left, in order of preference."""

from __future__ import annotations

from collections import Counter

from tests.store.shop import Shop, ids


async def fill(shop: Shop, **jobs: int) -> None:
    for queue, count in jobs.items():
        await shop.put(*(f"{queue}-{n}" for n in range(count)), queue=queue)


async def taken(shop: Shop, slots: int, **quotas: int) -> Counter[str]:
    hand = shop.hand(f"takes-{slots}")
    return Counter(lease.queue for lease in await hand.claim(slots, **quotas))


async def test_full_queues_get_their_quotas(shop):
    await fill(shop, critical=20, default=20, low=20)
    assert await taken(shop, 10, critical=6, default=3, low=1) == {"critical": 6, "default": 3, "low": 1}


async def test_what_one_queue_leaves_goes_to_the_others_in_their_order(shop):
    await fill(shop, critical=2, default=5, low=20)
    assert await taken(shop, 10, critical=6, default=3, low=1) == {"critical": 2, "default": 5, "low": 3}


async def test_no_slot_stays_free_while_a_job_is_due(shop):
    await fill(shop, low=20)
    assert await taken(shop, 10, critical=6, default=3, low=1) == {"low": 10}


async def test_a_quota_of_nothing_gets_only_what_all_others_leave(shop):
    await fill(shop, default=20, idle=20)
    assert await taken(shop, 10, idle=0, default=10) == {"default": 10}
    assert await taken(shop, 30, idle=0, default=10) == {"default": 10, "idle": 20}


async def test_quotas_beyond_the_slots_are_served_in_order(shop):
    await fill(shop, critical=20, default=20)
    assert await taken(shop, 5, critical=4, default=4) == {"critical": 4, "default": 1}


async def test_a_paused_queues_share_goes_to_the_others(shop):
    await fill(shop, critical=20, default=20)
    await shop.pause("critical")
    assert await taken(shop, 10, critical=6, default=4) == {"default": 10}


async def test_within_a_queue_the_order_holds_also_for_what_the_others_left(shop):
    await fill(shop, critical=1, default=9)
    leases = await shop.hand("w1").claim(6, critical=3, default=3)
    assert ids(leases) == ["critical-0", *(f"default-{n}" for n in range(5))]


async def test_a_raw_key_is_a_queue_among_others(shop):
    await shop.put("a", queue="arq:queue")
    await shop.put("b", queue="default")
    leases = await shop.hand("w1").claim(2, **{"arq:queue": 1, "default": 1})
    assert [(lease.queue, lease.id) for lease in leases] == [("arq:queue", "a"), ("default", "b")]
    assert await shop.redis.zscore("arq:queue:active", "a")
