"""Every move that ends an attempt: what Redis then knows of the job, and that it knows nothing else."""

from __future__ import annotations

import json

from jobsd.job import JobState
from jobsd.store.keys import PARKED
from tests.store.shop import KEEP_MS, LEASE_MS, START, a_job, a_result, an_ending, archived, claimed, completed, ids

SIDE = {"n": 1, "f": 1, "e": ["ValueError", "no"]}


async def retried_once(shop, job_id: str = "job-1"):
    """Return a hand and its lease of a job that has something noted, as after a failure."""
    hand, [lease] = await claimed(shop, job_id)
    await hand.finish(an_ending(lease, "R", START, json.dumps(SIDE)))
    [lease] = await hand.claim()
    await shop.jobs.progress(lease, 1, 2)
    return hand, lease


async def test_completed_the_result_is_kept_and_nothing_else(shop):
    hand, lease = await retried_once(shop)
    assert await hand.finish(completed(lease)) == [True]
    assert await shop.traces("job-1") == {"arq:result:job-1": a_result(lease), "default:completed": START + KEEP_MS}
    assert await shop.jobs.looks.state("default", "job-1", now=START) is JobState.COMPLETED


async def test_completed_without_a_result_nothing_is_left(shop):
    hand, lease = await retried_once(shop)
    assert await hand.finish(an_ending(lease, "C", 0)) == [True]
    assert await shop.traces("job-1") == {}


async def test_retried_it_waits_for_its_time_with_what_is_noted(shop):
    hand, [lease] = await claimed(shop, "job-1")
    assert await hand.finish(an_ending(lease, "R", START + 9000, json.dumps(SIDE))) == [True]
    assert await shop.traces("job-1") == {
        "arq:job:job-1": lease.payload,
        "default": START + 9000,
        "default:retry": START + 9000,
        "default:side": SIDE,
    }
    assert await shop.jobs.looks.state("default", "job-1", now=START) is JobState.RETRY


async def test_scheduled_it_waits_for_its_time_and_is_no_retry(shop):
    hand, [lease] = await claimed(shop, "job-1")
    assert await hand.finish(an_ending(lease, "S", START + 9000, '{"n":1}')) == [True]
    assert await shop.traces("job-1") == {
        "arq:job:job-1": lease.payload,
        "default": START + 9000,
        "default:side": {"n": 1},
    }
    assert await shop.jobs.looks.state("default", "job-1", now=START) is JobState.SCHEDULED


async def test_requeued_it_is_back_at_its_original_due_time_ahead_of_the_backlog(shop):
    [job] = await shop.put("job-1", when=f"{START - 700}")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await shop.put("backlog")
    assert await hand.finish(an_ending(lease, "Q", lease.due, '{"n":1,"x":1}')) == [True]
    assert await shop.traces("job-1") == {
        "arq:job:job-1": job.payload,
        "default": START - 700,
        "default:side": {"n": 1, "x": 1},
    }
    assert ids(await hand.claim()) == ["job-1", "backlog"]


async def test_requeued_without_a_side_keeps_what_was_noted(shop):
    hand, lease = await retried_once(shop)
    await hand.finish(an_ending(lease, "Q", lease.due, ""))
    assert (await shop.traces("job-1"))["default:side"] == SIDE | {"p": [1, 2]}


async def test_parked_it_waits_beyond_all_time_under_its_reason_and_remembers_when_it_was_due(shop):
    [job] = await shop.put("job-1", when=f"{START - 700}")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert await hand.finish(an_ending(lease, "P", lease.due, "task:email:send")) == [True]
    assert await shop.traces("job-1") == {
        "arq:job:job-1": job.payload,
        "default": PARKED,
        "default:parked:task:email:send": START - 700,
    }
    assert await shop.jobs.looks.state("default", "job-1", now=START) is JobState.PARKED


async def test_archived_its_payload_is_set_aside_with_the_cause_and_its_result_ends_by_itself(shop):
    hand, lease = await retried_once(shop)
    assert await hand.finish(archived(lease, '{"message":"no"}')) == [True]
    assert await shop.traces("job-1") == {
        "arq:result:job-1": a_result(lease),
        "default:archived": START,
        "default:dead:job-1": {"payload": lease.payload, "info": {"message": "no"}},
    }
    assert KEEP_MS - 10_000 < await shop.redis.pttl("arq:result:job-1") <= KEEP_MS
    assert await shop.jobs.looks.state("default", "job-1", now=START) is JobState.ARCHIVED


async def test_archived_without_a_result_none_is_kept(shop):
    hand, [no_result, no_time] = await claimed(shop, "no-result", "no-time")
    await hand.finish(an_ending(no_result, "A", KEEP_MS, "{}"), archived(no_time, keep_ms=0))
    for job_id in ("no-result", "no-time"):
        assert (await shop.traces(job_id)).keys() == {"default:archived", f"default:dead:{job_id}"}


async def test_archived_what_cannot_be_read_is_kept_byte_by_byte(shop):
    broken = b"\x80\x04\xff\x00\n"
    hand, [lease, gone] = await claimed(shop, "job-1", "gone")
    await shop.redis.set("arq:job:job-1", broken)
    await shop.redis.delete("arq:job:gone")
    await hand.finish(an_ending(lease, "A", 0, "{}"), an_ending(gone, "A", 0, "{}"))
    assert await shop.jobs.looks.dead("default", "job-1") == (broken, b"{}")
    assert await shop.jobs.looks.dead("default", "gone") == (b"", b"{}")


async def test_removed_nothing_is_left(shop):
    hand, lease = await retried_once(shop)
    assert await hand.finish(an_ending(lease, "D")) == [True]
    assert await shop.traces("job-1") == {}


async def test_whatever_becomes_of_a_job_its_lease_is_gone(shop):
    hand, leases = await claimed(shop, *"CRSQPAD")
    await hand.finish(*(an_ending(lease, lease.id, START + 1, "{}") for lease in leases))
    assert not await shop.redis.exists("jobsd:{main}:default:active")
    assert not {key for key in await shop.keys() if key.startswith("arq:in-progress:")}


async def test_a_batch_ends_jobs_of_several_queues_each_in_its_own(shop):
    await shop.enqueue([a_job("a", queue="high"), a_job("b", queue="low"), a_job("c", queue="arq:queue")])
    hand = shop.hand("w1")
    a, b, c = await hand.claim(3, **{"high": 1, "low": 1, "arq:queue": 1})
    assert await hand.finish(completed(c), an_ending(b, "R", START + 5, "{}"), archived(a)) == [True] * 3
    assert (await shop.traces("a")).keys() == {"arq:result:a", "high:archived", "high:dead:a"}
    assert (await shop.traces("b")).keys() == {"arq:job:b", "low", "low:retry", "low:side"}
    assert (await shop.traces("c")).keys() == {"arq:result:c", "arq:queue:completed"}


async def test_500_endings_go_in_one_batch(shop):
    hand, leases = await claimed(shop, *(f"job-{n:03}" for n in range(500)))
    moves = [completed, archived, lambda lease: an_ending(lease, "R", START + 1, "{}")]
    assert await hand.finish(*(moves[n % 3](lease) for n, lease in enumerate(leases))) == [True] * 500
    assert await shop.redis.zcard("jobsd:{main}:default:completed") == 167
    assert await shop.redis.zcard("jobsd:{main}:default:archived") == 167
    assert await shop.redis.zcard("jobsd:{main}:default") == 166


async def test_a_late_ending_counts_while_nobody_took_the_job_back(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 60_000)
    assert await hand.finish(completed(lease)) == [True]
    assert await shop.recover() == []


async def test_totals_count_what_was_processed_and_what_of_it_failed(shop):
    hand, leases = await claimed(shop, *"CRSQPAD")
    await hand.finish(*(an_ending(lease, lease.id, START + 1, "{}") for lease in leases))
    assert await shop.stats() == {"processed": 4, "failed": 2}
