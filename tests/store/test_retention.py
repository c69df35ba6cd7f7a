"""How finished jobs are forgotten: whole, in bounded steps, and never a live one."""

from __future__ import annotations

from tests.store.shop import ARCHIVE_MS, KEEP_MS, START, Shop, a_job, an_ending, archived, claimed, completed, ids


async def trim(shop: Shop, *, archived: int = 10_000) -> int:
    return await shop.jobs.trim("default", keep_archived_ms=ARCHIVE_MS, keep_archived_count=archived)


async def trim_all(shop: Shop, *, archived: int = 10_000) -> list[int]:
    steps = []
    while step := await trim(shop, archived=archived):
        steps.append(step)
    return steps


async def of_jobs(shop: Shop) -> set[str]:
    """Return the keys that belong to a job or list one."""
    apart = (":state", ":workers", ":worker:", ":queues", "default:stats", "default:wake")
    return {key for key in await shop.keys() if not key.startswith(apart)}


async def end(shop: Shop, make, count: int, **keep: int) -> None:
    """Let as many new jobs end in one batch."""
    number = (await shop.stats()).get("processed", 0)
    names = [f"job-{number + n:05}" for n in range(count)]
    await shop.put(*names)
    hand = shop.hand(f"ends-from-{number}")
    leases = await hand.claim(count)
    await hand.finish(*map(make, leases), **keep)


async def test_over_the_count_the_oldest_results_go_in_the_same_step(shop):
    for _ in range(4):
        await end(shop, completed, 5, completed=8)
        await shop.jump(1)
    kept = {f"job-{n:05}" for n in range(12, 20)}
    assert await of_jobs(shop) == {"default:completed", *(f"arq:result:{job_id}" for job_id in kept)}
    assert set(await shop.redis.zrange("jobsd:{main}:default:completed", 0, -1)) == {name.encode() for name in kept}


async def test_a_queue_that_keeps_none_keeps_none(shop):
    await end(shop, completed, 3, completed=0)
    assert await of_jobs(shop) == set()


async def test_a_limit_that_was_lowered_is_reached_in_steps(shop):
    await end(shop, completed, 100)
    await shop.jump(1)
    await end(shop, completed, 10, completed=10)
    assert await shop.redis.zcard("jobsd:{main}:default:completed") == 90
    assert len(await of_jobs(shop)) == 91


async def test_results_are_forgotten_when_their_time_is_over(shop):
    await end(shop, lambda lease: completed(lease, keep_ms=1000), 3)
    await end(shop, completed, 2)
    await shop.jump(999)
    assert await trim(shop) == 0
    await shop.jump(1)
    assert await trim(shop) == 3
    assert await of_jobs(shop) == {"default:completed", "arq:result:job-00003", "arq:result:job-00004"}


async def test_trimming_results_goes_in_steps_and_leaves_nothing(shop):
    for _ in range(3):
        await end(shop, completed, 400)
    await shop.jump(KEEP_MS)
    assert await trim_all(shop) == [500, 500, 200]
    assert await of_jobs(shop) == set()


async def test_archived_jobs_are_forgotten_at_their_age_with_their_payload(shop):
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 3)
    await shop.jump(ARCHIVE_MS - 1)
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 1)
    await shop.jump(1)
    assert await trim(shop) == 3
    assert await of_jobs(shop) == {"default:archived", "default:dead:job-00003"}


async def test_archived_jobs_over_the_count_go_the_oldest_first(shop):
    for _ in range(3):
        await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 2)
        await shop.jump(1)
    assert await trim_all(shop, archived=1) == [5]
    assert await of_jobs(shop) == {"default:archived", "default:dead:job-00005"}


async def test_an_archiving_trims_in_the_same_step(shop):
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 5)
    await shop.jump(ARCHIVE_MS)
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 3, archived=2)
    assert await of_jobs(shop) == {"default:archived", "default:dead:job-00006", "default:dead:job-00007"}


async def test_an_archive_far_over_its_age_is_trimmed_in_steps_and_archiving_goes_on(shop):
    # After a mass failure and a quiet quarter one archiving must not have to forget thousands at once.
    for _ in range(20):
        await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 500)
    await shop.jump(ARCHIVE_MS)
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 1)
    left = await shop.redis.zcard("jobsd:{main}:default:archived")
    assert left == 10_001 - 200
    assert len(await of_jobs(shop)) == 1 + left
    assert max(await trim_all(shop)) <= 700
    assert await of_jobs(shop) == {"default:archived", "default:dead:job-10000"}


async def test_an_archive_over_age_and_count_loses_both_kinds_without_a_trace(shop):
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 300)
    await shop.jump(ARCHIVE_MS)
    await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 300)
    await trim_all(shop, archived=10)
    assert len(await of_jobs(shop)) == 11
    assert await shop.redis.zcard("jobsd:{main}:default:archived") == 10


async def test_what_is_forgotten_of_an_id_leaves_alone_the_live_job_that_bears_it_now(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "A", 0, "{}"))
    await shop.jump(ARCHIVE_MS)
    job = a_job("job-1")
    await shop.enqueue([job])
    assert await trim(shop) == 1
    assert await shop.traces("job-1") == {"arq:job:job-1": job.payload, "default": START + ARCHIVE_MS}
    assert ids(await hand.claim()) == ["job-1"]


async def test_an_archived_jobs_result_ends_by_itself_if_the_archive_forgets_it_sooner(shop):
    await end(shop, archived, 1)
    await trim_all(shop, archived=0)
    assert await of_jobs(shop) == {"arq:result:job-00000"}
    assert 0 < await shop.redis.pttl("arq:result:job-00000") <= KEEP_MS


async def test_trimming_touches_no_job_that_waits_or_runs(shop):
    hand, [_, parked, retried, _] = await claimed(shop, "running", "parked", "retried", "also-running")
    await hand.finish(an_ending(parked, "P", START, "task:x"), an_ending(retried, "R", START + 1, "{}"))
    await shop.put("waiting")
    before = await of_jobs(shop)
    await shop.jump(2 * ARCHIVE_MS)
    assert await trim_all(shop, archived=0) == []
    assert await of_jobs(shop) == before


async def test_a_step_forgets_no_more_than_it_says(shop):
    for _ in range(2):
        await end(shop, lambda lease: an_ending(lease, "A", 0, "{}"), 500)
        await shop.jump(ARCHIVE_MS)
    await end(shop, lambda lease: completed(lease, keep_ms=1), 500)
    await shop.jump(1)
    assert max(await trim_all(shop, archived=0)) <= 700
    assert await of_jobs(shop) == set()
