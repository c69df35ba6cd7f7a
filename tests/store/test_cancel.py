"""Cancelling a job that waits: it is archived at once, wherever it waits, and nothing of it is left there."""

from __future__ import annotations

import json

import pytest

from jobsd.store.cancels import Cancels
from tests.store.shop import (
    LEASE_MS,
    START,
    Shop,
    a_job,
    a_limited_job,
    an_ending,
    archived,
    claimed,
    completed,
    ids,
)

BASE = "jobsd:{main}:default"


async def cancel(shop: Shop, job_id: str = "job-1", queue: str = "default") -> str:
    return await shop.jobs.cancel(queue, job_id)


async def streams(shop: Shop) -> None:
    """Let the record stream be there, as it is where anybody reads it."""
    await shop.redis.xadd("jobsd:{main}::records", {"first": "-"})


async def record_of(shop: Shop, job_id: str = "job-1") -> tuple[list, bytes]:
    """Return the facts of a job's one record, and the payload behind them."""
    [record] = [entry[job_id] for entry in await shop.records() if job_id in entry]
    facts, _, payload = record.partition(b"\n")
    return json.loads(facts), payload


async def test_a_pending_job_is_archived_with_its_payload_a_result_and_a_record(shop):
    await streams(shop)
    [job] = await shop.put("job-1")
    await shop.advance(700)
    assert await cancel(shop) == "cancelled"
    now, error = shop.now, {"type": "CancelledError", "message": "cancelled"}
    traces = await shop.traces("job-1")
    assert traces.keys() == {"arq:result:job-1", "default:archived", "default:dead:job-1", ":records"}
    assert traces["default:archived"] == now
    info = {"n": 1, "e": ["CancelledError", "cancelled"], "message": "cancelled", "outcome": "cancelled", "due": START}
    assert traces["default:dead:job-1"] == {"payload": job.payload, "info": info}
    result = json.loads(traces["arq:result:job-1"])
    assert (result["s"], result["r"], result["st"], result["ft"]) == (False, error, now, now)
    facts = ["cancelled", "job-1", "default", 1, START, now, now, "", "archived", "cancelled"]
    assert await record_of(shop) == (facts, job.payload)


async def test_the_result_of_a_cancelled_job_is_kept_for_an_hour(shop):
    await shop.put("job-1")
    await cancel(shop)
    assert 3_500_000 < await shop.redis.pttl("arq:result:job-1") <= 3_600_000


async def test_no_record_is_streamed_where_records_are_off_or_nobody_ever_read_one(shop):
    await shop.put("job-1", "job-2")
    await cancel(shop)
    await streams(shop)
    assert await shop.jobs.cancel("default", "job-2", records=False) == "cancelled"
    assert [job_id for entry in await shop.records() for job_id in entry] == ["first"]


async def test_a_scheduled_job_is_archived_now(shop):
    await streams(shop)
    await shop.put("job-1", when="+60000")
    assert await cancel(shop) == "cancelled"
    assert (await record_of(shop))[0][4] == START + 60_000
    await shop.advance(60_000)
    assert await shop.hand("w1").claim() == []


async def test_a_retry_is_archived_with_what_was_noted_of_its_failures_and_as_one_more_attempt(shop):
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "R", START + 9000, '{"n":1,"f":1,"e":["ValueError","no"]}'))
    assert await cancel(shop) == "cancelled"
    traces = await shop.traces("job-1")
    assert traces.keys() == {"arq:result:job-1", "default:archived", "default:dead:job-1"}
    info = traces["default:dead:job-1"]["info"]
    assert (info["n"], info["f"], info["e"]) == (2, 1, ["CancelledError", "cancelled"])


async def test_a_parked_job_is_archived_and_not_released(shop):
    await streams(shop)
    hand, [lease] = await claimed(shop, "job-1")
    await hand.finish(an_ending(lease, "P", lease.due, "task:email:send"))
    await shop.advance(500)
    assert await cancel(shop) == "cancelled"
    assert (await record_of(shop))[0][4] == START
    assert "default:parked:task:email:send" not in await shop.keys()
    assert await shop.jobs.release("default", ["task:email:send"]) == 0
    assert await shop.hand("w2").claim() == []


@pytest.mark.parametrize("text", [":::1::||", "::::1:10000||"])
async def test_a_job_in_a_line_is_archived_and_the_next_one_has_its_turn(shop, text):
    await streams(shop)
    await shop.limit("default", text)
    await shop.put_limited("k=a", "job-1", "job-2", "job-3")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert await cancel(shop, "job-2") == "cancelled"
    assert (await record_of(shop, "job-2"))[0][4] == START
    await hand.finish(completed(lease))
    await shop.advance(10_001, hand)
    assert ids(await hand.claim()) == ["job-3"]


async def test_nothing_is_left_of_a_line_whose_last_job_is_cancelled(shop):
    await shop.limit("default", ":::1::||")
    await shop.limit("r=s", "1:::::||")
    await shop.put_limited("k=a,r=s", "job-1", "job-2")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await cancel(shop, "job-2")
    await hand.finish(completed(lease))
    words = ("lane", "turns", "closed", "held", "behind", "cancel")
    assert [key for key in await shop.keys() if any(word in key for word in words)] == []


async def test_a_job_in_a_line_that_arqs_abort_made_due_is_archived_and_leaves_its_line(shop):
    await shop.limit("default", ":::1::||")
    await shop.put_limited("k=a", "holder", "job-1")
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    await shop.redis.zrem(BASE, "job-1")
    await shop.redis.zadd(BASE, {"job-1": 1})  # Job.abort
    assert await cancel(shop) == "cancelled"
    await shop.redis.delete("arq:result:job-1")
    await shop.enqueue([a_limited_job("job-1", "k=a", when="+60000")])
    await hand.finish(completed(lease))
    assert await hand.claim() == [], "a later job of its id is due in a minute"


async def test_a_score_that_is_no_time_stops_no_cancel(shop):
    await shop.put("job-1")
    await shop.redis.zadd(BASE, {"job-1": float("inf")})
    assert await cancel(shop) == "cancelled"
    assert "default:archived" in await shop.traces("job-1")


@pytest.mark.parametrize("limits", ["", "k=a"])
async def test_a_job_whose_payload_is_gone_is_archived_too(shop, limits):
    await streams(shop)
    await shop.put_limited(limits, "job-1")
    await shop.redis.delete("arq:job:job-1")
    await shop.advance(10)
    assert await cancel(shop) == "cancelled"
    due = (await record_of(shop))[0][4]
    assert START <= due <= shop.now
    assert await shop.hand("w1").claim() == []


async def test_a_paused_queue_keeps_nobody_from_cancelling(shop):
    await shop.put("job-1")
    await shop.jobs.pause("default", paused=True)
    assert await cancel(shop) == "cancelled"


async def test_a_raw_key_of_arq_is_a_queue_like_any_other(shop):
    await shop.put("job-1", queue="arq:queue")
    assert await cancel(shop, queue="arq:queue") == "cancelled"
    assert await shop.redis.zcard("arq:queue:archived") == 1


async def test_what_is_over_cannot_be_cancelled(shop):
    hand, [done, dead] = await claimed(shop, "done", "dead")
    await hand.finish(completed(done), archived(dead, keep_ms=0))
    before = await shop.everything()
    assert [await cancel(shop, job_id) for job_id in ("done", "dead", "never-was")] == ["ended", "ended", "unknown"]
    assert await shop.everything() == before


async def test_a_cancel_that_is_asked_again_since_its_answer_was_lost_changes_nothing(shop):
    await shop.put("job-1")
    await cancel(shop)
    before = await shop.everything()
    assert await cancel(shop) == "ended"
    assert await shop.everything() == before


async def test_a_cancelled_job_can_be_run_again(shop):
    await shop.put("job-1")
    await cancel(shop)
    assert await shop.jobs.rerun("default", "job-1") == 1
    hand = shop.hand("w1")
    [lease] = await hand.claim()
    assert lease.attempt == 2
    assert await hand.finish(an_ending(lease, "R", START, "{}")) == [True], "nobody asked to cancel this run"


async def test_the_id_of_a_cancelled_job_is_taken_while_its_result_is_kept(shop):
    await shop.put("job-1")
    await cancel(shop)
    assert await shop.enqueue([a_job("job-1")]) == [False]


async def test_a_job_that_another_system_runs_is_asked_of_it(shop):
    await shop.put("job-1")
    await shop.redis.set("arq:in-progress:job-1", "1", px=300_000)
    assert await cancel(shop) == "requested"
    assert await shop.redis.zscore("arq:abort", "job-1") == shop.now
    assert await shop.score("job-1") == START
    assert await Cancels(shop.redis).asked() == {}


async def test_jobs_are_cancelled_on_a_server_that_is_full(shop, redis):
    await shop.put("job-1")
    await redis.config_set("maxmemory", 1)
    try:
        assert await cancel(shop) == "cancelled"
    finally:
        await redis.config_set("maxmemory", 0)


async def test_a_job_that_was_given_back_is_cancelled_like_one_that_waits(shop):
    await claimed(shop, "job-1")
    await shop.advance(LEASE_MS + 1)
    await shop.recover()
    assert await cancel(shop) == "cancelled"
