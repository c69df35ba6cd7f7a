"""Each thing that can be wrong is broken by hand, named, mended, and the job then runs; what is well is left alone."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.admin.fsck import Fsck
from jobsd.errors import UnknownQueueError
from jobsd.store.keys import LANED, PARKED
from tests.admin.stock import BASE, DIGEST, OTHER, RUNNING, SHARD, WAITING, Stock, told
from tests.store.shop import completed

if TYPE_CHECKING:
    from collections.abc import Callable

JOB = "arq:job:"
MARK = "arq:in-progress:"
RESULT = "arq:result:"


@pytest.fixture
async def stock(redis) -> Stock:
    return await Stock(redis).open()


async def test_nothing_is_wrong_with_a_job_in_every_state(stock):
    before = await stock.everything()
    for mend in (False, True):
        report = await stock.fsck(mend=mend)
        assert (told(report), report.left, report.queues) == ({}, 0, 2)
        assert report.jobs == len([*WAITING, *RUNNING, "elsewhere", "done", "dead"])
    assert await stock.everything() == before


async def test_all_of_them_run_in_the_end(stock):
    assert await stock.drain() == {*WAITING, "elsewhere"}


def zrem(key: str, name: str) -> Callable[[Any], Any]:
    return lambda redis: redis.zrem(key, name)


def zadd(key: str, name: str, score: float = 1) -> Callable[[Any], Any]:
    return lambda redis: redis.zadd(key, {name: score})


def delete(key: str) -> Callable[[Any], Any]:
    return lambda redis: redis.delete(key)


def put(key: str, value: str) -> Callable[[Any], Any]:
    return lambda redis: redis.set(key, value)


def hset(key: str, name: str, value: str) -> Callable[[Any], Any]:
    return lambda redis: redis.hset(key, name, value)


LANE = f"{BASE}:lane:k=acme"
PARKING = f"{BASE}:parked:task:email:send"
A_MARK = "w9:1:1:1790000000000:1:1790000000000"

MENDABLE = {
    "a retry that its queue lost": ([zrem(BASE, "retries")], {"payload_in_no_queue": ["retries"]}),
    "a parked job that its queue lost": ([zrem(BASE, "parks")], {"payload_in_no_queue": ["parks"]}),
    "a job in a lane that its queue lost": ([zrem(BASE, "lane-2")], {"payload_in_no_queue": ["lane-2"]}),
    "a unique job that its queue lost": ([zrem(BASE, "unique")], {"payload_in_no_queue": ["unique"]}),
    "an open job that its queue lost": (
        [zrem(BASE, "open")],
        {"payload_in_no_queue": ["open"], "key_without_holder": [f"{SHARD}:open:{DIGEST}"]},
    ),
    "a parked job in no line": ([zrem(PARKING, "parks")], {"waits_for_nothing": ["parks"]}),
    "a job in no lane": ([zrem(LANE, "lane-1")], {"waits_for_nothing": ["lane-1"]}),
    "a job in the wrong lane": (
        [zrem(LANE, "lane-1"), zadd(f"{BASE}:lane:k=other", "lane-1", 5)],
        {"stray_entry": ["lane-1"], "waits_for_nothing": ["lane-1"], "idle_lane": ["k=other"]},
    ),
    "a job in two lanes": (
        [zadd(f"{BASE}:lane:k=other", "lane-1", 5), zadd(f"{BASE}:turns", "k=other", 9)],
        {"stray_entry": ["lane-1"]},
    ),
    "a delayed job in a lane": ([zadd(LANE, "later", 5)], {"stray_entry": ["later"]}),
    "a waiting job in a parking": ([zadd(PARKING, "later", 5)], {"stray_entry": ["later"]}),
    "parked, retried and noted jobs that are nowhere": (
        [zadd(PARKING, "gone"), zadd(f"{BASE}:retry", "gone"), hset(f"{BASE}:side", "gone", "{}")],
        {"stray_entry": ["gone"], "stray_side": ["gone"]},
    ),
    "a job in two queues": ([zadd(OTHER, "retries", 5)], {"two_queues": ["retries"]}),
    "a running job in two queues": ([zadd(OTHER, "runs", 5)], {"two_queues": ["runs"]}),
    "a running job that its queue lost": ([zrem(BASE, "runs")], {"lease_not_in_queue": ["runs"]}),
    "a running job that waits for a retry": ([zadd(f"{BASE}:retry", "runs")], {"stray_entry": ["runs"]}),
    "a mark without a lease": ([put(f"{MARK}waits", A_MARK)], {"stray_mark": ["waits"]}),
    "a mark of nobody": ([put(f"{MARK}gone", A_MARK)], {"stray_mark": ["gone"]}),
    "a cancel of one that does not run": (
        [hset(f"{SHARD}:cancels", "waits", f"requested {A_MARK}")],
        {"stray_cancel": ["waits"]},
    ),
    "a cancel of an earlier run": (
        [hset(f"{SHARD}:cancels", "runs", f"requested {A_MARK}")],
        {"stray_cancel": ["runs"]},
    ),
    "a completed job without result": ([delete(f"{RESULT}done")], {"completed_without_result": ["done"]}),
    "a result without end": ([zrem(f"{BASE}:completed", "done")], {"endless_result": ["done"]}),
    "an archived job without itself": ([delete(f"{BASE}:dead:dead")], {"archived_without_job": ["dead"]}),
    "an archived job in no list": ([zrem(f"{BASE}:archived", "dead")], {"dead_unlisted": ["dead"]}),
    "a lane without turn": ([zrem(f"{BASE}:closed", "k=acme")], {"idle_lane": ["k=acme"], "stray_turn": ["k=acme"]}),
    "a lane behind nobody": ([zrem(f"{BASE}:behind:k=acme", "k=acme")], {"idle_lane": ["k=acme"]}),
    "a lane with two turns": ([zadd(f"{BASE}:turns", "k=acme")], {"stray_turn": ["k=acme"]}),
    "turns of no lane": (
        [zadd(f"{BASE}:turns", "k=no"), zadd(f"{BASE}:closed", "k=nay"), zadd(f"{BASE}:behind:k=never", "k=never")],
        {"stray_turn": ["k=nay", "k=never", "k=no"]},
    ),
    "a lane behind a limit that is not its own": (
        [zadd(f"{BASE}:behind:k=other", "k=acme")],
        {"stray_turn": ["k=acme"]},
    ),
    "too many leases counted": ([hset(f"{BASE}:held", "k=acme", "3")], {"wrong_count": ["k=acme"]}),
    "too few leases counted": (
        [lambda redis: redis.hdel(f"{BASE}:held", "k=acme")],
        {"wrong_count": ["k=acme"], "idle_lane": ["k=acme"]},
    ),
    "leases of nobody counted": ([hset(f"{SHARD}:held", "r=stripe", "2")], {"wrong_count": ["r=stripe"]}),
    "a unique key of nobody": (
        [put(f"{SHARD}:unique:beef", f"{BASE} gone")],
        {"key_without_holder": [f"{SHARD}:unique:beef"]},
    ),
    "a unique key of another's": (
        [put(f"{SHARD}:unique:beef", f"{BASE} unique")],
        {"key_without_holder": [f"{SHARD}:unique:beef"]},
    ),
    "an open key of one that runs": (
        [lambda redis: redis.hset(f"{SHARD}:open:beef", mapping={"base": BASE, "id": "runs"})],
        {"key_without_holder": [f"{SHARD}:open:beef"]},
    ),
    "a worker without end": (
        [hset(f"{SHARD}:worker:w9", "claim", "1")],
        {"endless_key": [f"{SHARD}:worker:w9"]},
    ),
    "a queue in no list": (
        [lambda redis: redis.srem(f"{SHARD}:queues", OTHER)],
        {"unlisted_queue": [OTHER]},
    ),
}


@pytest.mark.parametrize("case", MENDABLE)
async def test_it_is_named_and_mended_once_and_every_job_then_runs(stock, case):
    breaks, expected = MENDABLE[case]
    for broken in breaks:
        await broken(stock.redis)
    seen = await stock.fsck()
    assert {kind: set(names) for kind, names in told(seen).items()} == {k: set(names) for k, names in expected.items()}
    assert seen.left > 0
    mended = await stock.fsck(mend=True)
    assert mended.found
    assert mended.left == 0
    after = await stock.everything()
    again = await stock.fsck(mend=True)
    assert (told(again), again.left) == ({}, 0)
    assert await stock.everything() == after
    assert await stock.drain() == {*WAITING, "elsewhere"}
    assert told(await stock.fsck()) == {}


async def test_a_retry_goes_back_at_its_time_and_a_parked_job_to_its_line(stock):
    due = await stock.score("retries")
    await stock.redis.zrem(BASE, "retries", "parks", "lane-1")
    await stock.fsck(mend=True)
    found = [await stock.score(job_id) for job_id in ("retries", "parks", "lane-1")]
    assert found == [due, PARKED, LANED]


async def test_a_job_whose_payload_is_gone_is_archived_with_that_cause(stock):
    await stock.redis.delete(f"{JOB}later", f"{JOB}lane-1")
    assert told(await stock.fsck()) == {"no_payload": ["lane-1", "later"]}
    assert (await stock.fsck(mend=True)).left == 0
    traces = await stock.traces("lane-1")
    assert set(traces) == {"default:archived", "default:dead:lane-1"}
    assert traces["default:dead:lane-1"]["info"]["message"].startswith("the payload is gone")
    assert told(await stock.fsck(mend=True)) == {}
    assert await stock.drain() == {*WAITING, "elsewhere"} - {"later", "lane-1"}


async def test_a_running_job_whose_payload_is_gone_ends_by_its_run_and_counts_until_then(stock):
    await stock.redis.delete(f"{JOB}holds")
    report = await stock.fsck(mend=True)
    assert (told(report), report.left) == ({"no_payload": ["holds"]}, 1)
    await stock.worker.finish(completed(stock.leases["holds"]))
    assert told(await stock.fsck()) == {}


async def test_a_job_that_arqs_abort_made_due_is_no_trouble_in_its_lane(stock):
    await stock.redis.zadd(BASE, {"lane-2": 1})
    assert told(await stock.fsck(mend=True)) == {}


async def test_a_job_in_the_wrong_lane_keeps_its_due_time(stock):
    await stock.redis.zrem(LANE, "lane-1")
    await stock.redis.zadd(f"{BASE}:lane:k=other", {"lane-1": 5})
    await stock.fsck(mend=True)
    assert await stock.redis.zscore(LANE, "lane-1") == 5


async def test_a_payload_of_which_nobody_knows_the_queue_is_left_and_said(stock):
    await stock.redis.zrem(BASE, "waits")
    for mend in (False, True):
        report = await stock.fsck(mend=mend)
        assert told(report) == {"payload_in_no_queue": ["waits"]}
        assert (report.left, report.problems[0].mendable) == (1, 0)
    assert await stock.redis.exists(f"{JOB}waits") == 1


async def test_a_job_in_two_queues_that_nothing_tells_apart_is_left(stock):
    await stock.redis.zadd(OTHER, {"waits": 5})
    report = await stock.fsck(mend=True)
    assert (told(report), report.left) == ({"two_queues": ["waits"]}, 1)
    assert [await stock.score("waits"), await stock.score("waits", "other")] != [None, None]


async def test_what_is_left_of_a_payload_that_the_archive_has_is_removed(stock):
    payload = await stock.redis.hget(f"{BASE}:dead:dead", "payload")
    await stock.redis.set(f"{JOB}dead", payload)
    assert told(await stock.fsck(mend=True)) == {"ended_payload": ["dead"]}
    assert await stock.redis.exists(f"{JOB}dead") == 0
    assert await stock.jobs.rerun("default", "dead") == 1


async def test_a_job_that_is_archived_and_waits_goes_on_waiting(stock):
    payload = await stock.redis.hget(f"{BASE}:dead:dead", "payload")
    await stock.redis.set(f"{JOB}dead", payload)
    await stock.redis.zadd(BASE, {"dead": 5})
    assert told(await stock.fsck(mend=True)) == {"archived_and_live": ["dead"]}
    assert told(await stock.fsck()) == {}
    assert "dead" in await stock.drain()


async def test_an_id_that_is_used_again_while_its_first_job_is_archived_is_no_trouble(stock):
    await stock.redis.delete(f"{RESULT}dead")
    await stock.put("dead")
    assert told(await stock.fsck(mend=True)) == {}


async def test_a_lease_that_nobody_took_back_is_taken_back_and_counted(stock):
    state = f"{SHARD}:state"
    await stock.redis.zadd(f"{BASE}:active", {"runs": 5})
    await stock.redis.hset(state, mapping={"amnesty": 1})
    await stock.redis.hdel(f"{SHARD}:worker:w1", "beat")
    assert told(await stock.fsck()) == {"stale_lease": ["runs"]}
    report = await stock.fsck(mend=True)
    assert (told(report), report.left) == ({"stale_lease": ["runs"]}, 0)
    assert await stock.redis.zscore(f"{BASE}:active", "runs") is None
    assert (await stock.jobs.looks.side("default", "runs"))["l"] == 1


async def test_a_lease_is_taken_back_when_those_who_were_silent_have_had_their_time(stock):
    await stock.redis.zadd(f"{BASE}:active", {"runs": 5})
    await stock.redis.hset(f"{SHARD}:state", mapping={"amnesty": 1, "seen": 1})
    await stock.redis.hdel(f"{SHARD}:worker:w1", "beat")
    report = await Fsck(stock.jobs, lease_ms=300).run(mend=True)
    assert (told(report), report.left) == ({"stale_lease": ["runs"]}, 0)
    assert await stock.redis.zscore(f"{BASE}:active", "runs") is None


async def test_a_lease_whose_worker_may_yet_speak_is_no_trouble(stock):
    now = int((await stock.redis.time())[0]) * 1000
    await stock.redis.zadd(f"{BASE}:active", {"runs": 5})
    await stock.redis.hset(f"{SHARD}:state", "amnesty", now + 10_000)
    assert told(await stock.fsck()) == {}


async def test_a_lease_without_mark_is_taken_back_when_it_ends(stock):
    await stock.redis.delete(f"{MARK}runs")
    now = int((await stock.redis.time())[0]) * 1000
    await stock.redis.zadd(f"{BASE}:active", {"runs": now + 500})
    await stock.redis.hset(f"{SHARD}:state", mapping={"seen": now, "amnesty": 1})
    report = await stock.fsck(mend=True)
    assert (told(report), report.left) == ({"lease_without_mark": ["runs"]}, 0)
    assert "runs" in await stock.drain()


async def test_a_worker_that_beats_gives_its_key_an_end_by_itself(stock):
    await stock.redis.persist(f"{SHARD}:worker:w1")
    assert told(await stock.fsck()) == {}


async def test_what_others_keep_on_the_server_is_not_looked_at(stock):
    job = pickle.dumps({"t": None, "f": "pay", "a": (), "k": {}, "et": 1})
    await stock.redis.psetex(f"{JOB}theirs", 60_000, job)
    await stock.redis.zadd("arq:theirs", {"theirs": 1})
    await stock.redis.psetex(f"{MARK}running", 60_000, "1")
    await stock.redis.set(f"{RESULT}forever", job)
    await stock.redis.set("session:1", "x")
    await stock.redis.sadd("jobsd:{second}::queues", "jobsd:{second}:mails")
    await stock.redis.zadd("jobsd:{second}:mails", {"second": 1})
    await stock.redis.zadd("jobsd:{second}:mails:active", {"second": 1})
    await stock.redis.set(f"{JOB}second", '{"i":"0123456789ab","f":"x"}')
    await stock.redis.set(f"{MARK}second", A_MARK)
    before = await stock.redis.get(f"{MARK}second")
    report = await stock.fsck(mend=True)
    assert told(report) == {}
    assert report.all_notes() == ["1 payloads of arq's clients are in no queue that jobsd knows"]
    assert await stock.redis.get(f"{MARK}second") == before


async def test_keys_that_hold_something_else_are_said_and_touched_by_nobody(stock):
    await stock.redis.set(f"{OTHER}:retry", "text")
    await stock.redis.set(f"{SHARD}:oddity", "text")
    await stock.redis.set(f"{BASE}:oddity", "text")
    await stock.redis.rpush(f"{JOB}odd", "text")
    for mend in (False, True):
        report = await stock.fsck(mend=mend)
        assert told(report) == {
            "unreadable_job": ["odd"],
            "wrong_type": [f"{OTHER}:retry"],
            "unknown_key": sorted([f"{SHARD}:oddity", f"{BASE}:oddity"]),
        }
        assert report.left == 4


async def test_one_queue_alone_may_be_looked_at(stock):
    await stock.redis.zrem(f"{BASE}:archived", "dead")
    assert told(await stock.fsck("other")) == {}
    report = await stock.fsck("default")
    assert (told(report), report.queues) == ({"dead_unlisted": ["dead"]}, 1)
    with pytest.raises(UnknownQueueError, match="no daemon serves a queue 'defualt'; did you mean 'default'"):
        await stock.fsck("defualt")


async def test_many_are_mended_in_chunks_and_the_first_are_named(stock):
    await stock.put(*(f"many-{n:04}" for n in range(1000)))
    await stock.put(*(f"more-{n:04}" for n in range(300)))
    names = [f"many-{n:04}" for n in range(1000)] + [f"more-{n:04}" for n in range(300)]
    await stock.redis.hset(f"{BASE}:side", mapping=dict.fromkeys(names, '{"n":1}'))
    await stock.redis.zrem(BASE, *names)
    report = await stock.fsck(mend=True)
    (found,) = report.problems
    assert (found.kind, found.count, found.mended, len(found.items)) == ("payload_in_no_queue", 1300, 1300, 1000)
    assert told(await stock.fsck()) == {}


async def test_two_repairs_at_once_do_no_more_than_one(stock):
    await stock.redis.zrem(BASE, "retries", "parks", "lane-1", "unique")
    reports = await asyncio.gather(stock.fsck(mend=True), stock.fsck(mend=True))
    assert [report.left for report in reports] == [0, 0]
    assert told(await stock.fsck()) == {}
    assert await stock.drain() == {*WAITING, "elsewhere"}
