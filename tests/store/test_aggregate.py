"""Aggregated calls: one job gets the lists of many, each item once, in the order of the calls."""

from __future__ import annotations

import json

import pytest

from jobsd.store.jobs import Holder
from tests.store.shop import LEASE_MS, START, Shop, a_limited_job, an_ending, completed, ids

DIGEST, OTHER = "0123456789abcdef01234567", "fedcba9876543210fedcba98"
OPEN = f":open:{DIGEST}"
MIB = 1024 * 1024


def a_call(job_id: str, items: list, *, digest: str = DIGEST, more: str = "", queue: str = "default", **how: int):
    """Return a call: a grace of 2 s, at the latest after 10 s, 5 items."""
    grace, delay, most, limit = (
        how.get(*one) for one in (("grace", 2000), ("delay", 10_000), ("most", 5), ("limit", MIB))
    )
    rule = f"a={grace}/{delay}/{most}/{len(items)}/{limit}"
    return a_limited_job(job_id, f"{more}o={digest}", rule=rule, args=(items,), queue=queue)


async def call(shop: Shop, job_id: str, items: list, **how):
    [answer] = await shop.enqueue([a_call(job_id, items, **how)])
    return answer


async def items_of(shop: Shop, job_id: str) -> list:
    """Return what the job is called with; its payload is whole, and has no other argument."""
    payload = json.loads(await shop.redis.get(f"arq:job:{job_id}"))
    [items] = payload["a"]
    assert payload["k"] == {}
    return items


JOINED = Holder("default", "first", joined=True)


async def test_the_first_call_is_due_after_its_grace(shop):
    assert await call(shop, "first", [1, 2]) is True
    assert await shop.score("first") == START + 2000


async def test_further_calls_add_their_items_and_begin_the_grace_anew(shop):
    await call(shop, "first", [1, 2])
    await shop.advance(1500)
    assert await call(shop, "second", [3]) == JOINED
    assert await items_of(shop, "first") == [1, 2, 3]
    assert await shop.score("first") == START + 3500
    assert await shop.traces("second") == {}


async def test_whatever_json_has_is_an_item(shop):
    given = [[[]], {"a": [[1]]}, '"a":[[', "]]}", None, 'ü\u0000"\\', 1.5, []]
    await call(shop, "first", given[:3], most=100)
    await call(shop, "second", given[3:], most=100)
    assert await items_of(shop, "first") == given


async def test_calls_that_go_on_coming_put_the_job_off_until_its_longest_delay_at_the_most(shop):
    await call(shop, "first", [0], most=100)
    for n in range(1, 10):
        await shop.advance(1000)
        assert await call(shop, str(n), [n], most=100) == JOINED
        assert await shop.score("first") == min(shop.now + 2000, START + 10_000)
    await shop.advance(1000)
    [lease] = await shop.hand("w1").claim()
    assert (lease.due, len(await items_of(shop, "first"))) == (START + 10_000, 10)


async def test_a_list_that_is_full_is_due_at_once_and_takes_no_more_calls_in(shop):
    await call(shop, "first", [1, 2])
    await shop.tokens()
    assert await call(shop, "second", [3, 4, 5]) == JOINED
    assert (await shop.score("first"), await shop.tokens()) == (START, 1)
    assert await call(shop, "third", [6]) is True
    assert (await items_of(shop, "first"), await items_of(shop, "third")) == ([1, 2, 3, 4, 5], [6])


async def test_a_call_for_which_there_is_no_room_is_the_next_job_and_the_one_before_is_due_at_once(shop):
    await call(shop, "first", [1, 2, 3, 4])
    assert await call(shop, "second", [5, 6]) is True
    assert (await items_of(shop, "first"), await items_of(shop, "second")) == ([1, 2, 3, 4], [5, 6])
    assert (await shop.score("first"), await shop.score("second")) == (START, START + 2000)
    assert await call(shop, "third", [7]) == Holder("default", "second", joined=True)


async def test_a_call_that_fills_a_list_by_itself_is_due_at_once(shop):
    assert await call(shop, "first", [1, 2, 3, 4, 5]) is True
    assert await shop.score("first") == START
    assert OPEN not in await shop.keys()


async def test_a_call_that_would_make_the_payload_too_large_is_the_next_job(shop):
    await call(shop, "first", ["x" * 500], most=100)
    size = await shop.redis.strlen("arq:job:first")
    item = "y" * 99
    assert await call(shop, "second", [item], most=100, limit=size + 102) == JOINED, (
        "comma, quotes and item fit exactly"
    )
    assert await call(shop, "third", [item], most=100, limit=size + 203) is True
    assert len(await items_of(shop, "first")) == 2
    assert await shop.score("first") == START


async def test_a_call_after_the_job_was_claimed_is_a_new_job(shop):
    await call(shop, "first", [1])
    await shop.advance(2000)
    [lease] = await shop.hand("w1").claim()
    assert await call(shop, "second", [2]) is True
    assert (json.loads(lease.payload)["a"], await items_of(shop, "first")) == ([[1]], [1])


async def test_neither_a_retry_nor_a_job_that_was_taken_back_takes_calls_in(shop):
    await call(shop, "first", [1])
    await shop.advance(2000)
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(an_ending(lease, "R", shop.now + 60_000, '{"n":1,"f":1}'))
    assert await call(shop, "second", [2]) is True
    await shop.advance(2000)
    await hand.claim()
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert await call(shop, "third", [3]) is True
    assert [await items_of(shop, job_id) for job_id in ("first", "second", "third")] == [[1], [2], [3]]


async def test_a_job_that_is_due_and_waits_takes_calls_in_at_its_time(shop):
    await call(shop, "first", [1])
    await shop.advance(5000)
    assert await call(shop, "second", [2]) == JOINED
    assert await shop.score("first") == START + 2000
    assert await items_of(shop, "first") == [1, 2]


async def test_a_job_that_waits_for_its_turn_takes_calls_in_and_keeps_its_place(shop):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "holder")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await call(shop, "first", [1], more="k=a,")
    await shop.advance(2001, hand)
    await shop.put_limited("k=a", "behind")
    assert await hand.claim() == []
    assert await call(shop, "second", [2, 3], more="k=a,") == JOINED
    assert await call(shop, "third", [4, 5], more="k=a,") == JOINED
    assert await call(shop, "fourth", [6], more="k=a,") is True
    await hand.finish(completed(lease))
    [full] = await hand.claim()
    assert (full.id, json.loads(full.payload)["a"]) == ("first", [[1, 2, 3, 4, 5]])


async def test_a_full_list_waits_for_its_turn_too(shop):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "holder")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await call(shop, "first", [1, 2], more="k=a,")
    await call(shop, "second", [3, 4, 5], more="k=a,")
    assert await hand.claim() == []
    await hand.finish(completed(lease))
    assert ids(await hand.claim()) == ["first"]


async def test_several_calls_in_one_batch_go_into_as_many_jobs_as_they_need(shop):
    answers = await shop.enqueue([a_call(str(n), [n, n]) for n in range(5)])
    assert [answer is True for answer in answers] == [True, False, True, False, True]
    assert [await items_of(shop, job_id) for job_id in ("0", "2", "4")] == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4]]
    assert [await shop.score(job_id) for job_id in ("0", "2", "4")] == [START, START, START + 2000]


async def test_a_lost_answer_is_told_again_and_adds_nothing(shop):
    await call(shop, "first", [1])
    jobs = [a_call("second", [2])]
    answer = await shop.enqueue(jobs)
    before = await shop.everything()
    assert await shop.enqueue_again(jobs) == answer == [JOINED]
    assert await shop.everything() == before


async def test_calls_of_another_key_are_another_job(shop):
    await call(shop, "first", [1])
    assert await call(shop, "second", [2], digest=OTHER) is True


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
async def test_a_job_that_is_gone_takes_no_calls_in(shop, how):
    await call(shop, "first", [1])
    if how == "cancelled":
        await shop.jobs.cancel("default", "first")
        assert OPEN not in await shop.keys()
    else:
        await shop.redis.zrem("jobsd:{main}:default", "first")
    assert await call(shop, "second", [2]) is True
    assert await items_of(shop, "second") == [2]


async def test_a_call_for_another_queue_joins_the_job_where_it_waits(shop):
    await call(shop, "first", [1], queue="high")
    assert await call(shop, "second", [2], queue="low") == Holder("high", "first", joined=True)


async def test_a_thousand_calls_are_jobs_with_every_item_once(shop):
    for start in range(0, 1000, 250):
        await shop.enqueue([a_call(f"job-{n:03}", [n, -n], most=97) for n in range(start, start + 250)])
    await shop.advance(2000)
    leases = await shop.hand("w1").claim(500)
    found = [item for lease in leases for item in json.loads(lease.payload)["a"][0]]
    assert sorted(found) == sorted([*range(1000), *(-n for n in range(1000))])
    assert len(leases) == -(-2000 // 96), "pairs: 96 of at most 97"
    assert OPEN not in await shop.keys()
