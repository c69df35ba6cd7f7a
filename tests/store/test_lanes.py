"""Limit keys: a line for each key of a queue, which take turns, and a limit for each."""

from __future__ import annotations

import pytest

from tests.store.shift import Shift, fullest
from tests.store.shop import (
    LEASE_MS,
    START,
    Shop,
    a_limited_job,
    an_ending,
    archived,
    completed,
    ids,
)

ONE_A_KEY = ":::1::||"
TWO_IN_10_S = "::::2:10000||"
BASE = "jobsd:{main}:default"
LANES = ("default:turns", "default:closed", "default:held", "default:lane")


async def hands(shop: Shop, *names: str):
    found = [shop.hand(name) for name in names]
    for hand in found:
        await hand.extend()
    return found


async def next_ids(hand, claims: int, slots: int = 1) -> list[str]:
    """Claim so often, and end what came; return its ids in their order."""
    found = []
    for _ in range(claims):
        leases = await hand.claim(slots)
        found += ids(leases)
        await hand.finish(*map(completed, leases))
    return found


async def lanes_left(shop: Shop) -> set[str]:
    return {key for key in await shop.keys() if key.startswith(LANES)}


# --- turns ----------------------------------------------------------------------------------------


async def test_keys_take_turns_one_job_a_turn(shop):
    await shop.put_limited("k=z", "z1", "z2", "z3")
    await shop.put_limited("k=b", "b1", "b2")
    await shop.put_limited("k=c", "c1")
    [hand] = await hands(shop, "w1")
    assert await next_ids(hand, 12) == ["z1", "b1", "c1", "z2", "b2", "z3"]


async def test_jobs_without_a_key_have_a_turn_as_if_they_were_one_key(shop):
    await shop.put(*(f"plain-{n}" for n in range(30)))
    for key in "abcd":
        await shop.put_limited(f"k={key}", *(f"{key}{n}" for n in range(30)))
    [hand] = await hands(shop, "w1")
    first = [job_id[0] for job_id in await next_ids(hand, 20)]
    assert {key: first.count(key) for key in "pabcd"} == dict.fromkeys("pabcd", 4)


async def test_one_claim_of_many_slots_is_shared_by_all_keys_and_leaves_no_slot_unused(shop):
    await shop.put(*(f"plain-{n}" for n in range(30)))
    await shop.put_limited("k=a", *(f"a{n:02}" for n in range(30)))
    await shop.put_limited("k=b", *(f"b{n:02}" for n in range(3)))
    [hand] = await hands(shop, "w1")
    first = [job_id[0] for job_id in await next_ids(hand, 1, 12)]
    assert (len(first), first.count("b")) == (12, 3)
    assert min(first.count("a"), first.count("p")) >= 4
    assert len(await next_ids(hand, 10, 12)) == 63 - 12


async def test_a_key_with_a_thousand_jobs_in_front_does_not_hold_up_another_with_ten(shop):
    await shop.limit("default", ":::2::||")
    await shop.put_limited("k=a", *(f"a{n:03}" for n in range(1000)))
    await shop.put_limited("k=b", *(f"b{n}" for n in range(10)))
    [hand] = await hands(shop, "w1")
    order = await next_ids(hand, 5, 10)
    assert order[:4] == ["a000", "a001", "b0", "b1"]
    assert sum(job_id.startswith("b") for job_id in order) == 10


async def test_within_a_key_jobs_run_by_due_time_whatever_way_they_came(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "now")
    await shop.put_limited("k=a", "due-first", when=f"{START - 50}")
    await shop.put_limited("k=a", "later", when="+100")
    await shop.advance(100)
    [hand] = await hands(shop, "w1")
    assert await next_ids(hand, 3) == ["due-first", "now", "later"]


@pytest.mark.parametrize("claims", [1, 2, 3])
async def test_a_job_that_falls_due_is_leased_by_the_next_claim_however_many_turns_others_have(shop, claims):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    await shop.put_limited("k=b", "b1", when="+100")
    hand, other = await hands(shop, "w1", "w2")
    for _ in range(claims):
        await hand.claim(1)
    await shop.advance(100, hand, other)
    assert ids(await hand.claim(1)) == ["b1"]


async def test_six_hundred_keys_of_one_job_each_are_taken_in_as_few_claims_as_slots_allow(shop):
    await shop.enqueue([a_limited_job(f"job-{n:03}", f"k=tenant-{n}") for n in range(600)])
    [hand] = await hands(shop, "w1")
    assert [len(await hand.claim(500)) for _ in range(3)] == [500, 100, 0]


async def test_jobs_of_one_key_too_large_for_one_answer_come_in_several(shop):
    big = [a_limited_job(f"job-{n:02}", "k=a", args=("x" * 1_000_000,)) for n in range(12)]
    await shop.enqueue(big)
    [hand] = await hands(shop, "w1")
    answers = [len(await hand.claim(100)) for _ in range(4)]
    assert sum(answers) == 12
    assert max(answers) <= 5


async def test_a_job_whose_payload_is_gone_is_leased_all_the_same_and_holds_nothing(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "gone", "next")
    await shop.redis.delete("arq:job:gone")
    [hand] = await hands(shop, "w1")
    assert [(lease.id, lease.payload is None) for lease in await hand.claim()] == [("gone", True), ("next", False)]


async def test_a_start_that_counts_no_more_takes_no_lanes_turn(shop):
    await shop.limit("r=s", ":2:10000:::||")
    await shop.put_limited("r=s", "over")
    [hand] = await hands(shop, "w1")
    await hand.finish(*map(completed, await hand.claim()))
    await shop.advance(10_001, hand)
    for limits in ("k=a,r=s", "k=b,r=s", "k=c"):
        await shop.put_limited(limits, limits)
    assert ids(await hand.claim()) == ["k=a,r=s", "k=b,r=s", "k=c"]


# --- the limit of each key ------------------------------------------------------------------------


async def test_no_more_jobs_of_a_key_run_than_its_limit_whoever_claims(shop):
    await shop.limit("default", ":::2::||")
    await shop.put_limited("k=a", "a1", "a2", "a3")
    await shop.put_limited("k=b", "b1")
    first, second = await hands(shop, "w1", "w2")
    assert ids(await first.claim(1)) == ["a1"]
    assert sorted(ids(await second.claim())) == ["a2", "b1"]
    answer = await second.ask()
    assert (answer.leases, answer.look_at) == ([], START + LEASE_MS), "no sooner than a lease may run out"


@pytest.mark.parametrize(
    "ending",
    [
        completed,
        archived,
        lambda lease: an_ending(lease, "D"),
        lambda lease: an_ending(lease, "P", lease.due, "task:x"),
        lambda lease: an_ending(lease, "R", lease.due + 60_000, '{"n":1,"f":1}'),
        lambda lease: an_ending(lease, "Q", lease.due + 60_000),
        lambda lease: an_ending(lease, "L", lease.due + 60_000, "k=a,r=stripe"),
    ],
    ids=["completed", "archived", "removed", "parked", "retried", "requeued", "tagged"],
)
async def test_an_ending_opens_the_line_of_its_key_and_wakes_one_worker(shop, ending):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    first, second = await hands(shop, "w1", "w2")
    [lease] = await first.claim()
    await shop.tokens()
    await first.finish(ending(lease))
    assert await shop.tokens() == 1
    assert ids(await second.claim()) == ["a2"]


async def test_a_key_of_a_dead_worker_is_free_in_the_claim_that_takes_its_job_back(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    first, second = await hands(shop, "w1", "w2")
    await first.claim()
    await shop.advance(LEASE_MS + 1, second)
    [lease] = await second.claim()
    assert (lease.id, lease.attempt, lease.due) == ("a1", 2, START), "at its old place in its line"


async def test_a_key_of_a_dead_worker_that_a_recovery_frees_wakes_a_worker(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    first, second = await hands(shop, "w1", "w2")
    await first.claim()
    await shop.advance(LEASE_MS + 1, second)
    await shop.tokens()
    assert await shop.recover() == ["a1"]
    assert await shop.tokens() == 1
    assert await next_ids(second, 2) == ["a1", "a2"]


async def test_a_retry_that_falls_due_waits_in_the_line_of_its_key(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1")
    first, second = await hands(shop, "w1", "w2")
    [lease] = await first.claim()
    await first.finish(an_ending(lease, "R", START + 1000, '{"n":1,"f":1}'))
    await shop.put_limited("k=a", "a2")
    [running] = await first.claim()
    await shop.advance(1000, first, second)
    assert await second.claim() == []
    assert "default:retry" not in await shop.traces("a1")
    await first.finish(completed(running))
    [again] = await second.claim()
    assert (again.id, again.attempt, again.due) == ("a1", 2, START + 1000)


async def test_a_full_key_holds_up_neither_other_keys_nor_jobs_without_one(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", *(f"a{n}" for n in range(50)))
    await shop.put("plain-1", "plain-2")
    await shop.put_limited("k=b", "b1")
    [hand] = await hands(shop, "w1")
    assert sorted(ids(await hand.claim())) == ["a0", "b1", "plain-1", "plain-2"]


async def test_the_rate_of_a_key_opens_a_millisecond_after_its_window(shop):
    await shop.limit("default", TWO_IN_10_S)
    await shop.put_limited("k=a", *(f"a{n}" for n in range(5)))
    first, second = await hands(shop, "w1", "w2")
    assert len((await first.ask()).leases) == 2
    await shop.advance(10_000, first, second)
    assert await second.claim() == []
    await shop.jump(1)
    assert len(await second.claim()) == 2


async def test_of_all_workers_one_is_told_when_the_next_key_opens(shop):
    await shop.limit("default", TWO_IN_10_S)
    first, second = await hands(shop, "w1", "w2")
    await shop.put_limited("k=a", *(f"a{n}" for n in range(5)))
    answer = await first.ask()
    await first.finish(*map(completed, answer.leases))
    await shop.advance(3000, first, second)
    await shop.put_limited("k=b", *(f"b{n}" for n in range(5)))
    assert len(await second.claim()) == 2
    assert [(await hand.ask()).look_at for hand in (second, first)] == [None, START + 10_001]


async def test_rates_of_many_keys_are_never_exceeded_and_used_to_the_full_by_no_more_claims_than_it_takes(shop):
    await shop.limit("default", TWO_IN_10_S)
    for key in "abc":
        await shop.put_limited(f"k={key}", *(f"{key}{n:02}" for n in range(30)))
    shift = await Shift(shop, [shop.hand(f"s{n}") for n in range(3)]).work(60_000)
    for key in "abc":
        starts = [at for at, job_id in shift.starts if job_id.startswith(key)]
        assert (fullest(starts, 10_000), len(starts)) == (2, 12)
    assert shift.vain <= 20


@pytest.mark.parametrize("text", [":::3::||", ":::::||"])
async def test_a_limit_of_keys_that_is_raised_or_taken_away_opens_their_lines(shop, text):
    await shop.limit("default", ONE_A_KEY)
    for key in "abc":
        await shop.put_limited(f"k={key}", f"{key}1", f"{key}2")
    [hand] = await hands(shop, "w1")
    assert len(await hand.claim()) == 3
    await shop.tokens()
    await shop.limit("default", text)
    assert await shop.tokens() == 1
    assert sorted(ids(await hand.claim())) == ["a2", "b2", "c2"]


async def test_a_limit_of_keys_lowered_below_what_runs_holds_until_fewer_run(shop):
    await shop.put_limited("k=a", *(f"a{n}" for n in range(6)))
    first, second = await hands(shop, "w1", "w2")
    leases = await first.claim(4)
    await shop.limit("default", ":::2::||")
    for lease in leases[:2]:
        assert await second.claim() == []
        await first.finish(completed(lease))
    assert await second.claim() == []
    await first.finish(completed(leases[2]))
    assert ids(await second.claim()) == ["a4"]


async def test_nothing_is_left_of_a_line_whose_jobs_have_ended(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    await shop.put_limited("k=b", "b1")
    [hand] = await hands(shop, "w1")
    assert sorted(await next_ids(hand, 4)) == ["a1", "a2", "b1"]
    assert await lanes_left(shop) == set()


# --- starts that are given back -------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        lambda lease: an_ending(lease, "P", lease.due, "room"),
        lambda lease: an_ending(lease, "Q", lease.due + 60_000),
        lambda lease: an_ending(lease, "L", lease.due + 60_000, "k=a,r=stripe"),
    ],
    ids=["parked", "requeued", "tagged"],
)
async def test_a_job_that_has_not_begun_gives_its_start_back_to_its_key_and_wakes_a_worker(shop, ending):
    await shop.limit("default", TWO_IN_10_S)
    await shop.put_limited("k=a", *(f"a{n}" for n in range(5)))
    first, second = await hands(shop, "w1", "w2")
    [lease, _] = await first.claim()
    await shop.tokens()
    await first.finish(ending(lease))
    assert await shop.tokens() == 1
    assert ids(await second.claim()) == ["a2"]
    assert (await second.ask()).next_due == START + 10_001


async def test_a_start_that_is_given_back_opens_no_line_of_another_key(shop):
    await shop.limit("default", "::::1:10000||")
    for key in "ab":
        await shop.put_limited(f"k={key}", f"{key}1", f"{key}2")
    first, second = await hands(shop, "w1", "w2")
    await first.claim()
    [a1] = [lease for lease in first.held if lease.id == "a1"]
    await first.finish(an_ending(a1, "P", a1.due, "room"))
    closed = await shop.redis.zrange(f"{BASE}:closed", 0, -1)
    assert (closed, ids(await second.claim())) == ([b"k=b"], ["a2"])


async def test_each_of_three_hundred_keys_has_its_own_line_opened_by_the_start_it_is_given_back(shop):
    await shop.limit("default", "::::1:10000||")
    jobs = [a_limited_job(f"job-{n:03}-{turn}", f"k=tenant-{n:03}") for turn in (1, 2) for n in range(300)]
    await shop.enqueue(jobs)
    first, second = await hands(shop, "w1", "w2")
    leases = await first.claim(500)
    await first.finish(*(an_ending(lease, "P", lease.due, "room") for lease in leases))
    assert (len(leases), len(await second.claim(500))) == (300, 300)
