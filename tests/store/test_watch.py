"""Who is there when the next job falls due: one worker a queue, and never nobody."""

from __future__ import annotations

import pytest

from tests.store.shop import LEASE_MS, START, a_job, an_ending, claimed, ids


async def looks_at(hand, **quotas):
    """Return when a hand is told to look again, by a claim that leaves it free slots."""
    hand.claims += 1
    return (await hand.claim_again(10, **quotas)).look_at


async def workers(shop, *names):
    hands = [shop.hand(name) for name in names]
    for hand in hands:
        await hand.extend()
    return hands


@pytest.fixture
async def a_watch(shop):
    """w1 watches for a job that is due in 60 s; w2 lives too."""
    first, second = await workers(shop, "w1", "w2")
    await shop.put("job-1", when="+60000")
    assert await looks_at(first) == START + 60_000
    await shop.tokens()
    return first, second


async def test_of_all_idle_workers_the_first_is_told_the_next_due_time(shop):
    hands = await workers(shop, *(f"w{n}" for n in range(50)))
    await shop.put("job-1", when="+60000")
    assert [await looks_at(hand) for hand in hands] == [START + 60_000] + 49 * [None]


async def test_who_watches_is_told_again(shop, a_watch):
    watcher, _ = a_watch
    assert await looks_at(watcher) == START + 60_000


async def test_everybody_learns_when_the_next_job_is_due_though_one_watches(shop, a_watch):
    _, other = a_watch
    other.claims += 1
    assert (await other.claim_again()).next_due == START + 60_000


async def test_a_job_that_is_due_before_the_watch_is_watched_by_who_learns_of_it(shop, a_watch):
    watcher, other = a_watch
    await shop.put("sooner", when="+30000")
    assert await looks_at(other) == START + 30_000
    assert await looks_at(watcher) is None


async def test_a_worker_that_no_longer_beats_watches_nothing(shop, a_watch):
    _, other = a_watch
    await shop.advance(LEASE_MS, other)
    assert await looks_at(other) == START + 60_000


async def test_a_worker_that_signed_off_watches_nothing(shop, a_watch):
    _, other = a_watch
    await shop.jobs.sign_off("w1")
    assert await looks_at(other) == START + 60_000


async def test_a_watch_that_was_missed_is_taken_over(shop):
    first, second = await workers(shop, "w1", "w2")
    await shop.put("job-1", "job-2", when="+1000")
    await looks_at(first)
    await shop.jump(1500)
    assert ids(await second.claim(1)) == ["job-1"]
    await shop.put("job-3", when="+5000")
    await second.claim(1)
    assert await looks_at(second) == START + 6500


async def test_who_has_no_free_slot_any_more_lets_another_watch(shop, a_watch):
    watcher, other = a_watch
    await shop.put("now", queue="low")
    assert ids(await watcher.claim(1, low=1, default=0)) == ["now"]
    assert await shop.tokens() == 1
    assert await looks_at(other) == START + 60_000


async def test_who_takes_no_more_jobs_lets_another_watch(shop, a_watch):
    watcher, other = a_watch
    await shop.jobs.hand_on(watcher.name, ["default"])
    assert await shop.tokens() == 1
    assert await looks_at(other) == START + 60_000


async def test_who_watches_nothing_hands_nothing_on(shop, a_watch):
    watcher, other = a_watch
    await shop.jobs.hand_on(other.name, ["default"])
    assert await shop.tokens() == 0
    assert await looks_at(watcher) == START + 60_000


async def test_a_watch_ends_with_the_last_job_that_was_waited_for(shop, a_watch):
    watcher, other = a_watch
    await shop.redis.zrem("jobsd:{main}:default", "job-1")
    assert await looks_at(watcher) is None
    await shop.put("later", when="+90000")
    assert await looks_at(other) == START + 90_000


async def test_a_paused_queue_is_watched_by_nobody_and_resumed_by_whoever_wakes(shop, a_watch):
    watcher, other = a_watch
    await shop.jobs.pause("default", paused=True)
    assert await looks_at(watcher) is None
    await shop.jobs.pause("default", paused=False)
    assert await shop.tokens() == 1
    assert await looks_at(other) == START + 60_000


async def test_each_queue_has_a_watch_of_its_own(shop):
    first, second = await workers(shop, "w1", "w2")
    await shop.enqueue([a_job("a", queue="high", when="+1000"), a_job("b", queue="low", when="+2000")])
    assert await looks_at(first, high=5) == START + 1000
    assert await looks_at(second, high=5, low=5) == START + 2000


async def test_a_retry_is_watched_like_any_job(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.extend()
    await hand.finish(an_ending(lease, "R", START + 4000, '{"n":1,"f":1}'))
    assert await looks_at(hand) == START + 4000


async def test_a_parked_job_is_waited_for_by_nobody(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "P", lease.due, "task:x"))
    assert await looks_at(hand) is None


async def test_a_claim_that_is_repeated_is_told_the_same(shop, a_watch):
    watcher, _ = a_watch
    assert (await watcher.claim_again()).look_at == START + 60_000
