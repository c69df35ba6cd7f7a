"""What limits a whole queue: how many run at once, how many start in a time, and each worker's own gate."""

from __future__ import annotations

import pytest

from tests.store.shift import Shift, fullest
from tests.store.shop import LEASE_MS, START, Shop, an_ending, archived, claimed, completed, ids

WINDOW = 10_000
FIVE_IN_10_S = f":5:{WINDOW}:::||"

ENDINGS = {
    "completed": completed,
    "archived": archived,
    "removed": lambda lease: an_ending(lease, "D"),
    "parked": lambda lease: an_ending(lease, "P", lease.due, "task:x"),
    "retried": lambda lease: an_ending(lease, "R", lease.due + 60_000, '{"n":1,"f":1}'),
    "requeued": lambda lease: an_ending(lease, "Q", lease.due + 60_000),
}
each_ending = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())


async def limited(shop: Shop, text: str = ":::::||", jobs: int = 20):
    """Limit the queue, fill it, and return two workers that live."""
    await shop.limit("default", text)
    await shop.put(*(f"job-{n:02}" for n in range(jobs)))
    await shop.tokens()
    hands = shop.hand("w1"), shop.hand("w2")
    for hand in hands:
        await hand.extend()
    return hands


# --- concurrency ----------------------------------------------------------------------------------


async def test_no_more_jobs_run_than_the_limit_whoever_claims(shop):
    first, second = await limited(shop, "3:::::||")
    assert len(await first.claim(2)) == 2
    assert len(await second.claim(10)) == 1
    assert await first.claim() == await second.claim() == []


async def test_nobody_waits_for_a_time_at_which_a_full_queue_has_room(shop):
    first, second = await limited(shop, "3:::::||")
    await first.claim(3)
    answer = await second.ask()
    assert (answer.leases, answer.next_due, answer.look_at) == ([], None, None)


@each_ending
async def test_an_ending_lets_one_more_run_and_wakes_one_worker(shop, ending):
    first, second = await limited(shop, "3:::::||")
    [lease, *_] = await first.claim(3)
    await shop.tokens()
    await first.finish(ending(lease))
    assert await shop.tokens() == 1
    assert len(await second.claim()) == 1


async def test_an_ending_in_a_full_queue_in_which_nothing_waits_wakes_nobody(shop):
    first, _ = await limited(shop, "2:::::||", jobs=2)
    [lease, _] = await first.claim()
    await shop.tokens()
    await first.finish(completed(lease))
    assert await shop.tokens() == 0


async def test_an_ending_in_a_queue_that_was_not_full_wakes_nobody(shop):
    first, _ = await limited(shop, "3:::::||", jobs=2)
    await shop.put("later", when="+60000")
    [lease, _] = await first.claim()
    await shop.tokens()
    await first.finish(completed(lease))
    assert await shop.tokens() == 0


async def test_a_dead_workers_place_is_free_in_the_claim_that_takes_its_job_back(shop):
    first, second = await limited(shop, "2:::::||")
    lost = ids(await first.claim())
    await shop.advance(LEASE_MS + 1, second)
    assert ids(await second.claim()) == lost


async def test_a_dead_workers_place_that_a_recovery_frees_wakes_a_worker(shop):
    first, second = await limited(shop, "2:::::||")
    await first.claim()
    await shop.advance(LEASE_MS + 1, second)
    await shop.tokens()
    await shop.recover()
    assert await shop.tokens() == 1
    assert len(await second.claim()) == 2


async def test_a_limit_lowered_below_what_runs_ends_nothing_and_holds_from_then_on(shop):
    first, second = await limited(shop, "4:::::||")
    leases = await first.claim(4)
    await shop.limit("default", "2:::::||")
    assert await first.extend() == []
    await shop.tokens()
    for lease in leases[:2]:
        await first.finish(completed(lease))
        assert await shop.tokens() == 0
        assert await second.claim() == []
    await first.finish(completed(leases[2]))
    assert await shop.tokens() == 1
    assert len(await second.claim()) == 1


@pytest.mark.parametrize("text", ["5:::::||", ":::::||"])
async def test_a_limit_that_is_raised_or_taken_away_wakes_a_worker(shop, text):
    first, second = await limited(shop, "2:::::||")
    await first.claim()
    await shop.tokens()
    await shop.limit("default", text)
    assert await shop.tokens() == 1
    assert len(await second.claim(3)) == 3


async def test_a_queue_that_takes_its_share_of_a_claim_and_then_what_others_leave_keeps_to_its_limit(shop):
    first, _ = await limited(shop, "3:::::||")
    assert len(await first.claim(10, default=2, low=8)) == 3


async def test_slots_that_a_full_queue_cannot_use_go_to_the_others(shop):
    first, _ = await limited(shop, "2:::::||")
    await shop.put(*(f"low-{n}" for n in range(9)), queue="low")
    leases = await first.claim(8, default=8, low=0)
    assert [sum(lease.queue == queue for lease in leases) for queue in ("default", "low")] == [2, 6]


async def test_a_lost_answer_that_is_told_again_takes_no_second_place(shop):
    first, second = await limited(shop, "3:::::||")
    leases = await first.claim(2)
    again = await first.claim_again(2)
    assert [lease.mark for lease in again.leases] == [lease.mark for lease in leases]
    assert len(await second.claim()) == 1


# --- rate -----------------------------------------------------------------------------------------


async def test_a_full_window_opens_a_millisecond_after_its_end(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    assert len(await first.claim()) == 5
    await shop.advance(WINDOW, first, second)
    assert await second.claim() == []
    await shop.jump(1)
    assert len(await second.claim()) == 5


async def test_starts_are_counted_one_by_one(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    await first.claim(2)
    await shop.advance(4000, first, second)
    assert len(await second.claim()) == 3
    await shop.advance(WINDOW - 4000 + 1, first, second)
    assert len(await first.claim()) == 2
    await shop.advance(3999, first, second)
    assert await first.claim() == []
    await shop.jump(1)
    assert len(await second.claim()) == 3


async def test_of_all_workers_one_is_told_when_the_window_opens(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    opens = START + WINDOW + 1
    told, other = await first.ask(), await second.ask()
    assert (told.look_at, told.next_due) == (opens, opens)
    assert (other.look_at, other.next_due) == (None, opens)


async def test_who_fills_the_window_with_its_last_slot_lets_another_watch(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    assert (await first.ask(5)).look_at is None
    assert await shop.tokens() == 1
    assert (await second.ask()).look_at == START + WINDOW + 1


async def test_what_is_due_after_the_window_opens_is_waited_for_until_then(shop):
    first, _ = await limited(shop, FIVE_IN_10_S, jobs=5)
    await shop.put("later", when="+12000")
    leases = await first.claim(10)
    await first.finish(*map(completed, leases))
    assert (await first.ask()).look_at == START + 12_000


async def test_a_rate_is_never_exceeded_in_any_window_and_used_to_the_full(shop):
    await limited(shop, FIVE_IN_10_S, jobs=100)
    shift = await Shift(shop, [shop.hand(f"s{n}") for n in range(3)], job_ms=1700).work(120_000)
    assert fullest(shift.at(), WINDOW) == 5
    assert len(shift.starts) == 60
    assert shift.vain <= 2 * 12, "a claim or two for each window"


async def test_starts_that_no_longer_count_hold_nothing_up(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    await first.claim(4)
    await shop.advance(3 * WINDOW, first, second)
    shift = await Shift(shop, [second]).work(0)
    assert len(shift.starts) == 5


async def test_every_start_counts_that_of_a_retry_and_of_a_job_taken_back_too(shop):
    first, second = await limited(shop, ":3:60000:::||", jobs=2)
    [lease, _] = await first.claim()
    await first.finish(an_ending(lease, "R", START + 1, '{"n":1,"f":1}'))
    await shop.advance(LEASE_MS + 1, second)
    assert len(await second.claim()) == 1
    assert (await second.ask()).look_at == START + 60_001


async def test_a_lost_answer_that_is_told_again_counts_once(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    await first.claim(2)
    await first.claim_again(2)
    assert len(await second.claim()) == 3


async def test_a_lower_rate_counts_what_has_started_already(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    await first.claim(2)
    await shop.advance(3000, first, second)
    await first.claim(3)
    await shop.limit("default", f":3:{WINDOW}:::||")
    assert (await first.ask()).look_at == START + 3000 + WINDOW + 1
    await shop.advance(WINDOW - 3000 + 1, first, second)
    assert await second.claim() == [], "three started 3 s ago"
    await shop.advance(3000, first, second)
    assert len(await second.claim()) == 3


async def test_starts_of_a_time_that_is_to_come_are_forgotten_when_the_clock_was_put_back(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    await shop.limit("default", FIVE_IN_10_S)
    await first.claim(5)
    await shop.jump(-WINDOW - 1)
    await shop.put("old", when=f"{START - 3 * WINDOW}")
    assert ids(await second.claim()) == ["old"]


async def test_rate_and_concurrency_hold_together(shop):
    first, second = await limited(shop, f"2:3:{WINDOW}:::||")
    [a, b] = await first.claim()
    await first.finish(completed(a), completed(b))
    assert len(await second.claim()) == 1
    answer = await second.ask()
    assert (answer.leases, answer.look_at) == ([], START + WINDOW + 1)


# --- starts of jobs that have not begun -------------------------------------------------------------

NOT_BEGUN = {
    "parked": lambda lease: an_ending(lease, "P", lease.due, "task:x"),
    "requeued": lambda lease: an_ending(lease, "Q", lease.due),
    "tagged": lambda lease: an_ending(lease, "L", lease.due + 60_000, "r=s"),
}


@pytest.mark.parametrize("ending", NOT_BEGUN.values(), ids=NOT_BEGUN.keys())
async def test_a_job_that_has_not_begun_gives_its_start_back_and_wakes_a_worker(shop, ending):
    first, second = await limited(shop, FIVE_IN_10_S)
    leases = await first.claim()
    assert (await second.ask()).next_due == START + WINDOW + 1
    await shop.tokens()
    await first.finish(*map(ending, leases[:2]))
    assert await shop.tokens() == 1
    assert len(await second.claim()) == 2
    assert (await second.ask()).next_due == START + WINDOW + 1


@pytest.mark.parametrize("begun", ["with what is noted", "with its record"])
async def test_a_job_that_was_interrupted_keeps_its_start(shop, begun):
    first, second = await limited(shop, FIVE_IN_10_S)
    [lease, *_] = await first.claim()
    side, record = ('{"n":1,"x":1}', b"") if begun == "with what is noted" else ("", b"[]")
    await first.finish(an_ending(lease, "Q", lease.due, side, record=record))
    assert (await second.ask()).leases == []


async def test_the_start_that_is_given_back_is_the_jobs_own(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    [early, _] = await first.claim(2)
    await shop.advance(3000, first, second)
    [*_, late] = await first.claim(3)
    await first.finish(an_ending(late, "P", late.due, "task:x"))
    await shop.advance(WINDOW - 3000 + 1, first, second)
    assert len(await second.claim()) == 3, "one of 3 s ago is gone, and two of the beginning are over"
    assert await first.finish(an_ending(early, "P", early.due, "task:x")) == [True]
    assert await second.claim() == [], "its start counted no more"


async def test_an_ending_that_is_sent_again_gives_nothing_back_twice(shop):
    first, second = await limited(shop, FIVE_IN_10_S)
    [lease, *_] = await first.claim()
    parked = an_ending(lease, "P", lease.due, "task:x")
    await first.finish(parked)
    await first.finish_again(parked)
    await first.finish(parked)
    assert len(await second.claim()) == 1


async def test_jobs_that_find_no_room_again_and_again_use_up_no_rate(shop):
    first, second = await limited(shop, ":20:10000:::||", jobs=15)
    for _ in range(14):
        begun, *others = await first.claim()
        await first.finish(completed(begun), *(an_ending(lease, "P", lease.due, "room") for lease in others))
        await shop.jobs.release("default", ["room"])
    assert len(await second.claim()) == 1
    assert (await shop.stats())["processed"] == 14


# --- gates: what a worker adds to a claim of its own -----------------------------------------------


async def test_a_worker_takes_no_more_than_its_gate_lets_through_and_wakes_another(shop):
    first, second = await limited(shop)
    assert len((await first.ask(10, gate="3::")).leases) == 3
    assert await shop.tokens() == 1
    assert len(await second.claim(10)) == 10


async def test_a_worker_whose_gate_is_shut_is_told_no_time(shop):
    first, _ = await limited(shop)
    answer = await first.ask(10, gate="0::")
    assert (answer.leases, answer.next_due, answer.look_at) == ([], None, None)
    assert await shop.tokens() == 1


async def test_jobs_start_from_the_first_millisecond_of_the_hours_to_the_last(shop):
    first, _ = await limited(shop)
    gate = f":{START + 100}:{START + 200}"
    answer = await first.ask(1, gate=gate)
    assert (answer.leases, answer.look_at) == ([], START + 100)
    for ms, started in ((99, 0), (1, 1), (99, 1), (1, 0)):
        await shop.jump(ms)
        assert len((await first.ask(1, gate=gate)).leases) == started


async def test_who_claims_with_hours_that_are_over_looks_again_in_a_second(shop):
    first, _ = await limited(shop)
    assert (await first.ask(1, gate=f":{START - 200}:{START}")).look_at == START + 1000


async def test_outside_the_hours_dead_workers_jobs_are_taken_back_all_the_same(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.hand("w2").ask(gate=f":{START + 60_000}:")
    assert await shop.score("job-1") == START
