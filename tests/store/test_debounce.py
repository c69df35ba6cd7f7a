"""Debounced calls: the last one wins, under the id of the first, when no other has come for a time."""

from __future__ import annotations

import json

import pytest

from jobsd.store.jobs import Holder
from tests.store.shop import START, Shop, a_limited_job, an_ending, completed, ids

DIGEST, OTHER = "0123456789abcdef01234567", "fedcba9876543210fedcba98"
OPEN = f":open:{DIGEST}"


async def call(
    shop: Shop, job_id: str, *, digest: str = DIGEST, more: str = "", ms: int = 2000, queue: str = "default"
):
    job = a_limited_job(job_id, f"{more}o={digest}", rule=f"d={ms}", args=(job_id,), queue=queue)
    [answer] = await shop.enqueue([job])
    return answer


async def says(shop: Shop, job_id: str):
    return json.loads(await shop.redis.get(f"arq:job:{job_id}"))["a"]


async def test_the_first_call_is_due_when_its_time_is_over(shop):
    assert await call(shop, "first") is True
    assert await shop.score("first") == START + 2000


async def test_a_further_call_replaces_the_one_that_waits_and_begins_its_time_anew(shop):
    await call(shop, "first")
    await shop.advance(1500)
    assert await call(shop, "second") == Holder("default", "first", joined=True)
    assert await says(shop, "first") == ["second"]
    assert await shop.score("first") == START + 3500
    assert await shop.traces("second") == {}


async def test_calls_of_another_key_are_another_job(shop):
    await call(shop, "first")
    assert await call(shop, "second", digest=OTHER) is True
    assert await says(shop, "first") == ["first"]


async def test_several_calls_in_one_batch_are_one_job_with_the_arguments_of_the_last(shop):
    jobs = [a_limited_job(str(n), f"o={DIGEST}", rule="d=2000", args=(n,)) for n in range(3)]
    joined = Holder("default", "0", joined=True)
    assert await shop.enqueue(jobs) == [True, joined, joined]
    assert await says(shop, "0") == [2]


async def test_a_call_after_the_job_was_claimed_is_a_new_job(shop):
    await call(shop, "first")
    await shop.advance(2000)
    assert ids(await shop.hand("w1").claim()) == ["first"]
    assert await call(shop, "second") is True
    assert await says(shop, "first") == ["first"]


async def test_a_retry_takes_no_calls_in(shop):
    await call(shop, "first")
    await shop.advance(2000)
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(an_ending(lease, "R", shop.now + 5000, '{"n":1,"f":1}'))
    assert await call(shop, "second", ms=60_000) is True
    assert await says(shop, "first") == ["first"]
    await shop.advance(5000, hand)
    assert ids(await hand.claim()) == ["first"]
    assert await call(shop, "third") == Holder("default", "second", joined=True), "it runs, and ends no other's time"


async def test_a_job_that_another_system_runs_takes_no_calls_in(shop):
    await call(shop, "first")
    await shop.redis.set("arq:in-progress:first", "1", px=60_000)
    assert await call(shop, "second") is True
    assert await says(shop, "first") == ["first"]


async def test_a_job_that_was_taken_back_takes_no_calls_in(shop):
    await call(shop, "first")
    await shop.advance(2000)
    await shop.hand("w1").claim()
    await shop.advance(15_001)
    assert await call(shop, "second") is True, "its lease has run out, and nobody has noticed yet"
    await shop.recover()
    assert await call(shop, "third") == Holder("default", "second", joined=True)


async def test_a_job_that_is_due_and_waits_for_a_worker_is_replaced_and_waits_anew(shop):
    await call(shop, "first")
    await shop.advance(5000)
    assert await call(shop, "second") == Holder("default", "first", joined=True)
    assert await shop.score("first") == shop.now + 2000
    assert await shop.hand("w1").claim() == []


async def test_a_job_that_waits_for_its_turn_is_replaced_and_leaves_its_line(shop):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "holder")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await call(shop, "first", more="k=a,")
    await shop.advance(2000, hand)
    assert await hand.claim() == []
    assert await call(shop, "second", more="k=b,") == Holder("default", "first", joined=True)
    await hand.finish(completed(lease))
    assert await hand.claim() == []
    await shop.advance(2000, hand)
    [replaced] = await hand.claim()
    assert (replaced.id, replaced.due, replaced.mark.endswith(f":k=b,o={DIGEST}")) == ("first", shop.now, True)


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
async def test_a_job_that_is_gone_takes_no_calls_in(shop, how):
    await call(shop, "first")
    if how == "cancelled":
        await shop.jobs.cancel("default", "first")
        assert OPEN not in await shop.keys()
    else:
        await shop.redis.zrem("jobsd:{main}:default", "first")
    assert await call(shop, "second") is True


async def test_a_call_for_another_queue_joins_the_job_where_it_waits(shop):
    await call(shop, "first", queue="high")
    assert await call(shop, "second", queue="low") == Holder("high", "first", joined=True)
    assert await shop.redis.zcard("jobsd:{main}:low") == 0


async def test_a_lost_answer_is_told_again_and_does_not_begin_the_time_anew(shop):
    await call(shop, "first")
    job = a_limited_job("second", f"o={DIGEST}", rule="d=2000")
    answer = await shop.enqueue([job])
    before = await shop.everything()
    await shop.advance(1000)
    assert await shop.enqueue_again([job]) == answer == [Holder("default", "first", joined=True)]
    assert (await shop.everything())["default"] == before["default"]


async def test_a_first_call_wakes_a_worker_to_learn_its_time_and_it_learns_the_new_time_when_that_has_come(shop):
    await call(shop, "first")
    assert await shop.tokens() == 1
    hand = shop.hand("w1")
    await hand.extend()
    assert (await hand.ask()).look_at == START + 2000
    await shop.advance(1000, hand)
    await call(shop, "second")
    assert await shop.tokens() == 0, "it comes sooner than the job"
    await shop.advance(1000, hand)
    assert (await hand.ask()).look_at == START + 3000


async def test_nothing_is_left_when_the_job_has_ended(shop):
    await call(shop, "first")
    await shop.advance(2000)
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert OPEN not in await shop.keys()
    await hand.finish(an_ending(lease, "D"))
    assert await shop.traces("first") == {}
