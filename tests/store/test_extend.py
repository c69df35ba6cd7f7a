from __future__ import annotations

from tests.store.shop import LEASE_MS, START, an_ending, claimed, completed, ids

WORKER = "jobsd:{main}::worker:w1"


async def test_a_held_lease_is_prolonged_in_both_places(shop):
    hand, [lease] = await claimed(shop, "job-1")
    before = await shop.traces("job-1")
    await shop.jump(5000)
    assert await hand.extend() == []
    until = START + 5000 + LEASE_MS
    assert await shop.traces("job-1") == before | {"default": until, "default:active": until}
    assert lease.mark == before["arq:in-progress:job-1"]


async def test_leases_of_several_queues_are_prolonged_in_one_call(shop):
    await shop.put("a", queue="high")
    await shop.put("b", queue="low")
    hand = shop.hand("w1")
    await hand.claim(2, high=1, low=1)
    await shop.jump(1)
    assert await hand.extend() == []
    assert await shop.score("a", "high") == await shop.score("b", "low") == START + 1 + LEASE_MS


async def test_a_worker_that_beats_keeps_its_jobs_for_ever(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(10 * LEASE_MS, hand)
    assert await shop.recover() == []
    assert await hand.finish(completed(lease)) == [True]


async def test_a_lease_that_ran_out_and_was_not_taken_back_is_prolonged(shop):
    hand, _ = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    assert await hand.extend() == []
    assert await shop.recover() == []


async def test_a_lease_that_another_worker_has_is_reported_and_left_to_it(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    [theirs] = await shop.hand("w2").claim()
    held = await shop.traces("job-1")
    await shop.jump(1000)
    assert await hand.extend() == [lease]
    assert await shop.traces("job-1") == held
    assert held["arq:in-progress:job-1"] == theirs.mark


async def test_a_lease_that_was_taken_back_is_reported_and_not_revived(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    waiting = await shop.traces("job-1")
    assert await hand.extend() == [lease]
    assert await shop.traces("job-1") == waiting
    assert "default:active" not in waiting


async def test_a_lease_whose_job_has_ended_is_reported_and_not_revived(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "D"))
    hand.held = [lease]
    assert await hand.extend() == [lease]
    assert await shop.traces("job-1") == {}


async def test_a_lease_of_the_workers_own_older_claim_is_reported(shop):
    hand, [old] = await claimed(shop, "job-1")
    await hand.finish(an_ending(old, "Q", old.due))
    [new] = await hand.claim()
    hand.held = [old, new]
    assert await hand.extend() == [old]


async def test_only_the_lost_ones_of_many_are_reported(shop):
    hand, [a, b, c] = await claimed(shop, "a", "b", "c")
    await hand.finish(completed(b))
    hand.held = [a, b, c]
    assert ids(await hand.extend()) == ["b"]


async def test_500_leases_go_in_one_call(shop):
    hand, _ = await claimed(shop, *(f"job-{n:03}" for n in range(500)))
    await shop.jump(1)
    assert await hand.extend() == []
    assert await shop.redis.zcount("jobsd:{main}:default:active", START + 1 + LEASE_MS, "+inf") == 500


async def test_a_score_that_an_arq_client_changed_is_put_right(shop):
    hand, _ = await claimed(shop, "job-1")
    await shop.redis.zadd("jobsd:{main}:default", {"job-1": 1})
    await hand.extend()
    assert await shop.score("job-1") == START + LEASE_MS


async def test_a_job_that_was_deleted_from_its_queue_is_not_put_back_into_it(shop):
    hand, _ = await claimed(shop, "job-1")
    await shop.redis.zrem("jobsd:{main}:default", "job-1")
    await hand.extend()
    assert await shop.score("job-1") is None


async def test_a_beat_without_leases_says_that_the_worker_lives_and_how_long_its_leases_are(shop):
    await shop.hand("w1").extend()
    assert await shop.redis.zscore("jobsd:{main}::workers", "w1") == START
    assert await shop.redis.hgetall(WORKER) == {b"beat": str(START).encode(), b"lease": str(LEASE_MS).encode()}


async def test_what_is_known_of_a_worker_that_falls_silent_is_forgotten_after_an_hour(shop):
    hand = shop.hand("w1")
    await shop.jobs.announce("w1", {"host": "example"}, ["default"])
    await hand.extend()
    assert 3_590_000 < await shop.redis.pttl(WORKER) <= 3_600_000
    assert await shop.redis.hget(WORKER, "host") == b"example"


async def test_with_long_leases_it_is_kept_for_ten_of_them(shop):
    await shop.jobs.extend("w1", 3_600_000, [])
    assert 35_990_000 < await shop.redis.pttl(WORKER) <= 36_000_000


async def test_a_worker_that_signs_off_leaves_only_what_tells_late_copies_of_its_calls_and_ends_by_itself(shop):
    before = await shop.keys()
    await shop.hand("w1").extend()
    await shop.jobs.sign_off("w1")
    assert await shop.keys() - before == {":worker:w1"}
    assert 0 < await shop.redis.pttl("jobsd:{main}::worker:w1") <= 600_000
    assert await shop.redis.hget("jobsd:{main}::worker:w1", "beat") is None
    assert await shop.redis.zscore("jobsd:{main}::workers", "w1") is None


async def test_a_worker_that_was_silent_for_a_day_is_no_longer_listed(shop):
    dead, alive = shop.hand("dead"), shop.hand("alive")
    await dead.extend()
    await shop.jump(86_400_000 - 1)
    await alive.extend()
    assert await shop.redis.zscore("jobsd:{main}::workers", "dead")
    await shop.jump(1)
    await alive.extend()
    assert await shop.redis.zscore("jobsd:{main}::workers", "dead") is None


async def test_the_epoch_is_the_same_for_all_until_redis_loses_everything(shop):
    facts, queues = {"host": "example"}, ["default"]
    first, second = [await shop.jobs.announce(worker, facts, queues) for worker in ("w1", "w2")]
    await shop.redis.flushdb()
    assert first == second != await shop.jobs.announce("w1", facts, queues)  # also for the one that drew it


async def test_the_queues_of_a_worker_are_known_before_their_first_job(shop):
    await shop.jobs.announce("w1", {"host": "example"}, ["low", "arq:queue"])
    assert await shop.jobs.looks.queues() == ["arq:queue", "low"]
