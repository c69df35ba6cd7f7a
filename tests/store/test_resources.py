"""Named resources: one limit for the jobs of all queues that need it, also beside a limit key."""

from __future__ import annotations

import pytest

from tests.store.shift import Shift, fullest
from tests.store.shop import LEASE_MS, START, Shop, a_limited_job, an_ending, archived, completed, ids

ONE = "1:::::||"
TWO_IN_10_S = ":2:10000:::||"


async def hands(shop: Shop, *names: str):
    found = [shop.hand(name) for name in names]
    for hand in found:
        await hand.extend()
    return found


async def a_busy_resource(shop: Shop, *queues: str):
    """Let w1 hold the only place at r=s; w2 has looked into each of the queues, where jobs wait for it."""
    await shop.limit("r=s", ONE)
    first, second = await hands(shop, "w1", "w2")
    await shop.put_limited("r=s", "holder", queue="other")
    [lease] = await first.claim(1, other=1)
    for queue in queues:
        await shop.put_limited("r=s", f"{queue}-1", f"{queue}-2", queue=queue)
        assert await second.claim(5, **{queue: 5}) == []
        await shop.tokens(queue)
    return first, lease, second


# --- across queues --------------------------------------------------------------------------------


async def test_no_more_jobs_hold_a_resource_than_its_limit_in_all_queues_together(shop):
    await shop.limit("r=s", "2:::::||")
    for queue in ("high", "low"):
        await shop.put_limited("r=s", f"{queue}-1", f"{queue}-2", queue=queue)
    first, second = await hands(shop, "w1", "w2")
    assert ids(await first.claim(1, high=1)) == ["high-1"]
    assert ids(await second.claim(5, low=5)) == ["low-1"]
    assert await first.claim(5, high=5) == await second.claim(5, low=5) == []


@pytest.mark.parametrize("queue", ["high", "arq:queue", "mails:"])
@pytest.mark.parametrize(
    "ending",
    [
        completed,
        archived,
        lambda lease: an_ending(lease, "D"),
        lambda lease: an_ending(lease, "P", lease.due, "task:x"),
        lambda lease: an_ending(lease, "R", lease.due + 60_000, '{"n":1,"f":1}'),
        lambda lease: an_ending(lease, "Q", lease.due + 60_000),
    ],
    ids=["completed", "archived", "removed", "parked", "retried", "requeued"],
)
async def test_an_ending_in_one_queue_lets_a_job_of_another_run_and_wakes_a_worker_there(shop, queue, ending):
    first, lease, second = await a_busy_resource(shop, queue)
    await first.finish(ending(lease))
    assert await shop.tokens(queue) == 1
    assert ids(await second.claim(5, **{queue: 5})) == [f"{queue}-1"]


async def test_a_resource_of_a_dead_worker_is_free_for_another_queue_when_its_job_is_taken_back(shop):
    _, _, second = await a_busy_resource(shop, "high")
    await shop.advance(LEASE_MS + 1, second)
    await shop.tokens("high")
    assert await shop.recover("other", "high") == ["holder"]
    assert await shop.tokens("high") == 1
    assert ids(await second.claim(5, high=5)) == ["high-1"]


async def test_a_resource_is_not_kept_for_a_queue_that_is_paused(shop):
    first, lease, second = await a_busy_resource(shop, "high", "low")
    await shop.jobs.pause("high", paused=True)
    await first.finish(completed(lease))
    assert ids(await second.claim(5, high=3, low=2)) == ["low-1"]


async def test_a_resource_is_not_kept_for_a_queue_that_nobody_serves_any_more(shop):
    first, lease, second = await a_busy_resource(shop, "high", "low")
    await first.finish(completed(lease))
    assert await shop.tokens("low") == 1
    assert ids(await second.claim(5, low=5)) == ["low-1"]


async def test_a_resource_is_not_kept_for_a_queue_that_is_full_itself(shop):
    first, lease, second = await a_busy_resource(shop, "high", "low")
    await shop.put("plain", queue="high")
    await first.claim(1, high=1)
    await shop.limit("high", ONE)
    await first.finish(completed(lease))
    assert ids(await second.claim(5, high=3, low=2)) == ["low-1"]


async def test_the_rate_of_a_resource_counts_the_starts_of_all_queues(shop):
    await shop.limit("r=s", TWO_IN_10_S)
    for queue in ("high", "low"):
        await shop.put_limited("r=s", *(f"{queue}-{n}" for n in range(5)), queue=queue)
    first, second = await hands(shop, "w1", "w2")
    await first.claim(1, high=1)
    await shop.advance(4000, first, second)
    answer = await second.ask(5, low=5)
    assert (ids(answer.leases), answer.look_at) == (["low-0"], START + 10_001)
    await shop.advance(6000, first, second)
    assert await first.claim(5, high=5) == await second.claim(5, low=5) == []
    await shop.jump(1)
    assert len(await first.claim(5, high=5)) == 1
    assert await second.claim(5, low=5) == []


async def test_a_start_that_is_given_back_in_one_queue_lets_a_job_of_another_run_and_wakes_a_worker_there(shop):
    await shop.limit("r=s", TWO_IN_10_S)
    for queue in ("high", "low"):
        await shop.put_limited("r=s", *(f"{queue}-{n}" for n in range(5)), queue=queue)
        await shop.put_limited("k=a,r=s", f"{queue}-keyed", queue=queue)
    first, second = await hands(shop, "w1", "w2")
    [lease, _] = await first.claim(5, high=5)
    assert await second.claim(5, low=5) == []
    await shop.tokens("low")
    await first.finish(an_ending(lease, "P", lease.due, "room"))
    assert await shop.tokens("low") == 1
    assert (await shop.redis.exists("jobsd:{main}:low:closed"), len(await second.claim(5, low=5))) == (0, 1)
    assert await first.claim(5, high=5) == []


async def test_of_many_lines_a_start_that_is_given_back_opens_a_hundred_and_the_others_open_at_their_time(shop):
    await shop.limit("r=s", TWO_IN_10_S)
    await shop.enqueue([a_limited_job(f"job-{n:03}", f"k={n:03},r=s") for n in range(152)])
    first, second = await hands(shop, "w1", "w2")
    [lease, _] = await first.claim(200)
    await first.finish(an_ending(lease, "P", lease.due, "room"))
    assert await shop.redis.zcard("jobsd:{main}:default:closed") == 50
    assert len(await second.claim()) == 1
    await shop.advance(10_001, first, second)
    assert len(await second.claim()) == 2


async def test_a_rate_over_several_queues_is_never_exceeded_and_used_to_the_full(shop):
    await shop.limit("r=s", TWO_IN_10_S)
    for queue in ("high", "low"):
        await shop.put_limited("r=s", *(f"{queue}-{n:02}" for n in range(20)), queue=queue)
    shift = await Shift(shop, [shop.hand(f"s{n}") for n in range(3)], queues=("high", "low")).work(60_000)
    assert (fullest(shift.at(), 10_000), len(shift.starts)) == (2, 12)
    assert shift.vain <= 6 * 4, "a few claims for each window"


async def test_jobs_of_several_queues_use_a_resource_without_a_pause(shop):
    await shop.limit("r=s", ONE)
    for queue in ("high", "low"):
        await shop.put_limited("r=s", *(f"{queue}-{n:02}" for n in range(20)), queue=queue)
    shift = await Shift(shop, [shop.hand("s1"), shop.hand("s2")], queues=("high", "low")).work(3900)
    assert (fullest(shift.at(), 99), len(shift.starts)) == (1, 40)


async def test_a_busy_resource_holds_up_no_job_that_does_without(shop):
    await a_busy_resource(shop, "high")
    await shop.put("plain", queue="high")
    assert ids(await shop.hand("w3").claim(5, high=5)) == ["plain"]


async def test_a_limit_of_a_resource_that_is_raised_wakes_every_queue_in_which_jobs_wait_for_it(shop):
    _, _, second = await a_busy_resource(shop, "high", "low")
    await shop.limit("r=s", "3:::::||")
    assert [await shop.tokens(queue) for queue in ("high", "low")] == [1, 1]
    assert len(await second.claim(5, high=3, low=2)) == 2


# --- several limits of one job --------------------------------------------------------------------


async def test_a_job_waits_for_every_limit_it_has(shop):
    await shop.limit("default", ":::1::||")
    for name in ("r=s", "r=t"):
        await shop.limit(name, ONE)
    first, second = await hands(shop, "w1", "w2")
    held = {}
    for limit in ("k=a", "r=s", "r=t"):
        await shop.put_limited(limit, limit)
        [held[limit]] = await first.claim(1)
    await shop.put_limited("k=a,r=s,r=t", "needs-all")
    for limit in ("r=s", "k=a", "r=t"):
        assert await second.claim() == []
        await shop.tokens()
        await first.finish(completed(held[limit]))
    assert await shop.tokens() == 1
    assert ids(await second.claim()) == ["needs-all"]


async def test_a_job_with_several_limits_gives_all_of_them_back(shop):
    await shop.limit("default", ":::1::||")
    for name in ("r=s", "r=t"):
        await shop.limit(name, ONE)
    await shop.put_limited("k=a,r=s,r=t", "first")
    first, second = await hands(shop, "w1", "w2")
    [lease] = await first.claim()
    for limit in ("k=a", "r=s", "r=t"):
        await shop.put_limited(limit, limit)
    assert await second.claim() == []
    await first.finish(completed(lease))
    assert sorted(ids(await second.claim())) == ["k=a", "r=s", "r=t"]


async def test_keys_take_turns_at_a_busy_resource_too(shop):
    await shop.limit("r=s", ONE)
    await shop.put_limited("k=a,r=s", *(f"a{n:03}" for n in range(300)))
    hand, other = await hands(shop, "w1", "w2")
    running = await hand.claim()
    await other.claim()
    await shop.advance(100, hand, other)
    await shop.put_limited("k=b,r=s", "b1", "b2", "b3")
    order = []
    for _ in range(8):
        await hand.finish(*map(completed, running))
        running = await hand.claim()
        order += ids(running)
    assert [job_id for job_id in order if job_id.startswith("b")] == ["b1", "b2", "b3"]


async def test_a_limit_that_one_opened_line_cannot_use_goes_to_the_next(shop):
    await shop.limit("default", ":::1::||")
    await shop.limit("r=s", ONE)
    first, second = await hands(shop, "w1", "w2")
    await shop.put_limited("r=s", "holder")
    [lease] = await first.claim()
    await shop.put_limited("k=a,r=s", "a1")
    await shop.put_limited("k=b,r=s", "b1")
    await second.claim()
    await shop.put_limited("k=a", "a2")
    assert ids(await second.claim()) == ["a2"]
    await first.finish(completed(lease))
    await shop.tokens()
    shift = await Shift(shop, [second], job_ms=60_000).work(0)
    assert shift.order() == ["b1"]


@pytest.mark.parametrize("loss", ["cancelled", "deleted", "run by another system"])
async def test_a_limit_whose_next_job_is_gone_when_its_turn_comes_goes_to_the_next(shop, loss):
    await shop.limit("r=s", ONE)
    first, second = await hands(shop, "w1", "w2")
    await shop.put_limited("r=s", "holder")
    [lease] = await first.claim()
    await shop.put_limited("k=a,r=s", "a1")
    await shop.put_limited("k=b,r=s", "b1")
    await second.claim()
    await first.finish(completed(lease))
    await shop.tokens()
    match loss:
        case "cancelled":
            await shop.jobs.cancel("default", "a1")
            assert await shop.tokens() == 1
        case "deleted":
            await shop.redis.zrem("jobsd:{main}:default", "a1")
            await shop.redis.delete("arq:job:a1")
        case _:
            await shop.redis.set("arq:in-progress:a1", "1", px=300_000)
    shift = await Shift(shop, [second], job_ms=60_000).work(0)
    assert shift.order() == ["b1"]


async def test_nothing_is_left_of_a_resource_whose_jobs_have_ended(shop):
    await shop.limit("r=s", ONE)
    for queue in ("high", "low"):
        await shop.enqueue([a_limited_job(f"{queue}-{n}", f"k={n},r=s", queue=queue) for n in range(3)])
    shift = await Shift(shop, [shop.hand("s1")], queues=("high", "low")).work(2000)
    assert len(shift.starts) == 6
    words = ("held", "behind", "lane", "turns", "closed", "places")
    assert [key for key in await shop.keys() if any(word in key for word in words)] == []
