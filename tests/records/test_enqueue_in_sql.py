"""jobsd.enqueue: jobs from plain SQL and from triggers."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from jobsd.clock import now_ms
from jobsd.headers import LIMIT_BYTES
from jobsd.job import JobOptions, is_job_id, is_queue_name
from jobsd.store.codec import PAYLOAD_LIMIT_BYTES, decode_payload
from jobsd.store.ids import INCARNATION_LENGTH, OUTBOX_MARK, new_id
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CROCKFORD = re.compile(r"[0-9a-hjkmnp-tv-z]+")

# A call, what is said of it, and the hint.
REFUSED = [
    ("NULL", "task is NULL; allowed is the name of a task", ""),
    ("''", "task is ''; allowed is the name of a task", ""),
    ("'t', NULL", "args is null; allowed is an object, or an array of arguments by position", "A single argument"),
    ("'t', '5'", "args is a JSON number; allowed is an object, or an array", "A single argument"),
    ("'t', 'null'", "args is a JSON null; allowed is an object, or an array", "A single argument"),
    ("'t', queue => NULL", "queue is NULL; allowed is 1 to 128 of A-Z a-z 0-9 . _ -", ""),
    ("'t', queue => 'a b'", "queue is 'a b'; allowed is 1 to 128 of A-Z a-z 0-9 . _ -", ""),
    ("'t', id => ''", "id is ''; allowed is 1 to 128 of A-Z a-z 0-9 . _ : -", ""),
    (
        "'t', at => '2099-01-01 00:00+00', delay => '1 s'",
        "at is 2099-01-01 00:00:00+00; allowed is either at or delay, not both",
        "",
    ),
    ("'t', at => 'infinity'", "at is infinity; allowed is an instant of the years 1970 to 9999", ""),
    ("'t', deadline => '-infinity'", "deadline is -infinity; allowed is an instant of the years 1970", ""),
    ("'t', start_by => '10000-01-01 00:00+00'", "start_by is 10000-01-01 00:00:00+00; allowed is an instant", ""),
    ("'t', delay => '-1 s'", "delay is -00:00:01; allowed is an interval from 0 to 1000 years", ""),
    ("'t', delay => '1001 years'", "delay is 1001 years; allowed is an interval from 0 to 1000 years", ""),
    ("'t', timeout => '0'", "timeout is 00:00:00; allowed is an interval from 1 millisecond", ""),
    ("'t', retries => -1", "retries is -1; allowed is a whole number, 0 to 1000", ""),
    ("'t', retries => 1001", "retries is 1001; allowed is a whole number, 0 to 1000", ""),
    ("'t', headers => '[]'", "headers is a JSON array; allowed is an object", ""),
]


@asynccontextmanager
async def a_session(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection such as psql's to a database that has jobsd's schema."""
    async with a_ledger(url):
        connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
        try:
            yield connection
        finally:
            await connection.close()


async def outbox(session: Any) -> list[Any]:
    return await session.fetch("SELECT * FROM jobsd.outbox ORDER BY number")


async def the_job(session: Any, call: str, *args: Any) -> Any:
    """Enqueue by ``SELECT jobsd.enqueue(call)`` and return the row of the outbox."""
    job_id = await session.fetchval(f"SELECT jobsd.enqueue({call})", *args)
    [row] = await session.fetch("SELECT * FROM jobsd.outbox WHERE job_id = $1", job_id)
    return row


async def test_a_job_has_its_arguments_by_name_and_the_form_that_a_client_gives_it(database_url):
    async with a_session(database_url) as session:
        row = await the_job(session, """'email:send', args => '{"to": "a@example.com", "n": 12345678901234567890}'""")
        payload = decode_payload(row["payload"].encode())
        assert payload.task == "email:send"
        assert (payload.args, payload.kwargs) == ((), {"to": "a@example.com", "n": 12345678901234567890})
        assert (payload.options, payload.headers, payload.limits) == ({}, {}, "")
        assert abs(payload.enqueued_at - now_ms()) < 60_000
        assert row["payload"].startswith(f'{{"i":"{row["incarnation"]}","t":null,"f":"email:send","a":[],"k":{{')
        assert payload.incarnation == row["incarnation"]
        assert len(row["incarnation"]) == INCARNATION_LENGTH
        assert row["incarnation"].startswith(OUTBOX_MARK)
        assert CROCKFORD.fullmatch(row["incarnation"][1:])
        assert row["queue"] == "default"
        assert abs((row["due_at"] - datetime.now(UTC)).total_seconds()) < 60


async def test_arguments_by_position_are_an_array_and_no_arguments_are_none(database_url):
    async with a_session(database_url) as session:
        by_position = await the_job(session, """'sum', '[1, "Ünï \\" \\u2028 🐘", null]'""")
        none = await the_job(session, "'sum'")
        assert decode_payload(by_position["payload"].encode()).args == (1, 'Ünï " \u2028 🐘', None)
        assert decode_payload(none["payload"].encode())[1:3] == ((), {})


async def test_a_tasks_name_may_have_any_characters(database_url):
    async with a_session(database_url) as session:
        name = 'a "quoted"\\name\n\t{}€'
        row = await the_job(session, "$1", name)
        assert decode_payload(row["payload"].encode()).task == name


async def test_options_travel_as_a_client_sends_them(database_url):
    async with a_session(database_url) as session:
        at = datetime(2100, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
        row = await the_job(
            session,
            """'t', queue => 'urgent', id => 'mine', timeout => '7.25 s', retries => 0, deadline => $1, start_by => $1,
               headers => '{"request_id": "r-1"}'""",
            at,
        )
        payload = decode_payload(row["payload"].encode())
        expected = JobOptions(timeout="7s250ms", retries=0, deadline=at, start_by=at).to_wire()
        assert (row["job_id"], row["queue"]) == ("mine", "urgent")
        assert (payload.options, payload.headers) == (expected, {"request_id": "r-1"})


async def test_a_delay_counts_from_now_and_an_instant_is_kept_to_the_millisecond(database_url):
    async with a_session(database_url) as session:
        delayed = await the_job(session, "'t', delay => '1 hour'")
        at = datetime(2100, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
        timed = await the_job(session, "'t', at => $1", at)
        assert abs((delayed["due_at"] - datetime.now(UTC)).total_seconds() - 3600) < 60
        assert timed["due_at"] == at


async def test_ids_are_like_a_clients_and_rise_within_a_statement(database_url):
    async with a_session(database_url) as session:
        before = new_id()
        rows = await session.fetch("SELECT jobsd.enqueue('t') AS id FROM generate_series(1, 200)")
        ids = [row["id"] for row in rows]
        assert ids == sorted(set(ids))
        assert all(len(job_id) == 26 and CROCKFORD.fullmatch(job_id) for job_id in ids)
        assert before[:9] <= ids[0][:9] <= new_id()[:9]
        assert len({row["incarnation"] for row in await outbox(session)}) == 200


async def test_a_job_is_there_if_and_only_if_the_transaction_commits(database_url):
    async with a_session(database_url) as session:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await session.execute("BEGIN; SELECT jobsd.enqueue('undone'); SELECT 1/0; COMMIT")
        await session.execute("ROLLBACK")
        await session.execute("BEGIN; SELECT jobsd.enqueue('done', id => 'kept'); COMMIT")
        assert [row["job_id"] for row in await outbox(session)] == ["kept"]


async def test_an_id_that_a_job_has_already_is_returned_and_nothing_is_stored(database_url):
    async with a_session(database_url) as session:
        first = await the_job(session, "'t', id => 'daily', args => '[1]'")
        second = await the_job(session, "'t', id => 'daily', args => '[2]'")
        assert first == second
        assert len(await outbox(session)) == 1


async def test_a_trigger_enqueues_in_the_transaction_that_fires_it(database_url):
    async with a_session(database_url) as session:
        await session.execute("""
            CREATE TABLE orders (id integer PRIMARY KEY, queue text, task text, args jsonb);
            CREATE FUNCTION invoice() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM jobsd.enqueue('invoice:send', args => jsonb_build_object('order_id', NEW.id));
                RETURN NEW;
            END $$;
            CREATE TRIGGER invoice AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION invoice();
        """)
        with pytest.raises(asyncpg.UniqueViolationError):
            await session.execute("INSERT INTO orders VALUES (1), (2), (1)")
        assert await outbox(session) == []
        await session.execute("INSERT INTO orders VALUES (7), (8)")
        found = [decode_payload(row["payload"].encode()) for row in await outbox(session)]
        assert [(job.task, job.kwargs) for job in found] == [
            ("invoice:send", {"order_id": 7}),
            ("invoice:send", {"order_id": 8}),
        ]


async def test_a_commit_tells_those_who_listen(database_url):
    async with a_session(database_url) as session:
        heard: list[str] = []
        await session.add_listener("jobsd_outbox", lambda *_: heard.append("news"))
        await session.fetchval("SELECT jobsd.enqueue('t')")
        await session.fetchval("SELECT 1")
        assert heard == ["news"]


async def test_what_a_client_would_refuse_is_refused_with_what_is_allowed(database_url):
    async with a_session(database_url) as session:
        for call, told, hint in REFUSED:
            with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
                await session.fetchval(f"SELECT jobsd.enqueue({call})")
            assert caught.value.message.startswith(f"jobsd.enqueue: {told}"), call
            assert (caught.value.hint or "").startswith(hint)
            assert (caught.value.hint is None) == (hint == "")
        assert await outbox(session) == []


async def test_names_of_queues_and_ids_are_those_that_a_client_allows(database_url):
    names = ["a", "a" * 128, "a" * 129, "A.z_0-9", "", " a", "a\n", "ä", "a:b", ":", "arq:queue", "x:{y}", "{y}"]
    names += ["jobsd:q", "arq:job:1", "arq:job", "arq:jobs:1", "arq:result:1", "arq:in-progress:1", "a" * 254 + ":b"]
    names += ["a" * 255 + ":b", "a/b:c", "a\\b"]
    async with a_session(database_url) as session:

        async def taken(call: str, name: str) -> bool:
            try:
                await session.fetchval(f"SELECT jobsd.enqueue({call})", name)
            except asyncpg.InvalidParameterValueError:
                return False
            return True

        for name in names:
            assert await taken("'t', queue => $1", name) == is_queue_name(name), name
            assert await taken("'t', id => $1", name) == is_job_id(name), name


async def test_the_payload_and_the_headers_have_the_limits_of_a_client(database_url):
    async with a_session(database_url) as session:
        row = await the_job(session, "'t', args => jsonb_build_array(''), headers => jsonb_build_object('h', '')")
        left = PAYLOAD_LIMIT_BYTES - len(row["payload"])
        await session.fetchval(
            "SELECT jobsd.enqueue('t', jsonb_build_array($1::text), headers => jsonb_build_object('h', ''))", "x" * left
        )
        with pytest.raises(asyncpg.InvalidParameterValueError) as caught:
            await session.fetchval("SELECT jobsd.enqueue('t', jsonb_build_array($1::text))", "ü" * (left // 2 + 99))
        told = (
            rf"jobsd.enqueue: args is \d+ bytes of JSON; allowed is at most {PAYLOAD_LIMIT_BYTES}, with all else of .*"
        )
        assert re.fullmatch(told, caught.value.message)
        assert caught.value.hint == "Pass a reference to the data instead."
        within = LIMIT_BYTES - len('{"h": ""}')
        await session.fetchval("SELECT jobsd.enqueue('t', headers => $1::jsonb)", json.dumps({"h": "x" * within}))
        with pytest.raises(
            asyncpg.InvalidParameterValueError, match="headers is 8193 bytes of JSON; allowed is at most"
        ):
            await session.fetchval(
                "SELECT jobsd.enqueue('t', headers => $1::jsonb)", json.dumps({"h": "x" * (within + 1)})
            )


async def test_a_role_with_the_two_grants_enqueues_and_can_neither_read_nor_write_the_table(database_url):
    async with a_session(database_url) as session:
        await session.execute("DROP ROLE IF EXISTS jobsd_test_shop; CREATE ROLE jobsd_test_shop")
        try:
            await session.execute("""
                GRANT USAGE ON SCHEMA jobsd TO jobsd_test_shop;
                GRANT EXECUTE ON FUNCTION jobsd.enqueue TO jobsd_test_shop;
                SET ROLE jobsd_test_shop;
            """)
            await session.fetchval("SELECT jobsd.enqueue('t', id => 'a', headers => '{\"a\": 1}', at => now())")
            for statement in (
                "SELECT * FROM jobsd.outbox",
                "INSERT INTO jobsd.outbox (job_id) VALUES ('b')",
                "DELETE FROM jobsd.outbox",
                "SELECT jobsd.put_in_outbox('[]')",
                "SELECT jobsd.new_id(now())",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await session.execute(statement)
            await session.execute("RESET ROLE; REVOKE EXECUTE ON FUNCTION jobsd.enqueue FROM jobsd_test_shop")
            await session.execute("SET ROLE jobsd_test_shop")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for function enqueue"):
                await session.execute("SELECT jobsd.enqueue('t')")
        finally:
            await session.execute("RESET ROLE; DROP OWNED BY jobsd_test_shop; DROP ROLE jobsd_test_shop")
        assert [row["job_id"] for row in await outbox(session)] == ["a"]
