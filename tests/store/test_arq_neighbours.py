"""What stock arq clients and workers write beside us: scores, TTLs, marks and payloads that are not ours."""

from __future__ import annotations

import pickle

import pytest

from tests.store.shop import LEASE_MS, START, a_job, an_ending, claimed, completed, ids

PICKLED = pickle.dumps({"t": None, "f": "email:send", "a": (), "k": {}, "et": START})
DAY_MS = 86_400_000


async def enqueue_as_arq(redis, job_id: str, queue: str = "arq:queue") -> None:
    await redis.psetex(f"arq:job:{job_id}", DAY_MS, PICKLED)
    await redis.zadd(queue, {job_id: START})


async def abort_as_arq(redis, job_id: str, queue: str) -> None:
    await redis.zadd(queue, {job_id: 1})
    await redis.zadd("arq:abort", {job_id: START})


async def test_a_lease_whose_score_an_arq_client_changed_is_not_claimed_again(shop):
    hand, [lease] = await claimed(shop, "job-1")
    held = await shop.traces("job-1")
    await abort_as_arq(shop.redis, "job-1", "jobsd:{main}:default")
    assert await shop.hand("w2").claim() == []
    await shop.redis.delete("arq:abort")
    assert await shop.traces("job-1") == held
    assert await hand.extend() == []
    assert await hand.finish(completed(lease)) == [True]


async def test_the_jobs_behind_it_are_not_held_up(shop):
    await claimed(shop, "job-1")
    await abort_as_arq(shop.redis, "job-1", "jobsd:{main}:default")
    await shop.put("job-2")
    assert ids(await shop.hand("w2").claim(1)) == ["job-2"]


async def test_more_changed_scores_than_slots_do_not_hide_the_jobs_behind_them(shop):
    names = [f"job-{n:02}" for n in range(30)]
    await claimed(shop, *names)
    await shop.redis.zadd("jobsd:{main}:default", dict.fromkeys(names, 1))
    await shop.put("next")
    assert ids(await shop.hand("w2").claim(1)) == ["next"]


async def test_an_expired_lease_waits_for_its_recovery_whatever_its_score(shop):
    await claimed(shop, "job-1")
    await shop.jump(LEASE_MS + 1)  # everybody was silent: nothing is recovered for a lease
    await abort_as_arq(shop.redis, "job-1", "jobsd:{main}:default")
    assert await shop.hand("w2").claim() == []
    assert await shop.score("job-1") == shop.now + 1000


async def test_an_aborted_job_that_waits_is_handed_out_at_once(shop):
    await shop.put("job-1", when="+60000")
    await abort_as_arq(shop.redis, "job-1", "jobsd:{main}:default")
    [lease] = await shop.hand("w1").claim()
    assert (lease.id, lease.due) == ("job-1", 1)


async def test_a_mark_with_a_ttl_and_no_lease_is_another_systems_and_is_left_alone(shop):
    await shop.put("job-1")
    await shop.redis.psetex("arq:in-progress:job-1", 310_000, b"1")
    assert await shop.hand("w1").claim() == []
    assert await shop.redis.get("arq:in-progress:job-1") == b"1"
    assert "default:active" not in await shop.traces("job-1")
    assert START + 300_000 < await shop.score("job-1") <= START + 310_000


async def test_it_is_claimed_when_the_other_system_has_let_it_go(shop):
    await shop.put("job-1")
    await shop.redis.psetex("arq:in-progress:job-1", 310_000, b"1")
    hand = shop.hand("w1")
    await hand.claim()
    await shop.redis.delete("arq:in-progress:job-1")
    await shop.advance(310_000)
    assert ids(await hand.claim()) == ["job-1"]


async def test_a_mark_without_ttl_and_without_lease_is_nobodys_and_holds_nothing_up(shop):
    await shop.put("job-1")
    await shop.redis.set("arq:in-progress:job-1", "w0:1:1:1:1:1")
    [lease] = await shop.hand("w1").claim()
    assert await shop.redis.get("arq:in-progress:job-1") == lease.mark.encode()


async def test_the_payload_of_an_arq_client_does_not_expire_once_it_is_claimed(shop):
    await enqueue_as_arq(shop.redis, "job-1")
    [lease] = await shop.hand("w1").claim(1, **{"arq:queue": 1})
    assert lease.payload == PICKLED
    assert await shop.redis.ttl("arq:job:job-1") == -1


async def test_the_payloads_of_waiting_arq_jobs_do_not_expire_once_they_are_adopted(shop):
    for n in range(1200):
        await enqueue_as_arq(shop.redis, f"job-{n}")
    cursor, calls = await shop.jobs.adopt("arq:queue", "0"), 1
    while cursor != "0":
        cursor, calls = await shop.jobs.adopt("arq:queue", cursor), calls + 1
    assert calls > 1
    assert {await shop.redis.ttl(f"arq:job:job-{n}") for n in range(1200)} == {-1}


async def test_an_arq_job_goes_its_whole_way_and_leaves_its_result(shop):
    await enqueue_as_arq(shop.redis, "job-1")
    hand = shop.hand("w1")
    [lease] = await hand.claim(1, **{"arq:queue": 1})
    assert await hand.finish(completed(lease)._replace(result=b"pickled")) == [True]
    assert (await shop.traces("job-1")).keys() == {"arq:result:job-1", "arq:queue:completed"}


async def test_an_arq_job_that_was_lost_is_recorded_with_its_payload_as_it_was(shop):
    await enqueue_as_arq(shop.redis, "job-1")
    await shop.hand("w1").claim(1, **{"arq:queue": 1})
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover("arq:queue") == ["job-1"]
    [record] = await shop.records()
    assert record["job-1"].endswith(b"\n" + PICKLED)


@pytest.mark.parametrize("score", [START - 0.75, float("-inf"), -5])
async def test_a_due_time_that_is_no_whole_number_since_1970_is_made_one(shop, score):
    await shop.put("job-1")
    await shop.redis.zadd("jobsd:{main}:default", {"job-1": score})
    await shop.jobs.adopt("default", "0")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert lease.due == (START - 1 if score > 0 else 0)
    assert await hand.extend() == []
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == ["job-1"]
    assert await shop.score("job-1") == lease.due


async def test_an_id_that_is_no_text_goes_its_whole_way(shop):
    await shop.redis.zadd("jobsd:{main}:default", {b"\xff\xfe": START})
    await shop.redis.set(b"arq:job:\xff\xfe", PICKLED)
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert lease.payload == PICKLED
    assert await hand.extend() == []
    assert await hand.finish(an_ending(lease, "D")) == [True]
    assert not await shop.redis.exists(b"arq:job:\xff\xfe", "jobsd:{main}:default", "jobsd:{main}:default:active")


async def test_an_id_that_an_arq_client_uses_is_refused(shop):
    await enqueue_as_arq(shop.redis, "waits")
    await shop.redis.psetex("arq:result:ended", DAY_MS, PICKLED)
    assert await shop.enqueue([a_job("waits"), a_job("ended")]) == [False, False]
