"""Jobs that wait in lines, and what else happens: other systems, operators, lost answers, full servers, odd clocks."""

from __future__ import annotations

import pytest

from tests.store.shift import Shift
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
BASE = "jobsd:{main}:default"


@pytest.fixture
async def line(shop):
    """w1 runs a job of key a; two more wait in its line."""
    await shop.limit("default", ONE_A_KEY)
    for n, job_id in enumerate(("runs", "next", "last")):
        await shop.put_limited("k=a", job_id, when=f"{START - 3 + n}")
    hand = shop.hand("w1")
    await hand.extend()
    assert ids(await hand.claim()) == ["runs"]
    await shop.tokens()
    return hand


async def end(hand) -> list[str]:
    """End what runs; return what is leased then."""
    await hand.finish(*map(completed, hand.held))
    return ids(await hand.claim())


async def abort(shop: Shop, job_id: str) -> None:
    """Do what arq's Job.abort does to a queue."""
    await shop.redis.zrem(BASE, job_id)
    await shop.redis.zadd(BASE, {job_id: 1})


# --- other systems --------------------------------------------------------------------------------


async def test_a_job_that_arqs_abort_made_due_is_the_first_of_its_line_and_leased_once(shop, line):
    await abort(shop, "last")
    assert await line.claim() == []
    assert [await end(line) for _ in range(4)] == [["last"], ["next"], [], []]


async def test_a_job_that_arqs_abort_made_due_when_its_line_had_its_turn_is_leased_once(shop, line):
    await line.finish(*map(completed, line.held))
    await abort(shop, "next")
    found = [ids(await line.claim())]
    found += [await end(line) for _ in range(3)]
    assert found == [["next"], ["last"], [], []]


async def test_a_job_that_another_system_runs_is_passed_over_and_comes_back(shop, line):
    await shop.redis.set("arq:in-progress:next", "1", px=60_000)
    assert await end(line) == ["last"]
    assert START + 58_000 < await shop.score("next") <= START + 60_000
    await shop.redis.delete("arq:in-progress:next")
    await line.finish(*map(completed, line.held))
    await shop.advance(60_000, line)
    assert ids(await line.claim()) == ["next"]


async def test_a_deleted_job_is_passed_over_and_leaves_nothing(shop, line):
    await shop.redis.zrem(BASE, "next")
    await shop.redis.delete("arq:job:next")
    shift = await Shift(shop, [line]).work(0)
    assert shift.order() == []
    await line.finish(*map(completed, line.held))
    shift = await Shift(shop, [line]).work(1000)
    assert shift.order() == ["last"]
    assert await shop.traces("next") == {}


async def test_an_id_that_is_used_again_while_its_first_job_lies_deleted_in_a_line_is_leased_once(shop, line):
    await shop.redis.zrem(BASE, "next")
    await shop.redis.delete("arq:job:next")
    await shop.put("next")
    other = shop.hand("w2")
    assert ids(await other.claim()) == ["next"]
    assert await end(line) in ([], ["last"])
    assert "next" not in ids(line.held)


async def test_a_mark_that_somebody_deleted_does_not_shut_its_line_for_ever(shop, line):
    await shop.redis.delete("arq:in-progress:runs")
    second = shop.hand("w2")
    await shop.advance(LEASE_MS + 1, second)
    assert ids(await second.claim()) == ["next"]
    assert [await end(second) for _ in range(2)] == [["last"], ["runs"]], "only the mark knew when it had been due"


# --- operators ------------------------------------------------------------------------------------


async def test_a_paused_queue_keeps_its_lines_and_goes_on_where_it_was(shop, line):
    await shop.jobs.pause("default", paused=True)
    await line.finish(*map(completed, line.held))
    await shop.tokens()
    answer = await line.ask()
    assert (answer.leases, answer.next_due) == ([], None)
    await shop.jobs.pause("default", paused=False)
    assert await shop.tokens() == 1
    assert ids(await line.claim()) == ["next"]


async def test_a_line_that_opens_by_time_while_its_queue_is_paused_is_open_when_it_is_resumed(shop):
    await shop.limit("default", "::::1:10000||")
    await shop.put_limited("k=a", "a1", "a2")
    hand = shop.hand("w1")
    await hand.claim()
    await shop.jobs.pause("default", paused=True)
    await shop.advance(30_000, hand)
    assert (await hand.ask()).next_due is None
    await shop.jobs.pause("default", paused=False)
    assert ids(await hand.claim()) == ["a2"]


async def test_a_raw_key_of_arq_has_lines_like_any_queue(shop):
    await shop.limit("arq:queue", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2", queue="arq:queue")
    hand = shop.hand("w1")
    [lease] = await hand.claim(5, **{"arq:queue": 5})
    assert await hand.claim(5, **{"arq:queue": 5}) == []
    await hand.finish(completed(lease))
    assert ids(await hand.claim(5, **{"arq:queue": 5})) == ["a2"]
    assert {key for key in await shop.keys() if "{" in key} == set()


# --- who is woken ---------------------------------------------------------------------------------


async def test_a_job_that_joins_a_line_without_room_wakes_nobody(shop, line):
    await shop.put_limited("k=a", "more")
    assert await shop.tokens() == 0
    assert "default:turns" not in await shop.keys()
    await shop.put_limited("k=b", "other")
    assert await shop.tokens() == 1
    assert ids(await line.claim()) == ["other"]


async def test_a_job_that_joins_an_open_line_wakes_a_worker_though_others_wait_there(shop):
    await shop.put_limited("k=a", "a1")
    await shop.tokens()
    await shop.put_limited("k=a", "a2")
    assert await shop.tokens() == 1


async def test_who_leaves_jobs_in_open_lines_behind_passes_a_token_on(shop):
    await shop.put_limited("k=a", "a1", "a2")
    await shop.tokens()
    await shop.hand("w1").claim(1)
    assert await shop.tokens() == 1


async def test_many_workers_at_one_busy_key_claim_little_more_than_its_jobs_need(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", *(f"job-{n:02}" for n in range(50)))
    shift = await Shift(shop, [shop.hand(f"s{n}") for n in range(5)], slots=2).work(4999)
    assert len(shift.starts) == 50
    assert shift.vain <= 60


async def test_an_idle_worker_of_a_line_without_room_looks_when_a_lease_may_have_run_out_and_not_before(shop, line):
    second = shop.hand("w2")
    await second.extend()
    looks = {(await hand.ask()).look_at for hand in (line, second, line, second)}
    assert looks == {None, START + LEASE_MS}


# --- lost answers, a full server, a clock that is put back ------------------------------------------


async def test_an_answer_that_is_told_again_leases_the_same_jobs_under_the_same_marks(shop):
    await shop.limit("default", ":::2::||")
    await shop.put_limited("k=a,u=0123456789abcdef01234567/60000", "a1")
    await shop.put_limited("k=a", "a2", "a3")
    hand = shop.hand("w1")
    first = await hand.ask()
    again = await hand.claim_again()
    assert [lease.mark for lease in again.leases] == [lease.mark for lease in first.leases]
    assert await hand.finish(*map(completed, again.leases)) == [True, True]
    assert ids(await hand.claim()) == ["a3"]


async def test_a_batch_of_endings_that_is_written_again_gives_its_places_back_once(shop):
    await shop.limit("default", ":::2::||")
    await shop.put_limited("k=a", *(f"a{n}" for n in range(6)))
    first, second = shop.hand("w1"), shop.hand("w2")
    leases = await first.claim()
    await first.finish(*map(completed, leases))
    assert len(await second.claim()) == 2
    await first.finish_again(*map(completed, leases))
    assert await first.claim() == []


async def test_a_stale_ending_gives_no_place_back(shop, line):
    [stale] = line.held
    second = shop.hand("w2")
    await shop.advance(LEASE_MS + 1, second)
    assert ids(await second.claim()) == ["runs"]
    assert await line.finish(completed(stale)) == [False]
    assert await line.claim() == []


async def test_a_job_whose_claim_was_never_answered_gives_its_place_back(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.put_limited("k=a", "a1", "a2")
    hand = shop.hand("w1")
    await hand.ask()
    hand.held.clear()  # it beats, and knows of no lease
    await shop.advance(LEASE_MS + 1, hand)
    [again] = await hand.claim()
    assert (again.id, again.attempt) == ("a1", 1)
    assert await end(hand) == ["a2"]


async def test_lines_go_on_on_a_server_that_is_full(shop, line, redis):
    await redis.config_set("maxmemory", 1)
    try:
        assert await end(line) == ["next"]
        await shop.limit("default", ":::2::||")
        assert ids(await line.claim()) == ["last"]
    finally:
        await redis.config_set("maxmemory", 0)


async def test_a_line_is_open_when_the_clock_was_put_back_before_the_starts_that_closed_it(shop):
    await shop.limit("default", "::::1:10000||")
    await shop.put_limited("k=a", "a1", "a2")
    hand = shop.hand("w1")
    await hand.claim()
    await shop.jump(-3_600_000)
    await hand.extend()
    shift = await Shift(shop, [hand]).work(0)
    assert shift.order() == ["a2"]


# --- many -----------------------------------------------------------------------------------------


async def test_five_hundred_endings_of_many_keys_and_moves_open_every_line(shop):
    await shop.limit("default", ONE_A_KEY)
    for n in range(2):
        await shop.enqueue([a_limited_job(f"{n}-{key:03}", f"k={key},r=s") for key in range(500)])
    hand = shop.hand("w1")
    leases = await hand.claim(500)
    assert len(leases) == 500
    moves = (completed, archived, lambda lease: an_ending(lease, "R", START + 60_000, '{"n":1,"f":1}'))
    assert all(await hand.finish(*(moves[n % 3](lease) for n, lease in enumerate(leases))))
    assert len(await hand.claim(500)) == 500


async def test_a_thousand_jobs_of_dead_workers_give_all_their_places_back(shop):
    await shop.limit("r=s", "300:::::||")
    await shop.put_limited("r=s", *(f"job-{n:03}" for n in range(300)))
    await shop.hand("w1").claim(500)
    hand = shop.hand("w2")
    await shop.advance(LEASE_MS + 1, hand)
    while await shop.recover():
        pass
    shift = await Shift(shop, [hand], slots=300, job_ms=10_000).work(0)
    assert len(shift.starts) == 300


async def test_a_thousand_delayed_jobs_that_fall_due_together_join_their_lines(shop):
    await shop.limit("default", ONE_A_KEY)
    await shop.enqueue([a_limited_job(f"job-{n:03}", f"k={n % 20}", when="+1000") for n in range(1000)])
    hand = shop.hand("w1")
    await shop.advance(1000, hand)
    shift = await Shift(shop, [hand], slots=30).work(0)
    assert len(shift.starts) == 20
    assert shift.claims < 30
