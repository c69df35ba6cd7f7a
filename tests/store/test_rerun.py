"""An archived job that is run again."""

from __future__ import annotations

from tests.store.shop import START, Shop, a_job, an_ending, archived, claimed, completed


async def archive(shop: Shop, info: str = '{"n":4,"f":4,"message":"no"}') -> bytes:
    """Archive job-1 and return its payload."""
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(archived(lease, info))
    assert lease.payload is not None
    return lease.payload


async def test_it_is_due_at_once_and_no_trace_of_the_archive_is_left(shop):
    payload = await archive(shop)
    await shop.jump(5000)
    assert await shop.jobs.rerun("default", "job-1")
    assert await shop.traces("job-1") == {
        "arq:job:job-1": payload,
        "default": START + 5000,
        "default:side": {"n": 4},
    }


async def test_its_attempts_go_on_counting_and_its_failures_start_afresh(shop):
    await archive(shop)
    await shop.jobs.rerun("default", "job-1")
    [lease] = await shop.hand("w2").claim()
    assert (lease.attempt, lease.side) == (5, b'{"n":4}')


async def test_it_wakes_a_worker(shop):
    await archive(shop)
    await shop.tokens()
    await shop.jobs.rerun("default", "job-1")
    assert await shop.tokens() == 1


async def test_it_is_run_again_once(shop):
    await archive(shop)
    assert await shop.jobs.rerun("default", "job-1")
    waiting = await shop.everything()
    assert not await shop.jobs.rerun("default", "job-1")
    assert await shop.everything() == waiting


async def test_a_job_that_is_not_archived_is_not_run(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease))
    before = await shop.everything()
    assert not await shop.jobs.rerun("default", "job-1")
    assert not await shop.jobs.rerun("default", "never-was")
    assert await shop.everything() == before


async def test_it_gives_way_to_a_live_job_that_bears_its_id(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "A", 0, "{}"))
    await shop.enqueue([a_job("job-1")])
    before = await shop.everything()
    assert not await shop.jobs.rerun("default", "job-1")
    assert await shop.everything() == before


async def test_it_gives_way_to_the_kept_result_of_a_job_that_bore_its_id_since(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "A", 0, "{}"))
    await shop.enqueue([a_job("job-1")])
    [later] = await hand.claim()
    await hand.finish(completed(later))
    before = await shop.everything()
    assert not await shop.jobs.rerun("default", "job-1")
    assert await shop.everything() == before


async def test_an_archived_job_gives_way_to_one_of_its_id_that_another_queue_completed_since(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "A", 0, '{"n":1}'))
    await shop.put("job-1", queue="low")
    [later] = await hand.claim(1, low=1)
    await hand.finish(completed(later))
    before = await shop.everything()
    assert not await shop.jobs.rerun("default", "job-1")
    assert await shop.everything() == before
