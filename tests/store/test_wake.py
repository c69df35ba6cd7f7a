"""Who is woken: one token wakes one idle worker, and lies there until one takes it."""

from __future__ import annotations

import pytest

from tests.store.shop import LEASE_MS, START, a_job, an_ending, claimed, completed


async def test_a_job_that_is_due_wakes_one_worker(shop):
    await shop.put("job-1")
    assert await shop.tokens() == 1


async def test_however_many_jobs_come_one_token_lies_there(shop):
    await shop.put(*(f"job-{n}" for n in range(20)))
    await shop.put("one-more")
    await shop.put("delayed", when=f"{START - 1}")
    assert await shop.tokens() == 1


async def test_a_token_is_of_one_queue(shop):
    await shop.enqueue([a_job("a", queue="high"), a_job("b", queue="high"), a_job("c", queue="low")])
    assert [await shop.tokens(queue) for queue in ("high", "low", "default")] == [1, 1, 0]


async def test_a_delayed_job_that_is_the_next_one_due_wakes_a_worker_to_learn_its_time(shop):
    await shop.put("later", when="+60000")
    assert await shop.tokens() == 1
    await shop.put("sooner", when="+30000")
    assert await shop.tokens() == 1


async def test_a_delayed_job_behind_the_next_one_due_wakes_a_worker_only_if_nobody_watches(shop):
    await shop.put("sooner", when="+30000")
    await shop.tokens()
    await shop.put("later", when="+60000")
    assert await shop.tokens() == 1
    await shop.hand("w1").claim()
    await shop.put("much-later", when="+90000")
    assert await shop.tokens() == 0


async def test_a_delayed_job_that_is_due_before_anybody_comes_wakes_a_worker(shop):
    await shop.put("later", when="+60000")
    hand = shop.hand("w1")
    await hand.extend()
    await hand.claim()
    await shop.tokens()
    await shop.put("sooner", when="+30000")
    assert await shop.tokens() == 1


async def test_a_delayed_job_behind_one_that_runs_wakes_a_worker_to_learn_its_time(shop):
    await shop.put("runs")
    await shop.tokens()
    await shop.hand("w1").claim(1)
    assert await shop.tokens() == 0
    await shop.put("later", when="+60000")
    assert await shop.tokens() == 1


async def test_who_takes_a_job_with_its_last_slot_wakes_another_for_one_that_is_due_after_its_lease_ends(shop):
    await shop.put("runs")
    await shop.put("later", when="+60000")
    await shop.tokens()
    await shop.hand("w1").claim(1)
    assert await shop.tokens() == 1


async def test_a_job_that_is_due_wakes_a_worker_though_older_ones_are_waiting(shop):
    await shop.put("older", when=f"{START - 1000}")
    await shop.tokens()
    await shop.put("newer")
    assert await shop.tokens() == 1


async def test_a_duplicate_wakes_nobody(shop):
    [job] = await shop.put("job-1")
    await shop.tokens()
    await shop.enqueue([job, a_job("job-1")])
    assert await shop.tokens() == 0


async def test_who_takes_all_that_is_due_wakes_nobody(shop):
    await shop.put("a", "b")
    await shop.tokens()
    await shop.hand("w1").claim(2)
    assert await shop.tokens() == 0


async def test_who_leaves_due_jobs_behind_passes_a_token_on(shop):
    await shop.put("a", "b", "c")
    await shop.tokens()
    await shop.hand("w1").claim(2)
    assert await shop.tokens() == 1


async def test_who_takes_a_job_with_its_last_slot_wakes_another_for_what_is_due_later_unless_one_watches(shop):
    hand, watcher = shop.hand("w1"), shop.hand("w2")
    await shop.put("now", "and", "then")
    await shop.put("later", when="+10000")  # before the lease of one that runs ends
    await shop.tokens()
    await hand.claim(3)
    assert await shop.tokens() == 1
    await watcher.extend()
    await watcher.claim()
    await shop.put("once more")
    await shop.tokens()
    await hand.claim(1)
    assert await shop.tokens() == 0


async def test_only_the_queues_that_have_more_due_get_a_token(shop):
    await shop.enqueue([a_job("a", queue="high"), a_job("b", queue="high"), a_job("c", queue="low")])
    await shop.tokens("high"), await shop.tokens("low")
    await shop.hand("w1").claim(2, high=1, low=1)
    assert [await shop.tokens("high"), await shop.tokens("low")] == [1, 0]


async def test_a_paused_queue_wakes_nobody_at_a_claim(shop):
    await shop.put("a")
    await shop.put("b", queue="low")
    await shop.tokens()
    await shop.pause("default")
    await shop.hand("w1").claim(1, low=1, default=0)
    assert await shop.tokens() == 0


@pytest.mark.parametrize("move", ["R", "S", "Q"])
async def test_an_ending_after_which_a_job_waits_wakes_a_worker_to_learn_its_time(shop, move):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.tokens()
    await hand.finish(an_ending(lease, move, START + 1000, "{}"))
    assert await shop.tokens() == 1


async def test_an_ending_for_good_wakes_nobody(shop):
    hand, [a, b, c, d] = await claimed(shop, "a", "b", "c", "d")
    await shop.tokens()
    endings = [completed(a), an_ending(b, "A", 1, "{}"), an_ending(c, "D"), an_ending(d, "P", START, "task:x")]
    await hand.finish(*endings)
    assert await shop.tokens() == 0


async def test_many_endings_make_one_token(shop):
    hand, leases = await claimed(shop, "a", "b", "c")
    await shop.tokens()
    await hand.finish(*(an_ending(lease, "Q", lease.due) for lease in leases))
    assert await shop.tokens() == 1


async def test_jobs_taken_back_from_a_dead_worker_wake_one(shop):
    await claimed(shop, "a", "b")
    await shop.tokens()
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert await shop.tokens() == 1


async def test_released_jobs_wake_nobody_since_who_releases_them_claims_them(shop):
    hand, leases = await claimed(shop, "a", "b")
    await hand.finish(*(an_ending(lease, "P", lease.due, f"task:{lease.id}") for lease in leases))
    await shop.tokens()
    assert await shop.jobs.release("default", ["task:a", "task:b"]) == 2
    assert await shop.tokens() == 0


async def test_a_token_that_is_handed_on_does_not_add_to_one_that_lies_there(shop):
    await shop.jobs.hand_on("w1", ["low", "default"], "default")
    await shop.jobs.hand_on("w1", ["low", "default"], "default")
    assert [await shop.tokens("low"), await shop.tokens("default")] == [0, 1]
