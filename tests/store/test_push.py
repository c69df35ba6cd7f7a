"""push.lua: what comes from the outbox is stored once, whoever pushes it, how often and how late."""

from __future__ import annotations

import json

import pytest

from jobsd.store.codec import encode_payload
from jobsd.store.connection import REFUSED
from jobsd.store.ids import new_id, outbox_incarnation_of
from jobsd.store.jobs import Jobs, NewJob, Quota
from jobsd.store.outbox import OverLifeError, PushedJob, PushedJobs, as_rows, incarnation_in
from tests.store.shop import an_ending

BASE = "jobsd:{main}:default"
MEMBERS = "jobsd:{main}::outbox"
KEEP = {"keep_completed_count": 10, "keep_archived_ms": 60_000, "keep_archived_count": 10}


def a_payload(task: str = "email:send", limits: str = "", incarnation: str | None = None) -> str:
    return encode_payload(
        incarnation=incarnation or outbox_incarnation_of(new_id()),
        task=task,
        args=(),
        kwargs={},
        enqueued_at=1,
        options={},
        limits=limits,
    ).decode()


def a_job(job_id: str = "job-1", **facts) -> PushedJob:
    job = PushedJob("default", job_id, 1_000, a_payload(), at_once=False, again=False)
    return job._replace(**facts)


def member_of(job: PushedJob) -> bytes:
    return f"{job.id} {job.payload[6:18]}".encode()


class Counter:
    """One who pushes, and one who claims and ends."""

    def __init__(self, redis) -> None:
        self.redis = redis
        self.pushed = PushedJobs(redis)
        self.jobs = Jobs(redis)
        self.number = 0

    async def push(self, *jobs: PushedJob) -> str:
        return await self.pushed.push(await self.pushed.life("server"), jobs)

    async def run(self, move: str = "C") -> list[str]:
        """Claim what is due and end it so."""
        self.number += 1
        await self.jobs.extend("w", 15_000, [])
        claimed = await self.jobs.claim(
            "w", self.number, [Quota("default", 10)], slots=10, lease_ms=15_000, max_losses=3, records=False
        )
        endings = [
            an_ending(lease, move, 60_000, "{}" if move == "A" else "", result=(lease.payload or b"")[:19] + b',"r":1}')
            for lease in claimed.leases
        ]
        await self.jobs.finish("w", self.number, endings, **KEEP)
        return [lease.id for lease in claimed.leases]


@pytest.fixture
def counter(redis) -> Counter:
    return Counter(redis)


async def test_a_job_is_stored_at_its_due_time_and_its_queue_is_known_from_then_on(counter, redis):
    assert await counter.push(a_job(due_ms=5_000)) == "s"
    assert await redis.zrange(BASE, 0, -1, withscores=True) == [(b"job-1", 5_000)]
    assert await redis.sismember("jobsd:{main}::queues", BASE)
    assert await redis.llen(BASE + ":wake") == 1


async def test_a_job_that_is_there_is_not_stored_again_and_runs_once(counter):
    job = a_job()
    assert await counter.push(job) == "s"
    assert await counter.push(job) == "t"
    assert await counter.run() == ["job-1"]
    assert await counter.run() == []


@pytest.mark.parametrize("move", ["C", "A", "D"])
async def test_a_job_that_has_ended_is_not_stored_again_by_a_late_push(counter, redis, move):
    job = a_job()
    await counter.push(job)
    assert await counter.run(move) == ["job-1"]
    assert await counter.push(job) == "t"
    assert await redis.zcard(BASE) == 0


@pytest.mark.parametrize("move", ["C", "A"])
async def test_of_a_job_that_is_not_remembered_its_result_or_the_archive_tells_that_it_has_ended(counter, redis, move):
    job = a_job()
    await counter.push(job)
    await counter.run(move)
    await redis.delete(MEMBERS)
    assert await counter.push(job) == "e"
    assert await redis.zcard(BASE) == 0


async def test_a_job_waits_while_another_with_its_id_is_live(counter, redis):
    plain = NewJob("default", "job-1", "", b'{"i":"0123456789ab","t":null,"f":"x","a":[],"k":{},"et":1}')
    await counter.jobs.enqueue("sender", 1, [plain])
    job = a_job()
    assert await counter.push(job) == "w"
    assert await redis.zscore(MEMBERS, member_of(job)) is None
    await counter.run("D")
    assert await counter.push(job) == "s"


async def test_two_of_one_push_cannot_have_the_same_id(counter):
    assert await counter.push(a_job(), a_job()) == "sw"


async def test_the_result_of_an_earlier_job_with_its_id_gives_way(counter, redis):
    await counter.push(a_job())
    await counter.run()
    stored = json.loads(await redis.get("arq:result:job-1"))
    await redis.set("arq:result:job-1", json.dumps(stored | {"q": "default", "id": "job-1"}, separators=(",", ":")))
    assert await redis.zcard(BASE + ":completed") == 1
    assert await counter.push(a_job()) == "s"
    assert await redis.exists("arq:result:job-1") == 0
    assert await redis.zcard(BASE + ":completed") == 0


async def test_a_job_that_was_pushed_before_says_that_it_may_have_run(counter, redis):
    await counter.push(a_job("old", again=True), a_job("new"))
    assert await redis.hgetall(BASE + ":side") == {b"old": b'{"n":1,"d":1}'}


async def test_what_was_to_run_at_once_does_so_whatever_the_other_servers_clock_says(counter, redis):
    far = 9_000_000_000_000
    await counter.push(a_job("now", due_ms=far, at_once=True), a_job("later", due_ms=far))
    assert await redis.zscore(BASE, "now") < far
    assert await redis.zscore(BASE, "later") == far


async def test_nothing_is_stored_when_redis_has_lost_everything_meanwhile(counter, redis):
    life = await counter.pushed.life("server")
    await redis.flushall()
    await counter.pushed.life("server")
    with pytest.raises(OverLifeError, match=r"^EMPTIED$"):
        await counter.pushed.push(life, [a_job()])
    assert await redis.exists(BASE, MEMBERS) == 0


async def test_nothing_is_stored_by_one_who_was_stopped_for_long(counter, redis):
    life = await counter.pushed.life("server")
    with pytest.raises(OverLifeError, match=r"^LATE$"):
        await counter.pushed.push(life._replace(asked_at=life.asked_at - 21_000), [a_job()])
    assert await redis.exists(BASE, MEMBERS) == 0


async def test_a_key_that_is_no_queue_refuses_the_push_as_a_whole(counter, redis):
    await redis.set("jobsd:{main}:bad", "text")
    with pytest.raises(REFUSED, match="WRONGTYPE"):
        await counter.push(a_job("good"), a_job("bad", queue="bad"))
    assert await redis.exists(BASE) == 0


async def test_of_two_jobs_with_one_unique_key_the_second_is_over(counter, redis):
    limits = "u=00ff/60000"
    first, second = a_job("one", payload=a_payload(limits=limits)), a_job("two", payload=a_payload(limits=limits))
    assert await counter.push(first, second) == "sk"
    assert await redis.zrange(MEMBERS, 0, -1) == [member_of(first)]


async def test_a_job_that_was_pushed_before_waits_for_its_unique_key_and_is_no_duplicate(counter):
    limits = "u=00ff/60000"
    holder, lost = (
        a_job("one", payload=a_payload(limits=limits)),
        a_job("two", payload=a_payload(limits=limits), again=True),
    )
    assert await counter.push(holder, lost) == "sw"
    assert await counter.run() == ["one"]
    assert await counter.push(lost) == "s"


async def test_a_job_with_a_limit_key_waits_in_its_lane(counter, redis):
    assert await counter.push(a_job(payload=a_payload(limits="k=acme"))) == "s"
    assert await redis.zrange(BASE + ":lane:k=acme", 0, -1) == [b"job-1"]


async def test_a_job_without_a_row_is_remembered_for_a_while_and_then_forgotten(counter, redis):
    kept, gone = a_job("kept"), a_job("gone")
    await counter.push(kept, gone)
    assert (await counter.pushed.to_look_at())[1] == []  # too early to ask
    later, asked = await counter.pushed.to_look_at(later_ms=200_000)
    assert sorted(asked) == [("gone", gone.payload[6:18]), ("kept", kept.payload[6:18])]
    await counter.pushed.looked_at(later, [asked[1]], [asked[0]])
    assert await counter.push(gone) == "t"
    assert (await counter.pushed.to_look_at(later_ms=230_000))[1] == []
    assert await counter.push(gone) == "t"
    await counter.pushed.to_look_at(later_ms=270_000)
    assert await redis.zrange(MEMBERS, 0, -1) == [member_of(kept)]


async def test_a_forgotten_job_does_not_come_back_by_the_answer_of_a_late_look(counter, redis):
    job = a_job()
    await counter.pushed.looked_at(1, [(job.id, job.payload[6:18])], [])
    assert await redis.exists(MEMBERS) == 0


def test_rows_of_the_outbox_have_what_the_scripts_find_in_the_payload():
    payload = a_payload().encode()
    job = NewJob("default", "job-1", "+500 ", payload)
    [row] = json.loads(as_rows([job]))
    assert row == {"id": "job-1", "i": incarnation_in(job), "q": "default", "w": "+500", "p": payload.decode()}
    assert incarnation_in(job).startswith("o")
    assert len(incarnation_in(job)) == 12
