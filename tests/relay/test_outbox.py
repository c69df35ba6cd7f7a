"""Jobs enqueued in a transaction: in Redis once it has committed, never else, and again if Redis has lost them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from jobsd import Drop, SkipRetry
from jobsd.definition import Task
from jobsd.errors import JobFailedError, JobNotFoundError
from jobsd.records.inserting import as_json, insert
from jobsd.records.outbox import end, handover
from jobsd.records.queries import query
from jobsd.relay import outbox
from jobsd.store.outbox import PushedJobs
from tests.records.ledger import an_execution
from tests.relay.office import BASE, NOTE, Office, is_state
from tests.waiting import until


async def test_a_job_is_in_redis_after_the_commit_and_not_before(office):
    async with office.pusher().running():
        async with office.conn.transaction():
            ref = await office.hall.client.enqueue(NOTE.opts(conn=office.conn), 1)
            async with asyncio.timeout(10):
                await office.another_commits()
            assert await ref.status() == "unknown"
        await until(lambda: is_state(ref, "pending"))


async def test_nothing_is_left_of_a_transaction_that_rolled_back(office):
    async with office.pusher().running():
        transaction = office.conn.transaction()
        await transaction.start()
        await office.hall.client.enqueue(NOTE.opts(conn=office.conn), 1)
        await transaction.rollback()
        await office.enqueue(2)
        await until(office.in_redis)
    assert await office.in_redis() == 1
    assert len(await office.rows()) == 1


async def test_the_commit_tells_the_pusher(office, monkeypatch):
    monkeypatch.setattr(outbox, "POLL_S", 3600)
    async with office.pusher().running():
        for n in (1, 2):  # the first may be found by the first look

            async def there(n=n):
                return await office.in_redis() == n

            await office.enqueue(n)
            await until(there)


async def test_what_no_notification_told_is_found(office, monkeypatch):
    async def deaf(self):
        return None

    monkeypatch.setattr("jobsd.records.news.News.listen", deaf)
    async with office.pusher().running():
        await office.enqueue(1)
        await until(office.in_redis)


@pytest.mark.parametrize("record", ["all", "none"])
@pytest.mark.parametrize("ends", ["completed", "archived", "removed"])
async def test_a_job_leaves_the_outbox_when_it_has_ended_also_if_nothing_is_recorded_of_it(office, record, ends):
    async def end(ctx):
        if ends == "archived":
            raise SkipRetry("no")
        if ends == "removed":
            raise Drop("no")

    task = Task(end, "end", record=record)
    office.work(task)
    async with office.pusher().running():
        async with office.conn.transaction():
            await office.hall.client.enqueue(task.opts(conn=office.conn))
        assert len(await office.rows()) == 1
        await until(office.belt.left)
        assert len(await office.rows()) == 1  # until the recorder knows
        async with office.recording():

            async def empty():
                return not await office.rows()

            await until(empty)
    assert [row["transition"] for row in await office.belt.rows()] == ([ends] if record == "all" else [])


async def test_jobs_that_redis_has_lost_come_back_and_run_in_the_order_in_which_they_were_due(office):
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    numbers = [7, 3, 9, 1, 5, 0, 8, 2, 6, 4]
    async with office.pusher().running():
        for n in numbers:
            await office.enqueue(n, at=long_ago + timedelta(seconds=n))

        async def all_there():
            return await office.in_redis() == len(numbers)

        await until(all_there)
        await office.redis.flushall()
        await until(all_there)
        office.work(concurrency=1)
        await until(lambda: len(office.ran) == len(numbers))
    assert office.ran == sorted(numbers)
    assert {row["attempt"] for row in await _executions(office)} == {2}  # the first may have been, and is lost


async def _executions(office: Office) -> list[dict[str, Any]]:
    async with office.recording():

        async def recorded():
            return not await office.belt.left() and await office.belt.rows()

        await until(recorded)
    return await office.belt.rows()


async def test_another_server_with_the_same_jobs_gets_none_twice(office, monkeypatch):
    async with office.pusher().running():
        await office.enqueue(1, 2, 3)

        async def pushed():
            return all(row["pushed_to"] for row in await office.rows())

        await until(pushed)
        before = {row["pushed_to"] for row in await office.rows()}

    async def another(self):
        return "another"

    monkeypatch.setattr(PushedJobs, "server", another)
    async with office.pusher().running():

        async def seen():
            return all(row["pushed_to"].startswith("another ") for row in await office.rows())

        await until(seen)
        office.work()
        await until(lambda: len(office.ran) == 3)
    assert sorted(office.ran) == [1, 2, 3]
    assert await office.redis.hgetall(BASE + ":side") == {}
    assert before


async def test_while_one_pusher_has_jobs_in_hand_others_take_the_rest(office):
    await office.enqueue(1)
    async with handover(office.belt.pool, "", 10) as taken, office.pusher().running():
        assert len(taken.jobs) == 1
        await office.enqueue(2)
        await until(office.in_redis)
        assert await office.in_redis() == 1
    async with office.pusher().running():

        async def both():
            return await office.in_redis() == 2

        await until(both)


@pytest.mark.parametrize(
    ("when", "due"),
    [
        ("+1500", timedelta(milliseconds=1500)),
        ("1800000000000", datetime(2027, 1, 15, 8, tzinfo=UTC)),
        ("-5", datetime(1970, 1, 1, tzinfo=UTC)),
        ("+99999999999999999", datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)),
    ],
)
async def test_a_job_is_due_when_its_caller_said_or_at_the_end_of_all_times_that_there_are(office, when, due):
    row = f'[{{"id": "a", "i": "oaaaaaaaaaaa", "q": "default", "w": "{when}", "p": "{{\\"i\\":\\"oaaaaaaaaaaa\\"}}"}}]'
    await office.conn.fetch("SELECT jobsd.put_in_outbox($1::text::json)", row)
    [found] = await office.rows()
    expected = found["enqueued_at"] + due if isinstance(due, timedelta) else due
    assert abs(found["due_at"] - expected) <= timedelta(milliseconds=1)


async def test_a_queue_that_redis_refuses_stops_no_other_and_its_jobs_wait_with_the_reason(office):
    await office.redis.set("jobsd:{main}:bad", "text")
    async with office.conn.transaction():
        await office.hall.client.enqueue(NOTE.opts(conn=office.conn, queue="bad"), 1)
        await office.hall.client.enqueue(NOTE.opts(conn=office.conn), 2)
    async with office.pusher().running():
        await until(office.in_redis)
    [bad] = [row for row in await office.rows() if row["queue"] == "bad"]
    assert bad["problem"].startswith("WRONGTYPE")
    assert bad["held_until"] is not None
    assert bad["pushed_to"] == ""


async def test_a_job_whose_id_is_taken_comes_when_the_other_has_ended(office):
    await office.hall.client.enqueue(NOTE.opts(id="daily"), 1)
    async with office.pusher().running():
        [ref] = await office.enqueue(2, id="daily")
        assert not ref.duplicate

        async def held():
            [row] = await office.rows()
            return row["problem"] == "another job with this id waits or runs"

        await until(held)
        office.work()
        assert await ref.result(timeout=10) == 2
    assert office.ran == [1, 2]


async def test_an_id_is_taken_while_its_job_is_in_the_outbox(office):
    [first] = await office.enqueue(1, id="daily")
    [second] = await office.enqueue(2, id="daily")
    assert (first.duplicate, second.duplicate, second.id) == (False, True, "daily")
    async with office.pusher().running():
        office.work()
        assert await second.result(timeout=10) == 1


async def test_the_result_of_a_job_is_waited_for_from_the_commit_on(office):
    office.work()
    async with office.pusher().running():
        async with office.conn.transaction():
            ref = await office.hall.client.enqueue(NOTE.opts(conn=office.conn), 7)
            waiting = asyncio.create_task(ref.result(timeout=10))
        assert await waiting == 7


async def test_who_waits_for_a_job_whose_transaction_rolled_back_is_told(office, monkeypatch):
    monkeypatch.setattr("jobsd.following._COMES_WITHIN_S", 0.2)
    tr = office.conn.transaction()
    await tr.start()
    ref = await office.hall.client.enqueue(NOTE.opts(conn=office.conn), 7)
    await tr.rollback()
    with pytest.raises(JobNotFoundError, match="no trace of job"):
        await ref.result()


async def test_a_job_that_nobody_can_read_leaves_the_outbox_with_its_place_in_the_archive(office):
    row = {"id": "daily", "i": "oaaaaaaaaaaa", "q": "default", "w": "", "p": '{"i":"oaaaaaaaaaaa","f":7}'}
    await office.conn.fetch("SELECT jobsd.put_in_outbox($1::text::json)", json.dumps([row]))
    office.work()
    async with office.pusher().running(), office.recording():

        async def over():
            return not await office.rows()

        await until(over)
    [execution] = await office.belt.rows()
    assert (execution["transition"], execution["incarnation"]) == ("archived", "oaaaaaaaaaaa")


async def test_the_failure_of_an_earlier_job_with_its_id_is_not_the_jobs(office, monkeypatch):
    async def fail(ctx):
        raise SkipRetry("yesterday")

    task = Task(fail, "fail")
    office.work(task)
    async with office.pusher().running(), office.recording():
        async with office.conn.transaction():
            first = await office.hall.client.enqueue(task.opts(conn=office.conn, id="daily"))
        with pytest.raises(JobFailedError, match="yesterday"):
            await first.result(timeout=10)

        async def over():
            return not await office.rows()

        await until(over)
    [today] = await office.enqueue(5, id="daily")  # not in Redis yet
    with pytest.raises(TimeoutError, match="has the transaction committed"):
        await today.result(timeout=0.1)
    async with office.pusher().running():
        assert await today.result(timeout=10) == 5


async def test_a_job_that_has_not_come_to_redis_is_waited_for_and_cancelled(office):
    [ref] = await office.enqueue(1, delay="1h")
    cancelling = asyncio.create_task(ref.cancel(timeout=10))
    async with office.pusher().running():
        assert await cancelling == "cancelled"


async def test_a_second_redis_gets_no_jobs_while_daemons_of_the_first_live_and_all_of_them_afterwards(
    office, monkeypatch
):
    async with office.pusher().running():
        await office.enqueue(1)
        await until(office.in_redis)
    await office.redis.flushall()  # another one, as far as a pusher can tell that was not there before
    second = office.pusher()
    async with second.running():
        await until(lambda: not second._home)
        assert await office.in_redis() == 0
        await office.conn.execute("UPDATE jobsd.outbox_home SET seen_at = now() - interval '31 s'")
        await until(office.in_redis)


@pytest.mark.parametrize(
    ("facts", "constraint"),
    [
        ({"q": "jobsd:{main}::outbox"}, "outbox_queue"),
        ({"q": "arq:job:1"}, "outbox_queue"),
        ({"id": "a b"}, "outbox_job_id"),
        ({"i": "0aaaaaaaaaaa"}, "outbox_incarnation"),
        ({"p": "{}"}, "outbox_payload"),
    ],
)
async def test_whoever_may_enqueue_may_write_to_no_other_key_of_redis(office, facts, constraint):
    row = {"id": "a", "i": "oaaaaaaaaaaa", "q": "default", "w": "", "p": '{"i":"oaaaaaaaaaaa"}'} | facts
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await office.conn.fetch("SELECT jobsd.put_in_outbox($1::text::json)", json.dumps([row]))


async def test_a_job_whose_end_was_written_by_an_older_recorder_leaves_the_outbox_at_the_next_look(office):
    async with office.pusher().running():
        [ref] = await office.enqueue(1)
        await until(office.in_redis)
    [row] = await office.rows()
    ended = an_execution(job_id=ref.id, incarnation=row["incarnation"])
    statement = query("insert_executions").replace("starts_with(w.incarnation, 'o')", "false")
    await office.conn.execute(statement, [as_json(ended).decode()])
    assert len(await office.rows()) == 1
    [member] = await office.redis.zrange("jobsd:{main}::outbox", 0, -1)
    await office.redis.zadd("jobsd:{main}::outbox", {member: 1})
    async with office.pusher().running():

        async def over():
            return not await office.rows()

        await until(over)


async def test_the_result_of_a_duplicate_is_that_of_the_job_in_the_outbox_and_of_no_earlier_one(office):
    office.work()
    async with office.pusher().running(), office.recording():
        [yesterday] = await office.enqueue(1, id="daily")
        assert await yesterday.result(timeout=10) == 1

        async def over():
            return not await office.rows()

        await until(over)
    await office.enqueue(2, id="daily")
    [again] = await office.enqueue(3, id="daily")
    assert again.duplicate
    with pytest.raises(TimeoutError):
        await again.result(timeout=0.1)
    async with office.pusher().running():
        assert await again.result(timeout=10) == 2


@pytest.mark.parametrize("told", ["execution", "end"])
async def test_the_late_record_of_an_earlier_job_with_its_id_leaves_a_job_in_the_outbox(office, told):
    await office.enqueue(1, id="daily")
    if told == "end":
        await end(office.belt.pool, [("daily", "oearlierjob1")])
    else:
        late = as_json(an_execution(job_id="daily", incarnation="oearlierjob1"))
        await insert(office.belt.pool, [late])
    assert len(await office.rows()) == 1
