"""Whose ending counts: the mark's holder's, once."""

from __future__ import annotations

import pytest

from tests.store.shop import LEASE_MS, START, Shop, an_ending, archived, claimed, completed


async def stolen(shop: Shop):
    """Return a hand and its lease of a job that another worker has by now."""
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    other = shop.hand("w2")
    await other.claim()
    return hand, lease, other


@pytest.mark.parametrize("move", list("CRSQPAD"))
async def test_a_worker_that_lost_its_lease_changes_nothing(shop, move):
    hand, lease, _ = await stolen(shop)
    held = await shop.traces("job-1")
    answers = await hand.finish(an_ending(lease, move, START, "{}", result=b'{"i":"stale"}', record=b"stale"))
    assert answers == [False]
    assert await shop.traces("job-1") == held
    assert len(await shop.records()) == 1  # the loss


async def test_its_successor_is_not_disturbed(shop):
    hand, lease, other = await stolen(shop)
    await hand.finish(completed(lease))
    assert await other.extend() == []
    assert await other.finish(completed(other.held[0])) == [True]


async def test_the_successors_ending_may_come_first(shop):
    hand, lease, other = await stolen(shop)
    await other.finish(completed(other.held[0]))
    ended = await shop.traces("job-1")
    assert await hand.finish(an_ending(lease, "R", START + 1, "{}")) == [False]
    assert await shop.traces("job-1") == ended


async def test_an_ending_by_an_older_lease_of_the_same_worker_is_stale(shop):
    hand, [old] = await claimed(shop, "job-1")
    await hand.finish(an_ending(old, "Q", old.due))
    await hand.claim()
    assert await hand.finish(completed(old)) == [False]


@pytest.mark.parametrize("ending", [completed, archived])
async def test_a_second_ending_of_the_same_lease_is_stale(shop, ending):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease))
    ended = await shop.everything()
    assert await hand.finish(ending(lease)) == [False]
    changed = {key for key, value in (await shop.everything()).items() if value != ended.get(key)}
    assert changed == {":worker:w1", "default:stats"}


async def test_stale_endings_do_not_keep_the_others_of_their_batch_from_counting(shop):
    hand, lost, _ = await stolen(shop)
    await shop.put("a", "b")
    a, b = await hand.claim()
    assert await hand.finish(completed(a), completed(lost), archived(b)) == [True, False, True]


async def test_records_are_of_accepted_endings_only_and_one_entry_a_batch(shop):
    hand, lost, _ = await stolen(shop)
    await shop.put("a", "b", "c", queue="low")
    a, b, c = await hand.claim(3, low=3)
    stale = completed(lost, record=b"[stale]")
    await hand.finish(completed(a, record=b"[1]"), stale, completed(b), an_ending(c, "D", record=b"[3]"))
    assert (await shop.records())[1:] == [{"a": b"[1]", "c": b"[3]"}]


async def test_a_batch_without_records_makes_no_entry(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(completed(lease))
    assert await shop.records() == []


async def test_a_batch_whose_answer_was_lost_is_answered_the_same_and_changes_nothing(shop):
    hand, lost, _ = await stolen(shop)
    await shop.put("a", "b", "c")
    a, b, c = await hand.claim()
    batch = [completed(a, record=b"[1]"), completed(lost), archived(b), an_ending(c, "R", START, '{"n":1}')]
    first = await hand.finish(*batch)
    assert first == [True, False, True, True]
    ended = await shop.everything()
    await shop.jump(1000)
    assert await hand.finish_again(*batch) == first
    assert await shop.everything() == ended


async def test_a_repeated_batch_does_not_end_a_job_that_was_claimed_again_meanwhile(shop):
    hand, [lease] = await claimed(shop, "job-1")
    batch = [an_ending(lease, "Q", lease.due, '{"n":1}')]
    assert await hand.finish(*batch) == [True]
    await hand.claim()
    running = await shop.traces("job-1")
    assert await hand.finish_again(*batch) == [True]
    assert await shop.traces("job-1") == running


async def test_a_delayed_copy_of_an_older_batch_does_nothing(shop):
    hand, [a, b] = await claimed(shop, "a", "b")
    await hand.finish(completed(a))
    await hand.finish(an_ending(b, "Q", b.due))
    [again] = await hand.claim()
    before = await shop.everything()
    assert await hand.finish_again(completed(again), number=1) == []
    assert await shop.everything() == before


async def test_batch_numbers_are_the_workers_own(shop):
    hand, [a] = await claimed(shop, "a")
    await shop.put("b")
    other = shop.hand("w2")
    [b] = await other.claim()
    assert await hand.finish(completed(a)) == [True]
    assert await other.finish(completed(b)) == [True]


async def test_a_worker_that_was_forgotten_meanwhile_still_ends_its_jobs_once(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.redis.delete("jobsd:{main}::worker:w1")
    assert await hand.finish(completed(lease)) == [True]
    await shop.redis.delete("jobsd:{main}::worker:w1")
    assert await hand.finish_again(completed(lease)) == [False]


async def test_stale_endings_are_counted(shop):
    hand, lease, _ = await stolen(shop)
    await hand.finish(completed(lease))
    assert (await shop.stats())["stale"] == 1


async def test_a_batch_of_nothing_is_answered_with_nothing(shop):
    assert await shop.hand("w1").finish() == []


async def test_a_copy_of_a_batch_that_arrives_after_its_worker_signed_off_leaves_no_trace(shop):
    hand, [lease] = await claimed(shop, "job-1")
    batch = completed(lease)
    await hand.finish(batch)
    await shop.jobs.sign_off("w1")
    before = await shop.everything()
    await hand.finish_again(batch)
    changed = {key for key, value in (await shop.everything()).items() if value != before.get(key)}
    assert changed == set()


async def test_of_two_endings_of_a_lease_in_one_batch_one_is_accepted(shop):
    hand, [lease] = await claimed(shop, "job-1")
    again = an_ending(lease, "R", START + 1000, '{"n":1,"f":1}')
    assert await hand.finish(completed(lease), again) == [True, False]
    assert (await shop.traces("job-1")).keys() == {"arq:result:job-1", "default:completed"}
