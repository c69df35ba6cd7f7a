from __future__ import annotations

from tests.store.shop import LEASE_MS, START, an_ending, claimed, completed


async def test_progress_is_noted_beside_what_is_known_of_the_job(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "R", START, '{"n":1,"f":1,"e":[null,"no"]}'))
    [lease] = await hand.claim()
    assert await shop.jobs.progress(lease, 3, 10)
    assert await shop.jobs.progress(lease, 4, 10)
    assert await shop.jobs.looks.side("default", "job-1") == {"n": 1, "f": 1, "e": [None, "no"], "p": [4, 10]}


async def test_progress_does_not_count_as_an_attempt(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.jobs.progress(lease, 1, 2)
    await hand.finish(an_ending(lease, "Q", lease.due, '{"n":1}'))
    [again] = await hand.claim()
    assert (again.attempt, again.side) == (2, b'{"n":1}')


async def test_progress_of_a_worker_that_lost_its_lease_is_refused(shop):
    _, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.hand("w2").claim()
    held = await shop.traces("job-1")
    assert not await shop.jobs.progress(lease, 3, 10)
    assert await shop.traces("job-1") == held


async def test_progress_after_the_ending_leaves_nothing_behind(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease, keep_ms=0)._replace(result=b""))
    assert not await shop.jobs.progress(lease, 10, 10)
    assert await shop.traces("job-1") == {}


async def test_progress_does_not_prolong_a_lease(shop):
    _, [lease] = await claimed(shop, "job-1")
    await shop.advance(5000)
    await shop.jobs.progress(lease, 1, 2)
    assert await shop.score("job-1") == START + LEASE_MS
