"""A claim whose answer was lost is sent again under its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobsd.store.jobs import Lease
from tests.store.shop import LEASE_MS, START, completed, ids

if TYPE_CHECKING:
    from jobsd.store.jobs import Claimed


def facts(claimed: Claimed) -> list[tuple[object, ...]]:
    """Return all that leases say, but when they were told."""
    names = [name for name in Lease.__slots__ if name != "answered_at"]
    return [tuple(getattr(lease, name) for name in names) for lease in claimed.leases]


async def test_it_is_answered_with_the_same_leases(shop):
    await shop.put("c", "a", "b")
    await shop.put("d", queue="low")
    hand = shop.hand("w1")
    first = await hand.claim_again(10, 1, default=5, low=5)
    await shop.jump(2000)
    again = await hand.claim_again(10, 1, default=5, low=5)
    assert ids(again.leases) == ["a", "b", "c", "d"]
    assert facts(again) == facts(first)
    assert {lease.started_at for lease in again.leases} == {START}


async def test_it_is_told_the_time_that_it_is_by_now(shop):
    await shop.put("now")
    await shop.put("later", when="+9000")
    hand = shop.hand("w1")
    await hand.claim_again(10, 1)
    await shop.jump(2000)
    again = await hand.claim_again(10, 1)
    assert (again.now, again.look_at, again.leases[0].answered_at) == (START + 2000, START + 9000, START + 2000)


async def test_it_changes_nothing_and_takes_nothing_more(shop):
    await shop.put("a", "b", "c")
    hand = shop.hand("w1")
    await hand.claim(2)
    before = await shop.everything()
    assert ids((await hand.claim_again(10)).leases) == ["a", "b"]
    assert await shop.everything() == before


async def test_attempts_and_due_times_are_those_of_the_first_answer(shop):
    await shop.put("job-1", when=f"{START - 5}")
    await shop.hand("w1").claim()
    await shop.advance(LEASE_MS + 1)
    other = shop.hand("w2")
    first = await other.claim_again(1, 1)
    again = await other.claim_again(1, 1)
    assert facts(again) == facts(first)
    assert (again.leases[0].attempt, again.leases[0].due) == (2, START - 5)


async def test_a_lease_that_has_ended_meanwhile_is_left_out_and_the_others_keep_their_marks(shop):
    await shop.put("a", "b", "c")
    hand = shop.hand("w1")
    a, b, c = await hand.claim()
    await hand.finish(completed(b))
    assert [lease.mark for lease in (await hand.claim_again()).leases] == [a.mark, c.mark]


async def test_the_order_of_the_queues_may_be_another(shop):
    await shop.put("a", queue="high")
    await shop.put("b", queue="low")
    hand = shop.hand("w1")
    first = await hand.claim_again(2, 1, high=1, low=1)
    again = await hand.claim_again(2, 1, low=1, high=1)
    assert facts(again) == facts(first)


async def test_an_older_number_gets_nothing_and_changes_nothing(shop):
    await shop.put("a", "b")
    hand = shop.hand("w1")
    await hand.claim(1)
    await hand.claim(0)
    before = await shop.everything()
    answer = await hand.claim_again(10, 1)
    assert (answer.leases, answer.next_due) == ([], None)
    assert await shop.everything() == before


async def test_a_new_number_takes_new_jobs(shop):
    await shop.put("a", "b")
    hand = shop.hand("w1")
    assert ids(await hand.claim(1)) == ["a"]
    assert ids(await hand.claim(1)) == ["b"]


@pytest.mark.parametrize(("one", "other"), [("w1", "w2"), ("w", "w1")])
async def test_the_number_is_the_workers_own(shop, one, other):
    await shop.put("a", "b")
    hands = shop.hand(one), shop.hand(other)
    for hand in hands:
        await hand.claim(1)
    assert [ids((await hand.claim_again()).leases) for hand in hands] == [["a"], ["b"]]


async def test_500_leases_are_found_again(shop):
    await shop.put(*(f"job-{n:03}" for n in range(500)))
    hand = shop.hand("w1")
    first = await hand.claim(500)
    again = await hand.claim_again(500)
    assert [lease.mark for lease in again.leases] == [lease.mark for lease in first]


async def test_leases_that_were_taken_back_meanwhile_are_not_given_again(shop):
    await shop.put("job-1")
    hand = shop.hand("w1")
    await hand.claim()
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert (await hand.claim_again()).leases == []


async def test_it_tells_the_next_due_time_too(shop):
    await shop.put("a")
    await shop.put("b", when="+37")
    hand = shop.hand("w1")
    answers = [await hand.claim_again(10, 1) for _ in range(2)]
    assert [answer.next_due for answer in answers] == [START + 37, START + 37]


async def test_a_repeated_call_that_finds_more_due_jobs_says_so(shop):
    await shop.put("a", "b")
    hand = shop.hand("w1")
    answers = [await hand.claim_again(1, 1) for _ in range(2)]
    assert [answer.next_due for answer in answers] == [START, START]


async def test_a_copy_of_a_claim_that_arrives_after_its_worker_signed_off_gets_nothing(shop):
    hand = shop.hand("w1")
    await hand.claim()
    await hand.extend()
    await shop.put("job-1")
    await shop.jobs.sign_off("w1")
    assert ids((await hand.claim_again()).leases) == []
    assert await shop.redis.ttl("jobsd:{main}::worker:w1") != -1
