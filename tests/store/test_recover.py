"""Jobs of workers that fell silent: when and where they go back."""

from __future__ import annotations

import json
from itertools import chain

from tests.store.shop import LEASE_MS, START, a_job, a_payload, an_ending, claimed, completed, ids


async def test_a_dead_workers_job_goes_back_as_soon_as_its_lease_is_over_and_not_before(shop):
    [job] = await shop.put("job-1", when=f"{START - 700}")
    await shop.hand("w1").claim()
    await shop.advance(LEASE_MS)
    assert await shop.recover() == []
    await shop.advance(1)
    assert await shop.recover() == ["job-1"]
    assert await shop.traces("job-1") == {
        "arq:job:job-1": job.payload,
        "default": START - 700,
        "default:side": {"n": 1, "l": 1, "w": [["w1", START, None]]},
        ":records": [(await shop.records())[0]["job-1"]],
    }


async def test_it_goes_back_at_its_original_due_time_ahead_of_the_backlog(shop):
    await claimed(shop, "first")
    await shop.jump(1)
    await shop.put("second", "third")
    await shop.advance(LEASE_MS + 1)
    assert ids(await shop.hand("w2").claim()) == ["first", "second", "third"]


async def test_its_due_time_outlives_any_number_of_losses(shop):
    await shop.put("job-1", when=f"{START - 700}")
    for n in (1, 2):
        await shop.hand(f"w{n}").claim()
        await shop.advance(LEASE_MS + 1)
        assert await shop.recover() == ["job-1"]
        assert await shop.score("job-1") == START - 700


async def test_each_loss_is_counted_apart_with_its_evidence(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "R", START, '{"n":1,"f":1,"e":["ValueError","no"]}'))
    await hand.claim()
    await shop.advance(5000, hand)
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert await shop.jobs.looks.side("default", "job-1") == {
        "n": 2,
        "f": 1,
        "e": ["ValueError", "no"],
        "l": 1,
        "w": [["w1", START, START + 5000]],
    }
    assert (await shop.stats())["lost"] == 1


async def test_a_live_worker_that_does_not_list_a_lease_never_got_it_so_it_goes_back_uncounted(shop):
    hand, _ = await claimed(shop, "job-1")
    hand.held.clear()  # the answer of its claim was lost
    await shop.advance(LEASE_MS + 1, hand)
    assert await shop.recover() == []
    assert await shop.score("job-1") == START
    assert await shop.jobs.looks.side("default", "job-1") == {}
    assert await shop.records() == []
    assert "lost" not in await shop.stats()


async def test_it_may_go_back_uncounted_more_often_than_a_job_may_be_lost(shop):
    await shop.put("job-1")
    hand = shop.hand("w1")
    for _ in range(5):
        assert ids(await hand.claim()) == ["job-1"]
        hand.held.clear()
        await shop.advance(LEASE_MS + 1, hand)
        assert await shop.recover() == []
    [lease] = await hand.claim()
    assert lease.attempt == 1


async def test_a_worker_that_died_right_after_a_beat_has_lost_its_jobs(shop):
    hand, _ = await claimed(shop, "job-1")
    await shop.advance(5000, hand)
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == ["job-1"]


async def test_jobs_of_all_queues_are_taken_back_also_of_paused_ones(shop):
    await shop.put("a", queue="high")
    await shop.put("b", queue="low")
    await shop.hand("w1").claim(2, high=1, low=1)
    await shop.pause("low")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover("high", "low") == ["a", "b"]


async def test_a_hundred_are_taken_back_in_one_call_the_longest_silent_first(shop):
    names = [f"job-{n:03}" for n in range(250)]
    await claimed(shop, *names)
    await shop.advance(LEASE_MS + 1)
    chunks = [await shop.recover() for _ in range(4)]
    assert [len(chunk) for chunk in chunks] == [100, 100, 50, 0]
    assert list(chain(*chunks)) == names


async def test_a_payload_that_nobody_can_read_stops_no_other(shop):
    broken = b'\x80\x04\xff\x00 not a job \n"'
    await claimed(shop, "a", "b", "c", "d")
    await shop.redis.set("arq:job:a", broken)
    await shop.redis.set("arq:job:b", b'{"i":\xff\xfe')
    await shop.redis.delete("arq:job:c")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == ["a", "b", "c", "d"]
    [records] = await shop.records()
    assert [records[name].partition(b"\n")[2] for name in "abc"] == [broken, b'{"i":\xff\xfe', b""]
    leases = await shop.hand("w2").claim()
    assert [lease.payload for lease in leases[:3]] == [broken, b'{"i":\xff\xfe', None]


async def test_an_active_job_without_a_mark_goes_back_uncounted(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.redis.delete("arq:in-progress:job-1")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == []
    traces = await shop.traces("job-1")
    assert traces == {"arq:job:job-1": lease.payload, "default": shop.now}
    assert await hand.finish(completed(lease)) == [False]


async def test_an_active_job_with_a_mark_that_is_not_ours_goes_back_uncounted(shop):
    await claimed(shop, "job-1")
    await shop.redis.set("arq:in-progress:job-1", b"1")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover() == []
    assert (await shop.traces("job-1")).keys() == {"arq:job:job-1", "default"}


async def test_a_late_ending_of_a_job_that_was_taken_back_is_refused(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    waiting = await shop.traces("job-1")
    assert await hand.finish(completed(lease)) == [False]
    assert await shop.traces("job-1") == waiting


async def test_of_workers_that_recover_together_one_takes_each_job_back(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    assert [await shop.recover(), await shop.recover()] == [["job-1"], []]
    assert len(await shop.records()) == 1


async def test_without_records_nothing_is_streamed_and_the_loss_counts_all_the_same(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    assert await shop.recover(records=False) == ["job-1"]
    assert await shop.records() == []
    assert json.loads(await shop.redis.hget("jobsd:{main}:default:side", "job-1"))["l"] == 1


async def test_large_jobs_come_back_over_several_calls_of_some_4_mib_and_none_is_lost(shop):
    large = [a_job(f"job-{n:02}", payload=a_payload("store", "x" * 1_000_000)) for n in range(12)]
    for job in large:
        await shop.enqueue([job])
    dead = shop.hand("w1")
    while await dead.claim(12):
        pass
    assert sorted(ids(dead.held)) == [job.id for job in large]
    await shop.advance(LEASE_MS + 1)
    chunks = []
    while chunk := await shop.recover():
        chunks.append(chunk)
    assert list(chain(*chunks)) == [job.id for job in large]
    size = len(large[0].payload)
    assert max(len(chunk) for chunk in chunks) * size <= 4 * 2**20 + size  # whole jobs: the last one may go over
    records = {job_id: record for entry in await shop.records() for job_id, record in entry.items()}
    assert {job_id: record.partition(b"\n")[2] for job_id, record in records.items()} == {
        job.id: job.payload for job in large
    }
    other = shop.hand("w2")
    while await other.claim(12):
        pass
    assert {lease.id: lease.payload for lease in other.held} == {job.id: job.payload for job in large}
