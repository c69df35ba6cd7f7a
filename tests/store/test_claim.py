from __future__ import annotations

import asyncio

from jobsd.store.jobs import Jobs
from jobsd.store.looks import noted
from tests.store.shop import LEASE_MS, START, a_job, a_payload, an_ending, claimed, ids

MIB = 1024 * 1024


async def test_a_lease_tells_the_job_and_how_it_came_to_it(shop):
    [job] = await shop.put("job-1", when=f"{START - 700}")
    [lease] = await shop.hand("w1").claim()
    assert (lease.queue, lease.id, lease.payload, lease.side) == ("default", "job-1", job.payload, None)
    assert (lease.due, lease.started_at, lease.attempt) == (START - 700, START, 1)
    assert lease.mark == f"w1:1:1:{START}:1:{START - 700}"


async def test_a_leased_job_has_a_mark_a_place_among_the_active_and_the_end_of_its_lease_for_a_score(shop):
    [job] = await shop.put("job-1")
    [lease] = await shop.hand("w1").claim()
    assert await shop.traces("job-1") == {
        "arq:job:job-1": job.payload,
        "arq:in-progress:job-1": lease.mark,
        "default": START + LEASE_MS,
        "default:active": START + LEASE_MS,
    }
    assert await shop.redis.ttl("arq:in-progress:job-1") == -1


async def test_jobs_come_by_due_time_and_in_the_same_millisecond_by_id(shop):
    await shop.put("d", "b", "c")
    await shop.put("a", when="+1")
    await shop.put("e", when=f"{START - 1}")
    await shop.jump(1)
    assert ids(await shop.hand("w1").claim()) == ["e", "b", "c", "d", "a"]


async def test_each_lease_of_a_claim_has_a_mark_of_its_own(shop):
    _, leases = await claimed(shop, "a", "b", "c")
    assert [lease.mark.split(":")[:3] for lease in leases] == [["w1", "1", "1"], ["w1", "1", "2"], ["w1", "1", "3"]]


async def test_a_job_is_leased_to_one_worker_at_a_time(shop):
    await shop.put(*(f"job-{n}" for n in range(100)))
    hands = [shop.hand(f"w{n}") for n in range(15)]
    got = await asyncio.gather(*(hand.claim() for hand in hands))
    taken = [job_id for leases in got for job_id in ids(leases)]
    assert len(taken) == len(set(taken)) == 100


async def test_no_more_than_the_free_slots_are_leased(shop):
    await shop.put("a", "b", "c")
    assert ids(await shop.hand("w1").claim(2)) == ["a", "b"]


async def test_no_more_than_500_are_leased_in_one_call(shop):
    await shop.put(*(f"job-{n:03}" for n in range(600)))
    assert len(await shop.hand("w1").claim(600)) == 500


async def test_large_payloads_come_in_several_answers(shop):
    payload = a_payload("email:send", "x" * (MIB - 1000))
    await shop.enqueue([a_job(f"job-{n}", payload=payload) for n in range(12)])
    hand = shop.hand("w1")
    answers = [await hand.claim(100) for _ in range(12)]
    assert sum(map(len, answers)) == 12
    assert max(sum(len(lease.payload) for lease in leases) for leases in answers) <= 5 * MIB


async def test_large_payloads_do_not_keep_a_worker_from_coming_back_for_the_rest(shop):
    payload = a_payload("email:send", "x" * 100_000)
    await shop.enqueue([a_job(f"job-{n:03}", payload=payload) for n in range(150)])
    hand = shop.hand("w1")
    answers = [len(await hand.claim(500)) for _ in range(5)]
    assert 42 <= answers[0] < 150
    assert sum(answers) == 150


async def test_every_start_counts_as_an_attempt_and_none_is_given_back(shop):
    hand, [lease] = await claimed(shop, "job-1")
    for attempt in (1, 2, 3):
        assert lease.attempt == attempt
        await hand.finish(an_ending(lease, "Q", lease.due, f'{{"n":{attempt}}}'))
        [lease] = await hand.claim()


async def test_what_is_noted_of_a_job_comes_with_its_lease(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "R", START, '{"n":1,"f":1}'))
    [again] = await hand.claim()
    assert again.side == b'{"n":1,"f":1}'


async def test_a_retry_that_runs_is_no_longer_waiting_for_its_retry(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "R", START + 10, '{"n":1,"f":1}'))
    assert "default:retry" in await shop.traces("job-1")
    await shop.jump(10)
    await hand.claim()
    assert "default:retry" not in await shop.traces("job-1")


async def test_a_job_whose_payload_is_gone_is_handed_out_without_one(shop):
    await shop.put("a", "b")
    await shop.redis.delete("arq:job:a")
    leases = await shop.hand("w1").claim()
    assert [(lease.id, lease.payload is None) for lease in leases] == [("a", True), ("b", False)]


async def test_the_answer_tells_when_the_next_job_is_due(shop):
    hand = shop.hand("w1")
    assert (await hand.claim_again(1, 1)).next_due is None
    await shop.put("a")
    await shop.put("b", when="+37")
    answer = await hand.claim_again(1, 2)
    assert (answer.now, answer.next_due) == (START, START + 37)


async def test_the_next_due_time_is_the_earliest_of_all_queues(shop):
    await shop.put("a", when="+50", queue="high")
    await shop.put("b", when="+37", queue="low")
    assert (await shop.hand("w1").claim_again(2, 1, high=1, low=1)).next_due == START + 37


async def test_parked_jobs_are_not_due_and_have_no_time(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "P", lease.due, "task:x"))
    answer = await hand.claim_again(1, 2)
    assert (answer.leases, answer.next_due) == ([], None)


async def test_a_paused_queue_hands_out_nothing_and_is_due_never(shop):
    await shop.put("job-1")
    await shop.pause("default")
    hand = shop.hand("w1")
    answer = await hand.claim_again(1, 1)
    assert (answer.leases, answer.next_due) == ([], None)
    await shop.resume("default")
    assert ids((await hand.claim_again(1, 2)).leases) == ["job-1"]


async def test_dead_workers_jobs_are_taken_back_from_a_paused_queue_too(shop):
    await claimed(shop, "job-1")
    await shop.pause("default")
    await shop.advance(LEASE_MS + 1)
    await shop.hand("w2").claim()
    assert "default:active" not in await shop.traces("job-1")
    assert await shop.score("job-1") == START


async def test_a_dead_workers_job_is_leased_by_the_claim_that_takes_it_back(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    [lease] = await shop.hand("w2").claim()
    assert (lease.id, lease.attempt, lease.due) == ("job-1", 2, START)
    [record] = await shop.records()
    assert b'"default"' in record["job-1"]


async def test_a_claim_tells_which_runs_it_found_lost(shop):
    await claimed(shop, "a", "b")
    await shop.advance(LEASE_MS + 1)
    hand = shop.hand("w2")
    assert (await hand.claim_again(1, 1)).lost == ["a", "b"]
    assert (await hand.claim_again(1, 2)).lost == []


async def test_shards_know_nothing_of_each_other(shop, redis):
    await shop.put("job-1")
    other = Jobs(redis, shard="other")
    await other.enqueue("client", 1, [a_job("job-2")])
    assert await other.looks.queues() == ["default"]
    assert await shop.redis.zrange("jobsd:{other}:default", 0, -1) == [b"job-2"]
    assert ids(await shop.hand("w1").claim()) == ["job-1"]


async def test_a_claim_from_no_queue_is_answered_with_nothing(shop):
    answer = await shop.jobs.claim("w1", 1, [], slots=10, lease_ms=LEASE_MS, max_losses=3, records=True)
    assert (answer.leases, answer.next_due) == ([], None)


async def test_a_side_that_nobody_can_read_is_as_good_as_none(shop):
    await shop.put("job-1")
    await shop.redis.hset("jobsd:{main}:default:side", "job-1", "not json")
    [lease] = await shop.hand("w1").claim()
    assert (lease.attempt, noted(lease.side)) == (1, {})


async def test_what_is_written_of_a_worker_ends_by_itself_even_if_it_is_never_heard_of_again(shop):
    await shop.hand("w1").claim()
    assert 0 < await shop.redis.pttl("jobsd:{main}::worker:w1") <= 3_600_000
