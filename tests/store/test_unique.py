"""Jobs that are to be the only one of their kind, throttled calls, and ids of one's own."""

from __future__ import annotations

import pytest

from jobsd.store.jobs import Holder
from tests.store.shop import LEASE_MS, START, Shop, a_job, a_limited_job, an_ending, archived, claimed, completed, ids

DIGEST, OTHER = "0123456789abcdef01234567", "fedcba9876543210fedcba98"
HOUR_MS = 3_600_000
UNIQUE = f"u={DIGEST}/{HOUR_MS}"
LOCK = f":unique:{DIGEST}"


async def put_unique(shop: Shop, job_id: str, *, limits: str = UNIQUE, queue: str = "default", when: str = ""):
    [answer] = await shop.enqueue([a_limited_job(job_id, limits, queue=queue, when=when)])
    return answer


async def put_throttled(shop: Shop, job_id: str, *, digest: str = DIGEST, ms: int = HOUR_MS):
    [answer] = await shop.enqueue([a_limited_job(job_id, "", rule=f"t={digest}/{ms}")])
    return answer


# --- unique ---------------------------------------------------------------------------------------


async def test_a_second_job_of_a_key_is_not_stored_and_its_caller_is_told_who_holds_the_key(shop):
    assert await put_unique(shop, "first", queue="high") is True
    assert await put_unique(shop, "second") == Holder("high", "first", joined=False)
    assert await shop.traces("second") == {}
    assert await put_unique(shop, "third", limits=f"u={OTHER}/{HOUR_MS}") is True


async def test_a_job_that_is_not_stored_wakes_nobody(shop):
    await put_unique(shop, "first")
    await shop.tokens()
    await put_unique(shop, "second")
    assert await shop.tokens() == 0


async def test_of_several_jobs_of_a_key_in_one_call_the_first_is_stored(shop):
    jobs = [a_limited_job(str(n), UNIQUE) for n in range(3)]
    holder = Holder("default", "0", joined=False)
    assert await shop.enqueue([*jobs, a_job("plain")]) == [True, holder, holder, True]


async def test_each_job_of_a_mixed_call_has_its_own_answer(shop):
    await put_unique(shop, "first")
    await shop.put("taken")
    jobs = [a_job("taken"), a_limited_job("second", UNIQUE), a_job("new"), a_limited_job("taken", ""), a_job("new")]
    assert await shop.enqueue(jobs) == [False, Holder("default", "first", joined=False), True, False, False]


async def test_a_lost_answer_is_told_again_and_changes_nothing(shop):
    await put_unique(shop, "first")
    jobs = [a_limited_job("second", UNIQUE), a_limited_job("third", f"u={OTHER}/{HOUR_MS}")]
    answer = await shop.enqueue(jobs)
    before = await shop.everything()
    assert await shop.enqueue_again(jobs) == answer == [Holder("default", "first", joined=False), True]
    assert await shop.everything() == before


@pytest.mark.parametrize(
    "ending",
    [
        lambda lease: an_ending(lease, "R", START + 1000, '{"n":1,"f":1}'),
        lambda lease: an_ending(lease, "S", START + 1000, '{"n":1}'),
        lambda lease: an_ending(lease, "Q", START),
        lambda lease: an_ending(lease, "P", START, "task:x"),
        lambda lease: an_ending(lease, "L", START, f"r=s,{UNIQUE}"),
    ],
    ids=["retry", "snooze", "requeue", "parking", "tag"],
)
async def test_the_key_is_held_while_the_job_lives(shop, ending):
    await put_unique(shop, "first", when="+500")
    await shop.advance(500)
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    holder = Holder("default", "first", joined=False)
    assert await put_unique(shop, "second") == holder
    await hand.finish(ending(lease))
    assert await put_unique(shop, "third") == holder


@pytest.mark.parametrize(
    "ending", [completed, archived, lambda lease: an_ending(lease, "D")], ids=["completed", "archived", "removed"]
)
async def test_the_key_ends_with_the_job(shop, ending):
    await put_unique(shop, "first")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(ending(lease))
    assert LOCK not in await shop.keys()
    assert await put_unique(shop, "second") is True


async def test_the_key_ends_with_a_job_that_is_cancelled_while_it_waits(shop):
    await put_unique(shop, "first")
    await shop.jobs.cancel("default", "first")
    assert LOCK not in await shop.keys()
    assert await put_unique(shop, "second") is True


async def test_the_key_of_a_lost_job_is_held_until_its_last_loss_archives_it(shop):
    await put_unique(shop, "first")
    for loss in range(3):
        await shop.hand(f"w{loss}").claim()
        await shop.advance(LEASE_MS + 1)
        assert isinstance(await put_unique(shop, "second"), Holder)
        await shop.recover()
    assert LOCK not in await shop.keys()
    assert await put_unique(shop, "third") is True


async def test_the_key_lives_no_longer_than_its_time(shop):
    await put_unique(shop, "first")
    assert HOUR_MS - 60_000 < await shop.redis.pttl(f"jobsd:{{main}}:{LOCK}") <= HOUR_MS


async def test_an_ending_leaves_alone_a_key_that_another_job_holds_by_now(shop):
    await put_unique(shop, "first")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await shop.redis.delete(f"jobsd:{{main}}:{LOCK}")  # its time is over
    assert await put_unique(shop, "second") is True
    await hand.finish(completed(lease))
    assert await put_unique(shop, "third") == Holder("default", "second", joined=False)


async def test_a_key_whose_job_somebody_deleted_is_free(shop):
    await put_unique(shop, "first")
    await shop.redis.zrem("jobsd:{main}:default", "first")
    await shop.redis.delete("arq:job:first")
    assert await put_unique(shop, "second") is True


async def test_a_unique_job_waits_for_its_turn_like_any_other(shop):
    await shop.limit("default", ":::1::||")
    assert await put_unique(shop, "first", limits=f"k=a,{UNIQUE}") is True
    assert await put_unique(shop, "second", limits=f"k=a,u={OTHER}/{HOUR_MS}") is True
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert await hand.claim() == []
    await hand.finish(completed(lease))
    assert ids(await hand.claim()) == ["second"]


async def test_no_call_holds_a_key_of_which_the_queue_is_refused(shop):
    await shop.jobs.announce("w1", {"queues": "default"}, ["default"], "refuse")
    with pytest.raises(Exception, match="UNKNOWNQUEUE"):
        await put_unique(shop, "first", queue="typo")
    assert await put_unique(shop, "second") is True


# --- ids of one's own -----------------------------------------------------------------------------


async def test_an_id_that_is_taken_holds_no_key(shop):
    await shop.put("mine")
    assert await put_unique(shop, "mine") is False
    assert await put_unique(shop, "other") is True


async def test_an_id_is_taken_by_the_first_of_one_call(shop):
    jobs = [a_limited_job("mine", UNIQUE), a_limited_job("mine", f"u={OTHER}/{HOUR_MS}"), a_limited_job("mine", "k=a")]
    assert await shop.enqueue(jobs) == [True, False, False]
    assert await put_unique(shop, "other", limits=f"u={OTHER}/{HOUR_MS}") is True


async def test_an_id_may_be_used_again_when_neither_job_nor_result_is_left(shop):
    hand, [lease] = await claimed(shop, "mine")
    assert await put_unique(shop, "mine") is False
    await hand.finish(completed(lease))
    assert await put_unique(shop, "mine") is False
    await shop.redis.delete("arq:result:mine")
    assert await put_unique(shop, "mine") is True


# --- throttle -------------------------------------------------------------------------------------


async def test_the_first_of_throttled_calls_is_stored_and_the_others_are_told_of_it(shop):
    assert await put_throttled(shop, "first") is True
    assert await put_throttled(shop, "second") == Holder("default", "first", joined=False)
    assert await put_throttled(shop, "third", digest=OTHER) is True
    assert await shop.traces("second") == {}


async def test_calls_are_throttled_for_a_time_and_not_for_the_life_of_a_job(shop):
    await put_throttled(shop, "first")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(completed(lease))
    assert await put_throttled(shop, "second") == Holder("default", "first", joined=False)
    key = f"jobsd:{{main}}::throttle:{DIGEST}"
    assert HOUR_MS - 60_000 < await shop.redis.pttl(key) <= HOUR_MS
    await shop.redis.delete(key)  # its time is over
    assert await put_throttled(shop, "third") is True


async def test_a_throttled_call_whose_id_is_taken_holds_nothing(shop):
    await shop.put("mine")
    assert await put_throttled(shop, "mine") is False
    assert await put_throttled(shop, "other") is True


# --- run again ------------------------------------------------------------------------------------


async def archive_unique(shop: Shop) -> None:
    await put_unique(shop, "first")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(archived(lease, '{"n":1,"f":1}', keep_ms=1000))


async def test_an_archived_job_that_runs_again_holds_its_key_again(shop):
    await archive_unique(shop)
    assert await shop.jobs.rerun("default", "first") == 1
    assert await put_unique(shop, "second") == Holder("default", "first", joined=False)
    hand = shop.hand("w2")
    [lease] = await hand.claim()
    await hand.finish(completed(lease))
    assert await put_unique(shop, "third") is True


async def test_an_archived_job_whose_key_another_holds_is_not_run(shop):
    await archive_unique(shop)
    await put_unique(shop, "second", queue="low")
    before = await shop.everything()
    assert await shop.jobs.rerun("default", "first") == 2
    assert await shop.everything() == before


async def test_an_archived_job_is_run_when_the_holder_of_its_key_was_deleted(shop):
    await archive_unique(shop)
    await put_unique(shop, "second")
    await shop.redis.zrem("jobsd:{main}:default", "second")
    await shop.redis.delete("arq:job:second")
    assert await shop.jobs.rerun("default", "first") == 1


async def test_a_limited_job_that_runs_again_waits_for_its_turn(shop):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "first", "second")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await hand.finish(archived(lease, '{"n":1,"f":1}', keep_ms=1000))
    [running] = await hand.claim()
    assert await shop.jobs.rerun("default", "first") == 1
    assert await hand.claim() == []
    await hand.finish(completed(running))
    assert ids(await hand.claim()) == ["first"]
