"""Jobs that are enqueued in a transaction of the caller's: what the client stores there, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import asyncpg
import pytest

from jobsd import Client, aggregate, around_enqueue
from jobsd.definition import Task
from jobsd.errors import (
    EnqueueError,
    InvalidArgumentsError,
    InvalidOptionError,
    NotRunError,
    OutboxError,
    PayloadTooLargeError,
)
from jobsd.job import JobOptions
from jobsd.relay.outbox import Pusher
from jobsd.sending import MOST_JOBS
from jobsd.store.codec import decode_payload
from jobsd.store.ids import OUTBOX_MARK
from jobsd.store.outbox import PushedJobs
from jobsd.testing import capture
from tests.client.a_task import add
from tests.client.a_worker import AWorker
from tests.records.connections import KINDS, asyncpg_at_large, asyncpg_connection, psycopg_connection
from tests.records.ledger import a_ledger
from tests.registered import nothing_else_registered
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobsd import JobRequest
    from jobsd.records.pool import Pool


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Pool]:
    async with a_ledger(database_url) as pool:
        yield pool


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Any]:
    async with asyncpg_at_large(database_url) as connection:
        yield connection


async def outbox(ledger: Pool) -> list[Any]:
    return list(await ledger.fetch("SELECT * FROM jobsd.outbox ORDER BY number"))


async def test_a_job_goes_by_any_librarys_connection_and_into_redis_by_none(client, redis, ledger, database_url):
    expected = []
    for kind in KINDS:
        async with kind(database_url) as conn:
            by_task = await client.enqueue(add.opts(conn=conn), 1, b=2)
            by_name = await client.enqueue("add", 1, b=2, _queue="maths", _conn=conn)
        expected += [by_task, by_name]
        assert not by_task.duplicate
        assert not by_name.duplicate
    rows = await outbox(ledger)
    assert [(row["job_id"], row["queue"]) for row in rows] == [(ref.id, "maths") for ref in expected]
    for row in rows:
        payload = decode_payload(row["payload"].encode())
        assert (payload.task, payload.args, payload.kwargs) == ("add", (1,), {"b": 2})
        assert payload.incarnation == row["incarnation"]
        assert payload.incarnation.startswith(OUTBOX_MARK)
    assert await redis.keys("*") == []


async def test_neither_redis_nor_another_loop_matters_in_a_transaction(ledger, conn, tmp_path):
    async with Client(f"unix://{tmp_path}/nothing.sock") as client:
        async with conn.transaction():
            await client.enqueue(add.opts(conn=conn), 1)
        async with conn.transaction():
            await client.enqueue_many(add.opts(conn=conn).job(n) for n in range(3))
    assert len(await outbox(ledger)) == 4


async def test_options_and_headers_go_with_the_job(client, ledger, conn):
    at = datetime(2100, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    call = add.opts(conn=conn, queue="urgent", id="mine", at=at, timeout="7s", retries=9)
    async with conn.transaction():
        reference = await client.enqueue(call.job(1).with_headers({"by": "ann"}))
        await client.enqueue(add.opts(conn=conn, delay="1h"), 1)
    at_noon, delayed = await outbox(ledger)
    assert (reference.id, reference.queue) == ("mine", "urgent")
    assert (at_noon["job_id"], at_noon["queue"], at_noon["due_at"]) == ("mine", "urgent", at)
    payload = decode_payload(at_noon["payload"].encode())
    assert payload.options == JobOptions(timeout="7s", retries=9).to_wire()
    assert payload.headers == {"by": "ann"}
    assert abs((delayed["due_at"] - datetime.now(UTC)).total_seconds() - 3600) < 60


async def test_the_second_job_with_an_id_is_a_duplicate_in_the_same_transaction_and_in_the_next(client, ledger, conn):
    call = add.opts(conn=conn, id="daily")
    async with conn.transaction():
        first, second = await client.enqueue(call, 1), await client.enqueue(call, 2)
    async with conn.transaction():
        third = await client.enqueue(call, 3)
    assert [ref.duplicate for ref in (first, second, third)] == [False, True, True]
    [row] = await outbox(ledger)
    assert decode_payload(row["payload"].encode()).args == (1,)


async def test_an_id_is_free_again_when_the_transaction_that_took_it_is_rolled_back(client, ledger, conn):
    call = add.opts(conn=conn, id="daily")
    transaction = conn.transaction()
    await transaction.start()
    await client.enqueue(call, 1)
    await transaction.rollback()
    async with conn.transaction():
        assert not (await client.enqueue(call, 2)).duplicate
    [row] = await outbox(ledger)
    assert decode_payload(row["payload"].encode()).args == (2,)


async def test_many_jobs_are_stored_in_order_and_all_of_them_are_gone_after_a_rollback(client, ledger, conn):
    count = 2 * MOST_JOBS + 50

    async def calls() -> AsyncIterator[JobRequest[Any]]:
        for n in range(count):
            yield add.opts(conn=conn, id="twice" if n in {3, 5} else None).job(n)

    transaction = conn.transaction()
    await transaction.start()
    await client.enqueue_many(calls())
    await transaction.rollback()
    assert await outbox(ledger) == []
    async with conn.transaction():
        references = await client.enqueue_many(calls())
    assert [n for n, ref in enumerate(references) if ref.duplicate] == [5]
    rows = await outbox(ledger)
    assert [row["job_id"] for row in rows] == [ref.id for ref in references if not ref.duplicate]
    assert [decode_payload(row["payload"].encode()).args[0] for row in rows] == [n for n in range(count) if n != 5]


async def test_jobs_of_two_connections_or_of_none_do_not_go_together(client, ledger, conn, redis, database_url):
    told = "the same connection for all jobs of one enqueue_many, or none for all"
    async with conn.transaction(), asyncpg_connection(database_url) as other:
        for calls in (
            [add.opts(conn=conn), add.opts(conn=other)],
            [add.opts(conn=conn), add],
            [add, add.opts(conn=conn)],
        ):
            with pytest.raises(InvalidOptionError, match=told):
                await client.enqueue_many([call.job(1) for call in calls])
    assert await outbox(ledger) == []
    assert await redis.keys("arq:job:*") == []


async def test_hooks_go_around_an_enqueue_in_a_transaction(client, ledger, conn):
    with nothing_else_registered():
        seen: list[Any] = []

        @around_enqueue
        async def stamp(request, call_next):
            reference = await call_next(dataclasses.replace(request, queue="hooked").with_headers({"by": "hook"}))
            seen.append(reference.id)
            return reference

        async with conn.transaction():
            one = await client.enqueue(add.opts(conn=conn), 1)
            many = await client.enqueue_many([add.opts(conn=conn).job(n) for n in range(3)])
    rows = await outbox(ledger)
    assert sorted(seen) == sorted(row["job_id"] for row in rows) == sorted(ref.id for ref in (one, *many))
    assert {row["queue"] for row in rows} == {"hooked"}
    assert [decode_payload(row["payload"].encode()).headers for row in rows] == [{"by": "hook"}] * 4


async def test_a_hook_that_raises_after_the_enqueue_leaves_the_transaction_to_its_owner(client, ledger, conn):
    class HookFailed(Exception):  # noqa: N818 - what a hook raises is its own
        pass

    with nothing_else_registered():

        @around_enqueue
        async def failing(request, call_next):
            await call_next(request)
            raise HookFailed

        with pytest.raises(HookFailed):
            async with conn.transaction():
                await client.enqueue(add.opts(conn=conn), 1)
    assert await outbox(ledger) == []


# --- refused --------------------------------------------------------------------------------------


async def test_a_pool_is_refused_by_task_and_by_name(client, database_url):
    told = (
        r"option 'conn' is 'asyncpg.pool.Pool'; allowed is a connection in a transaction, not a pool: async with pool"
    )
    async with asyncpg.create_pool(database_url, min_size=0) as pool:
        with pytest.raises(InvalidOptionError, match=told):
            await client.enqueue(add.opts(conn=pool), 1)
        with pytest.raises(InvalidOptionError, match=told):
            await client.enqueue("add", 1, _conn=pool)
        with pytest.raises(InvalidOptionError, match=told):
            await client.enqueue_many([add.opts(conn=pool).job(1)])


async def test_a_connection_in_no_transaction_is_refused(client, ledger, conn):
    with pytest.raises(InvalidOptionError, match="Connection outside of a transaction'; allowed is a connection in a"):
        await client.enqueue(add.opts(conn=conn), 1)
    assert await outbox(ledger) == []


async def test_arguments_and_sizes_are_checked_before_anything_is_sent(client, ledger, conn):
    anything = Task(_anything, "anything")
    async with conn.transaction():
        with pytest.raises(EnqueueError, match="a: input should be a valid integer"):
            await client.enqueue(add.opts(conn=conn), "x")
        with pytest.raises(PayloadTooLargeError):
            await client.enqueue(anything.opts(conn=conn), "x" * 1_100_000)
        await client.enqueue(add.opts(conn=conn), 1)  # the transaction is none the worse for it
    assert len(await outbox(ledger)) == 1


async def _anything(ctx: Any, *args: Any) -> None: ...


@pytest.mark.parametrize(
    "option",
    [{"debounce": "1m"}, {"throttle": "1m"}, {"aggregate": aggregate("1m")}],
    ids=lambda option: next(iter(option)),
)
async def test_what_makes_one_job_of_several_calls_is_refused(conn, option):
    [name] = option
    with pytest.raises(InvalidOptionError) as caught:
        add.opts(conn=conn, **option)
    assert str(caught.value).startswith(f"option {name!r} is ")
    assert str(caught.value).endswith("none of them together with conn: in a transaction each call is a job of its own")


async def test_a_database_without_jobsds_schema_says_what_to_type(client, conn):
    with pytest.raises(OutboxError, match="is it the database of the daemons"):
        async with conn.transaction():
            await client.enqueue(add.opts(conn=conn), 1)


async def test_a_test_captures_jobs_of_a_transaction_with_a_stand_in_for_the_connection(client):
    stand_in = Mock(spec=asyncpg.Connection)
    with capture() as jobs:
        reference = await client.enqueue(add.opts(conn=stand_in), 1)
        await client.enqueue_many([add.opts(conn=stand_in).job(n) for n in (2, 3)])
        assert jobs == [add.job(1), add.job(2), add.job(3)]
        with pytest.raises(NotRunError):
            await reference.result()
        with pytest.raises(InvalidOptionError, match=r"'conn' is 'unittest.mock.Mock'; allowed is a connection in a"):
            await client.enqueue(add.opts(conn=Mock()), 1)
    stand_in.assert_not_called()


# --- from end to end ------------------------------------------------------------------------------


async def test_the_reference_of_a_transaction_waits_for_its_job_and_has_its_result(client, redis, ledger, database_url):
    worker = AWorker(redis)
    async with psycopg_connection(database_url) as conn:
        reference = await client.enqueue(add.opts(conn=conn, queue="default"), 1, b=2)
    waiting = asyncio.create_task(reference.result(20))
    async with Pusher(ledger, PushedJobs(redis), lambda: True).running():
        await until(lambda: redis.zcard("jobsd:{main}:default"))
        lease = await worker.claim()
        assert lease.id == reference.id
        await worker.complete(lease, 3)
        assert await waiting == 3


async def test_a_job_from_plain_sql_runs_like_any_other(client, redis, ledger):
    worker = AWorker(redis)
    job_id = await ledger.fetchval("SELECT jobsd.enqueue('add', args => '[1, 2]', headers => '{\"by\": \"sql\"}')")
    async with Pusher(ledger, PushedJobs(redis), lambda: True).running():
        await until(lambda: redis.zcard("jobsd:{main}:default"))
        lease = await worker.claim()
        payload = decode_payload(lease.payload)
        assert (lease.id, payload.args, payload.headers) == (job_id, (1, 2), {"by": "sql"})
        await worker.complete(lease, 3)
    assert await client.job(job_id).result(5) == 3


async def test_a_connection_that_is_none_is_refused_by_task_and_by_name():
    allowed = "a connection in a transaction; leave it out to enqueue at once"
    with pytest.raises(InvalidOptionError, match=allowed):
        add.opts(conn=None)
    with pytest.raises(InvalidOptionError, match=f"'_conn' is None; allowed is {allowed}"):
        await Client("redis://localhost").enqueue("add", 1, _conn=None)


async def test_who_gives_the_connection_as_an_argument_is_told_where_it_goes():
    with pytest.raises(InvalidArgumentsError, match=r"an option of the call goes in task\.opts\(conn=…\)"):
        await Client("redis://localhost").enqueue(add, 1, conn=object())
    with pytest.raises(InvalidOptionError, match="the connection of a call by name is _conn"):
        await Client("redis://localhost").enqueue("add", 1, conn=object())
