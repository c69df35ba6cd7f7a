"""The outbox against Redis against the ledger: what has ended leaves it, what Redis has lost comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobsd.admin.fsck import Fsck
from jobsd.records.pool import open_pool
from jobsd.records.writing import write
from jobsd.relay.outbox import Pusher
from jobsd.store.jobs import NewJob
from jobsd.store.outbox import PushedJobs, as_rows
from tests.admin.stock import BASE, OTHER, SHARD, WAITING, Stock, told
from tests.records.ledger import a_ledger, a_record
from tests.store.shop import a_payload, completed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd.admin.report import Report
    from jobsd.records.pool import Pool

INCARNATION = "o0123456789a"
PAYLOAD = b'{"i":"' + INCARNATION.encode() + a_payload()[18:]
MEMBER = f"sent {INCARNATION}"


class Counter:
    """A stock, a ledger, and a pusher between them; the job ``sent`` came from the outbox."""

    def __init__(self, stock: Stock, pool: Pool) -> None:
        self.stock = stock
        self.redis: Any = stock.redis
        self.pool = pool

    async def put(self, job_id: str = "sent") -> None:
        await self.pool.execute("SELECT jobsd.put_in_outbox($1)", as_rows([NewJob("default", job_id, "", PAYLOAD)]))

    async def push(self) -> None:
        """Do one round of a daemon's pusher, which finds a new life at once."""
        pusher = Pusher(self.pool, PushedJobs(self.redis), lambda: True)
        await pusher._tick()
        await pusher._news.close()

    async def record(self, transition: str, **facts: Any) -> None:
        facts = {"job_id": "sent", "incarnation": INCARNATION, "transition": transition} | facts
        await write(self.pool, [a_record(**facts)])

    async def in_outbox(self) -> list[str]:
        return [row["job_id"] for row in await self.pool.fetch("SELECT job_id FROM jobsd.outbox ORDER BY job_id")]

    async def fsck(self, *, mend: bool = False) -> Report:
        return await Fsck(self.stock.jobs, self.pool, lease_ms=20).run(mend=mend)

    async def lose(self) -> None:
        """Let Redis lose the job, and nothing else."""
        await self.redis.delete("arq:job:sent")
        await self.redis.zrem(BASE, "sent")


@pytest.fixture
async def counter(redis, database_url) -> AsyncIterator[Counter]:
    stock = await Stock(redis).open()
    await redis.set(f"{SHARD}:epoch", "first")
    async with a_ledger(database_url) as pool:
        counter = Counter(stock, pool)
        await counter.put()
        await counter.push()
        assert await redis.exists("arq:job:sent")
        yield counter


async def test_nothing_is_wrong_with_a_job_that_is_in_both(counter):
    for mend in (False, True):
        report = await counter.fsck(mend=mend)
        assert (told(report), report.all_notes()) == ({}, [])
    assert await counter.stock.drain() == {*WAITING, "elsewhere", "sent"}


async def test_a_job_that_redis_has_lost_comes_back_as_one_that_may_have_run(counter):
    await counter.lose()
    assert told(await counter.fsck()) == {"outbox_lost": ["sent"]}
    await counter.push()
    assert await counter.redis.exists("arq:job:sent") == 0  # by itself it would never come back
    report = await counter.fsck(mend=True)
    assert (told(report), report.left) == ({"outbox_lost": ["sent"]}, 0)
    await counter.push()
    assert told(await counter.fsck()) == {}
    assert await counter.stock.jobs.looks.side("default", "sent") == {"n": 1, "d": 1}
    assert "sent" in await counter.stock.drain()


async def test_a_job_whose_payload_alone_is_gone_comes_back_and_is_not_archived(counter):
    await counter.redis.delete("arq:job:sent")
    assert told(await counter.fsck()) == {"no_payload": ["sent"]}
    report = await counter.fsck(mend=True)
    assert report.left == 0
    assert await counter.redis.zscore(f"{BASE}:archived", "sent") is None
    await counter.push()
    assert told(await counter.fsck(mend=True)) == {}
    assert "sent" in await counter.stock.drain()


async def test_without_the_outbox_it_is_not_archived_either(counter):
    await counter.redis.delete("arq:job:sent")
    report = await counter.stock.fsck(mend=True)
    assert (told(report), report.left) == ({"no_payload": ["sent"]}, 1)
    assert report.problems[0].items[0]["detail"] == "it may be in the outbox, and no Postgres is configured here"
    assert (await counter.fsck(mend=True)).left == 0


async def test_a_payload_in_no_queue_goes_back_into_the_one_that_the_outbox_names(counter):
    await counter.redis.zrem(BASE, "sent")
    assert told(await counter.fsck()) == {"payload_in_no_queue": ["sent"]}
    assert (await counter.fsck()).problems[0].mendable == 1
    assert (await counter.fsck(mend=True)).left == 0
    assert told(await counter.fsck()) == {}
    assert "sent" in await counter.stock.drain()


async def test_or_into_the_one_of_its_last_execution(counter):
    (lease,) = [lease for lease in await counter.stock.worker.claim() if lease.id == "waits"]
    incarnation = lease.payload[6:18].decode()
    await counter.redis.delete("arq:in-progress:waits")
    await counter.redis.zrem(BASE, "waits")
    await counter.redis.zrem(f"{BASE}:active", "waits")
    counter.stock.worker.held.remove(lease)
    await counter.record("retry", job_id="waits", incarnation="another", outcome="failed", queue="other")
    assert (await counter.fsck(mend=True)).left == 1
    await counter.record("retry", job_id="waits", incarnation=incarnation, outcome="failed", queue="other", attempt=2)
    await counter.pool.execute("DELETE FROM jobsd.executions WHERE attempt = 1")
    assert (await counter.fsck(mend=True)).left == 0
    assert await counter.redis.zscore(OTHER, "waits") is not None
    assert "waits" in await counter.stock.drain()


async def test_a_job_that_has_ended_by_the_ledger_leaves_the_outbox(counter):
    await counter.record("completed")
    await counter.put()  # the recorder has deleted it
    await counter.lose()
    assert told(await counter.fsck()) == {"outbox_ended": ["sent"]}
    assert (await counter.fsck(mend=True)).left == 0
    assert await counter.in_outbox() == []
    assert told(await counter.fsck(mend=True)) == {}


async def test_a_job_that_has_ended_by_its_result_leaves_the_outbox_when_nothing_waits_for_the_ledger(counter):
    leases = await counter.stock.worker.claim()
    await counter.stock.worker.finish(*(completed(lease) for lease in leases if lease.id == "sent"))
    name = await counter.redis.xadd(f"{SHARD}:records", {"sent": b"{}"})
    looking = asyncio.create_task(counter.fsck(mend=True))
    await asyncio.sleep(0)
    assert await counter.in_outbox() == ["sent"]
    await counter.redis.xdel(f"{SHARD}:records", name)
    report = await looking
    assert (told(report), report.left) == ({"outbox_ended": ["sent"]}, 0)
    assert await counter.in_outbox() == []


async def test_a_job_whose_record_waits_is_not_judged(counter, monkeypatch):
    monkeypatch.setattr("jobsd.admin.outbox_check._SETTLED_WITHIN_S", 0.01)
    await counter.lose()
    await counter.redis.xadd(f"{SHARD}:records", {"sent": b"{}"})
    report = await counter.fsck(mend=True)
    assert told(report) == {}
    assert report.all_notes()[0] == "1 jobs of the outbox were not judged: their records still wait"


async def test_a_job_whose_record_the_ledger_has_refused_is_left(counter):
    await counter.lose()
    await counter.pool.execute("INSERT INTO jobsd.records_rejected (job_id, raw, cause) VALUES ('sent', 'a', 'odd')")
    report = await counter.fsck(mend=True)
    assert (told(report), report.left) == ({"outbox_lost": ["sent"]}, 1)
    assert report.problems[0].items[0]["detail"] == "the ledger has refused a record of it: has it run?"
    assert report.all_notes() == ["1 records were ever refused by the ledger"]


async def test_a_job_that_runs_again_though_the_ledger_says_that_it_has_ended_is_said_and_left(counter):
    await counter.record("completed")
    await counter.put()
    report = await counter.fsck(mend=True)
    assert (told(report), report.left) == ({"ended_and_live": ["sent"]}, 1)


async def test_what_waits_as_it_is_meant_to_is_a_note(counter):
    await counter.put("later")
    await counter.put("waits")
    await counter.pool.execute("UPDATE jobsd.outbox SET enqueued_at = enqueued_at - interval '1 hour'")
    report = await counter.fsck(mend=True)
    assert told(report) == {}
    assert report.all_notes() == ["2 jobs of the outbox wait until other jobs with their ids have ended"]
    await counter.put("new")
    await counter.pool.execute("UPDATE jobsd.outbox SET enqueued_at = enqueued_at - interval '1 hour'")
    report = await counter.fsck()
    assert "1 jobs of the outbox wait to be pushed: does a daemon with Postgres run?" in report.all_notes()


async def test_a_job_that_redis_refuses_is_said_with_its_cause(counter):
    await counter.put("refused")
    await counter.pool.execute("UPDATE jobsd.outbox SET problem = 'WRONGTYPE' WHERE job_id = 'refused'")
    report = await counter.fsck(mend=True)
    assert (told(report), report.left) == ({"outbox_refused": ["refused"]}, 1)


async def test_what_nobody_forgot_is_forgotten(counter):
    await counter.pool.execute("DELETE FROM jobsd.outbox")
    assert told(await counter.fsck()) == {}  # daemons ask in their time
    await counter.redis.zadd(f"{SHARD}:outbox", {MEMBER: 5})
    assert told(await counter.fsck()) == {"outbox_forgotten": ["sent"]}
    assert (await counter.fsck(mend=True)).left == 0
    assert await counter.redis.zscore(f"{SHARD}:outbox", MEMBER) < 0
    assert told(await counter.fsck(mend=True)) == {}


async def test_a_ledger_that_does_not_answer_is_an_error(counter, tmp_path):
    pool = await open_pool(f"postgresql:///ledger?host={tmp_path}")
    with pytest.raises(Exception, match=r"Postgres at .* is out of reach"):
        await Fsck(counter.stock.jobs, pool).run()
    await pool.close()
