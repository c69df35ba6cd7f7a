"""Jobs put into the outbox through callers' own connections, of each library, and all that is refused."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool, ConnectionPool
from sqlalchemy.exc import DBAPIError, ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from jobsd.errors import InvalidOptionError, OutboxError, UnreachableError
from jobsd.records import callers
from jobsd.records.callers import check_connection, put
from tests.records.connections import (
    KINDS,
    a_session_in_autocommit,
    an_engine,
    asyncpg_at_large,
    asyncpg_connection,
    psycopg_connection,
    psycopg_in_autocommit,
    sqlalchemy_connection,
    sqlalchemy_in_autocommit,
)
from tests.records.ledger import a_ledger
from tests.waiting import until

if TYPE_CHECKING:
    from jobsd.records.pool import Pool
    from tests.records.connections import Opened


def jobs(*ids: str) -> str:
    return json.dumps(
        [{"id": job_id, "i": "o0123456789a", "q": "default", "w": "", "p": '{"i":"o0123456789a"}'} for job_id in ids]
    )


async def stored(ledger: Pool) -> list[str]:
    return [row["job_id"] for row in await ledger.fetch("SELECT job_id FROM jobsd.outbox ORDER BY job_id")]


class RolledBackError(Exception):
    pass


async def put_and_roll_back(kind: Opened, url: str) -> None:
    async with kind(url) as conn:
        assert await put(conn, jobs("a")) == ["a"]
        raise RolledBackError


# --- in a transaction -----------------------------------------------------------------------------


async def test_jobs_are_there_after_the_commit_of_any_librarys_connection_and_not_before(database_url):
    async with a_ledger(database_url) as ledger:
        for n, kind in enumerate(KINDS):
            async with kind(database_url) as conn:
                check_connection(conn)
                assert await put(conn, jobs(f"{n}-a", f"{n}-b")) == [f"{n}-a", f"{n}-b"], kind
                told = await put(conn, jobs(f"{n}-b", f"{n}-c"))
                assert [text.partition(" ")[0] for text in told] == [f"{n}-c", f"{n}-b"][: len(told)], kind
                assert told[0] == f"{n}-c", kind
                assert f"{n}-a" not in await stored(ledger), kind
            assert [job for job in await stored(ledger) if job.startswith(f"{n}-")] == [f"{n}-a", f"{n}-b", f"{n}-c"]


async def test_nothing_is_left_of_jobs_when_any_librarys_transaction_is_rolled_back(database_url):
    async with a_ledger(database_url) as ledger:
        for kind in KINDS:
            with pytest.raises(RolledBackError):
                await put_and_roll_back(kind, database_url)
            assert await stored(ledger) == [], kind


async def test_a_transaction_that_was_begun_by_hand_is_one(database_url):
    async with a_ledger(database_url) as ledger, ledger.connection() as conn:
        await conn.execute("BEGIN")
        assert await put(conn, jobs("a")) == ["a"]
        await conn.execute("ROLLBACK")
        assert await stored(ledger) == []


async def test_the_work_of_a_session_and_its_job_are_one_transaction(database_url):
    async with a_ledger(database_url) as ledger, an_engine(database_url, "asyncpg") as engine:
        async with AsyncSession(engine) as session:
            await session.execute(sqlalchemy.text("CREATE TABLE orders (id int)"))
            await put(session, jobs("a"))
            await session.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
            await session.commit()
        assert await ledger.fetchval("SELECT count(*) FROM orders") == 1
        assert await stored(ledger) == ["a"]


async def test_no_jobs_are_none(database_url):
    async with a_ledger(database_url), asyncpg_connection(database_url) as conn:
        assert await put(conn, "[]") == []


# --- refused --------------------------------------------------------------------------------------


def asyncpg_pool() -> Any:
    return asyncpg.create_pool("postgresql://u:secret@nowhere/db", min_size=0)


def sync_engine() -> Any:
    return sqlalchemy.create_engine("postgresql+psycopg://u:secret@nowhere/db")


def async_engine() -> Any:
    return create_async_engine("postgresql+asyncpg://u:secret@nowhere/db")


def sync_connection() -> Any:
    return psycopg.Connection.__new__(psycopg.Connection)


ASYNC = "a connection that does not block: psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession"
ANY = (
    "a connection in a transaction: of asyncpg, psycopg (AsyncConnection) or SQLAlchemy (AsyncConnection, AsyncSession)"
)
POOL = "a connection, not a pool: async with pool.connection() as conn"


@pytest.mark.parametrize(
    ("conn", "given", "allowed"),
    [
        (
            asyncpg_pool,
            "asyncpg.pool.Pool",
            "a connection in a transaction, not a pool: async with pool.acquire() as conn, conn.transaction()",
        ),
        (
            lambda: asyncpg_pool().acquire(),
            "asyncpg.pool.PoolAcquireContext",
            "a connection that was acquired: async with pool.acquire() as conn",
        ),
        (lambda: AsyncConnectionPool("", open=False), "psycopg_pool.pool_async.AsyncConnectionPool", POOL),
        (lambda: AsyncNullConnectionPool("", open=False), "psycopg_pool.null_pool_async.AsyncNullConnectionPool", POOL),
        (lambda: ConnectionPool("", open=False), "psycopg_pool.pool.ConnectionPool", ASYNC),
        (sync_connection, "psycopg.Connection", ASYNC),
        (
            async_engine,
            "sqlalchemy.ext.asyncio.engine.AsyncEngine",
            "a connection, not an engine: async with engine.begin() as conn",
        ),
        (
            lambda: async_sessionmaker(async_engine()),
            "sqlalchemy.ext.asyncio.session.async_sessionmaker",
            "a session, not its maker: async with maker.begin() as session",
        ),
        (
            lambda: AsyncSession(async_engine()).begin(),
            "sqlalchemy.ext.asyncio.session.AsyncSessionTransaction",
            "the session, not its transaction: async with session.begin()",
        ),
        (sync_engine, "sqlalchemy.engine.base.Engine", ASYNC),
        (lambda: Session(sync_engine()), "sqlalchemy.orm.session.Session", ASYNC),
        (lambda: sessionmaker(sync_engine()), "sqlalchemy.orm.session.sessionmaker", ASYNC),
        (lambda: "postgresql://u:secret@nowhere/db", "str", "a connection, not its address"),
        (lambda: 5, "int", ANY),
        (lambda: psycopg.AsyncConnection, "type", ANY),
        (lambda: SimpleNamespace(fetchval=print), "types.SimpleNamespace", ANY),
    ],
)
async def test_what_is_no_connection_is_refused_with_what_is_meant_and_without_its_password(conn, given, allowed):
    for ask in (check_connection, lambda wrong: asyncio.ensure_future(put(wrong, "[]"))):
        with pytest.raises(InvalidOptionError) as caught:
            await (ask(conn()) or asyncio.sleep(0))
        assert str(caught.value) == f"option 'conn' is {given!r}; allowed is {allowed}"
        assert "secret" not in str(caught.value)


ENGINES = "a connection in a transaction, not one in AUTOCOMMIT: async with engine.begin() as conn"


@pytest.mark.parametrize(
    ("kind", "given", "allowed"),
    [
        (
            asyncpg_at_large,
            "asyncpg.connection.Connection",
            "a connection in a transaction: async with conn.transaction()",
        ),
        (
            psycopg_in_autocommit,
            "psycopg.AsyncConnection",
            "a connection in a transaction: async with conn.transaction(), or one that is not in autocommit",
        ),
        (sqlalchemy_in_autocommit("asyncpg"), "sqlalchemy.ext.asyncio.engine.AsyncConnection", ENGINES),
        (sqlalchemy_in_autocommit("psycopg"), "sqlalchemy.ext.asyncio.engine.AsyncConnection", ENGINES),
        (a_session_in_autocommit, "sqlalchemy.ext.asyncio.session.AsyncSession", ENGINES),
    ],
)
async def test_a_connection_in_no_transaction_is_refused_and_nothing_is_stored(database_url, kind, given, allowed):
    async with a_ledger(database_url) as ledger:
        async with kind(database_url) as conn:
            with pytest.raises(InvalidOptionError) as caught:
                await put(conn, jobs("a"))
        assert str(caught.value) == f"option 'conn' is '{given} outside of a transaction'; allowed is {allowed}"
        assert await stored(ledger) == []


async def test_a_connection_to_another_kind_of_database_is_refused():
    class ElsewhereConnection(AsyncConnection):
        def __init__(self) -> None:
            pass

        async def get_raw_connection(self) -> Any:
            return SimpleNamespace(driver_connection=sqlite3.connect(":memory:"))

    allowed = r"ElsewhereConnection on sqlite3.Connection'; allowed is one to Postgres, by asyncpg or psycopg"
    with pytest.raises(InvalidOptionError, match=allowed):
        await put(ElsewhereConnection(), jobs("a"))


# --- what the server says -------------------------------------------------------------------------

DRIVERS = [asyncpg_connection, psycopg_connection, sqlalchemy_connection("asyncpg"), sqlalchemy_connection("psycopg")]
BY_DRIVER = pytest.mark.parametrize("kind", DRIVERS, ids=["asyncpg", "psycopg", "sa-asyncpg", "sa-psycopg"])


@BY_DRIVER
async def test_a_database_without_the_outbox_says_what_to_type(database_url, kind):
    with pytest.raises(OutboxError) as caught:
        async with kind(database_url) as conn:
            await put(conn, jobs("secret"))
    assert str(caught.value) == (
        'the database takes no jobs in a transaction: schema "jobsd" does not exist; '
        "is it the database of the daemons, which have it as JOBSD_DATABASE_URL? If so, run `jobsd migrate`"
    )


async def test_a_schema_of_an_older_jobsd_says_what_to_type(database_url):
    async with a_ledger(database_url) as ledger:
        await ledger.execute("DROP FUNCTION jobsd.put_in_outbox")
        for kind in DRIVERS:
            with pytest.raises(OutboxError) as caught:
                async with kind(database_url) as conn:
                    await put(conn, jobs("secret"))
            assert str(caught.value) == (
                "the database takes no jobs in a transaction: function jobsd.put_in_outbox(json) does not exist; "
                "is it the database of the daemons, which have it as JOBSD_DATABASE_URL? If so, run `jobsd migrate`"
            )


async def test_a_role_without_the_rights_says_what_an_administrator_types_and_with_them_it_enqueues(database_url):
    async with a_ledger(database_url) as ledger, asyncpg_at_large(database_url) as conn:

        async def put_one() -> list[str]:
            async with conn.transaction():
                return await put(conn, jobs("a"))

        await ledger.execute("CREATE ROLE jobsd_test_till")
        await conn.execute("SET ROLE jobsd_test_till")
        try:
            with pytest.raises(OutboxError) as caught:
                await put_one()
            assert str(caught.value) == (
                "the database takes no jobs in a transaction: permission denied for schema jobsd; an administrator may "
                "type, with the name of its role: GRANT USAGE ON SCHEMA jobsd TO …; "
                "GRANT EXECUTE ON FUNCTION jobsd.put_in_outbox(json) TO …"
            )
            await ledger.execute("GRANT USAGE ON SCHEMA jobsd TO jobsd_test_till")
            with pytest.raises(OutboxError, match="permission denied for function put_in_outbox; an administrator"):
                await put_one()
            await ledger.execute("GRANT EXECUTE ON FUNCTION jobsd.put_in_outbox(json) TO jobsd_test_till")
            assert await put_one() == ["a"]
        finally:
            await conn.execute("RESET ROLE")
            await ledger.execute("DROP OWNED BY jobsd_test_till")
            await ledger.execute("DROP ROLE jobsd_test_till")


@BY_DRIVER
async def test_other_errors_are_the_librarys_own(database_url, kind):
    async with a_ledger(database_url) as ledger:
        with pytest.raises(
            (asyncpg.InvalidTextRepresentationError, psycopg.errors.InvalidTextRepresentation, DBAPIError)
        ):
            async with kind(database_url) as conn:
                await put(conn, "no JSON")
        assert await stored(ledger) == []


async def test_a_connection_that_is_closed_says_so_itself(database_url):
    async with asyncpg_at_large(database_url) as conn:
        await conn.close()
        with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
            await put(conn, jobs("a"))
    for kind in (psycopg_connection, psycopg_in_autocommit):
        async with kind(database_url) as conn:
            await conn.close()
            with pytest.raises(psycopg.OperationalError, match="the connection is closed"):
                await put(conn, jobs("a"))
    async with an_engine(database_url, "asyncpg") as engine, engine.connect() as conn:
        await conn.close()
        with pytest.raises(ResourceClosedError, match="closed"):
            await put(conn, jobs("a"))


@BY_DRIVER
async def test_a_wait_for_another_transaction_with_the_same_id_has_an_end(database_url, kind, monkeypatch):
    async with a_ledger(database_url) as ledger, asyncpg_connection(database_url) as first:
        await put(first, jobs("daily"))
        with monkeypatch.context() as hasty:
            hasty.setattr(callers, "PATIENCE_S", 0.2)
            with pytest.raises(UnreachableError, match="the caller's connection is out of reach: no answer within"):
                async with kind(database_url) as second:
                    await put(second, jobs("daily"))
        assert await stored(ledger) == []


async def test_of_two_transactions_with_the_same_id_the_later_gets_it_if_the_first_is_rolled_back(database_url):
    async with a_ledger(database_url) as ledger, asyncpg_at_large(database_url) as first:
        transaction = first.transaction()
        await transaction.start()
        await put(first, jobs("daily"))

        async def waits_for_a_lock() -> bool:
            return await ledger.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            )

        async with psycopg_connection(database_url) as second:
            putting = asyncio.create_task(put(second, jobs("daily")))
            await until(waits_for_a_lock)
            await transaction.rollback()
            assert await putting == ["daily"]
        assert await stored(ledger) == ["daily"]
