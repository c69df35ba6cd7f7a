"""Jobs that wait for something but time, and their release."""

from __future__ import annotations

from tests.store.shop import START, Shop, a_job, an_ending, claimed, ids


async def park(shop: Shop, reason: str, *job_ids: str, when: str = "") -> None:
    await shop.put(*job_ids, when=when)
    hand = shop.hand(f"parks-{reason}")
    leases = await hand.claim(len(job_ids))
    await hand.finish(*(an_ending(lease, "P", lease.due, reason) for lease in leases))


async def test_a_released_job_is_back_at_its_original_due_time_and_bears_no_trace_of_it(shop):
    job = a_job("job-1", when=f"{START - 700}")
    await shop.enqueue([job])
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(an_ending(lease, "P", lease.due, "task:x"))
    assert await shop.jobs.release("default", ["task:x"]) == 1
    assert await shop.traces("job-1") == {"arq:job:job-1": job.payload, "default": START - 700}


async def test_parked_jobs_stay_for_all_time_unless_their_reason_goes(shop):
    await park(shop, "task:x", "a")
    await park(shop, "task:y", "b")
    await shop.advance(60_000)
    assert await shop.jobs.release("default", ["task:y", "task:z"]) == 1
    assert ids(await shop.hand("w1").claim()) == ["b"]


async def test_nothing_parked_nothing_released(shop):
    assert await shop.jobs.release("default", ["task:x"]) == 0
    assert await shop.tokens() == 0


async def test_500_are_released_in_one_call_over_all_reasons(shop):
    await park(shop, "task:x", *(f"x-{n:03}" for n in range(300)))
    await park(shop, "task:y", *(f"y-{n:03}" for n in range(300)))
    steps = [await shop.jobs.release("default", ["task:x", "task:y"]) for _ in range(3)]
    assert steps == [500, 100, 0]
    assert len(await shop.hand("w1").claim(500)) == 500


async def test_no_more_are_released_than_are_asked_for(shop):
    await park(shop, "task:x", "a", "b", "c")
    await park(shop, "task:y", "d", "e")
    steps = [await shop.jobs.release("default", ["task:x", "task:y"], most=most) for most in (0, 2, 2, 2)]
    assert steps == [0, 2, 2, 1]


async def test_a_parked_job_that_was_deleted_is_not_put_back(shop):
    await park(shop, "task:x", "job-1")
    await shop.redis.zrem("jobsd:{main}:default", "job-1")
    await shop.jobs.release("default", ["task:x"])
    assert (await shop.traces("job-1")).keys() == {"arq:job:job-1"}


async def test_a_release_gives_away_no_job_that_an_arq_client_set_running_meanwhile(shop):
    await park(shop, "task:x", "job-1")
    await shop.redis.zadd("jobsd:{main}:default", {"job-1": 1})  # Job.abort
    await shop.hand("w1").claim()
    await shop.jobs.release("default", ["task:x"])
    assert await shop.hand("w2").claim() == []
    assert "default:active" in await shop.traces("job-1")


async def test_parking_is_no_attempt(shop):
    await park(shop, "task:x", "job-1")
    await shop.jobs.release("default", ["task:x"])
    [lease] = await shop.hand("w1").claim()
    assert (lease.attempt, lease.side) == (1, None)


async def test_a_release_leaves_alone_a_later_job_that_is_not_parked(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "P", lease.due, "task:x"))
    await shop.redis.zadd("jobsd:{main}:default", {"job-1": 1})  # Job.abort
    [again] = await hand.claim()
    assert await hand.finish(an_ending(again, "D")) == [True]
    await shop.put("job-1", when="+60000")
    await shop.jobs.release("default", ["task:x"])
    assert await shop.score("job-1") == START + 60_000


async def test_those_that_are_parked_no_longer_take_no_place(shop):
    await park(shop, "task:x", *(f"gone-{n}" for n in range(30)), "job-1")
    for n in range(30):
        await shop.redis.zrem("jobsd:{main}:default", f"gone-{n}")  # as when they were cancelled
    assert await shop.jobs.release("default", ["task:x"], most=1) == 1
    assert ids(await shop.hand("w1").claim()) == ["job-1"]
