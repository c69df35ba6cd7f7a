"""A caller's own connection to Postgres, of whichever library, and jobs put into the outbox in its transaction.

    check_connection   refuses what is no connection: a pool, an engine, an address, a connection that blocks
    put                stores jobs in the transaction that the connection is in, and refuses one that is in none

No library is imported but the one that the connection at hand is of; the client imports this room without any.
Connections are known by the names of their classes. Whether one is in a transaction is asked of the driver itself:
all else (SQLAlchemy's isolation levels, psycopg's pipelines) says only what was meant.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from jobsd.errors import InvalidOptionError, OutboxError, UnreachableError
from jobsd.records.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0
"""The longest wait for an answer. Another transaction that holds the id of a job makes this one wait until its end."""

_ANY = (
    "a connection in a transaction: of asyncpg, psycopg (AsyncConnection) or SQLAlchemy (AsyncConnection, AsyncSession)"
)
_ASYNC = "a connection that does not block: psycopg's AsyncConnection, SQLAlchemy's AsyncConnection or AsyncSession"
_REFUSED = {
    "asyncpg.Pool": "a connection in a transaction, not a pool: async with pool.acquire() as conn, conn.transaction()",
    "asyncpg.PoolAcquireContext": "a connection that was acquired: async with pool.acquire() as conn",
    "asyncpg.Transaction": "the connection, not its transaction: async with conn.transaction()",
    "psycopg_pool.AsyncConnectionPool": "a connection, not a pool: async with pool.connection() as conn",
    "psycopg_pool.ConnectionPool": _ASYNC,
    "psycopg.AsyncCursor": "the connection, not its cursor",
    "psycopg.AsyncTransaction": "the connection, not its transaction: async with conn.transaction()",
    "psycopg.Connection": _ASYNC,
    "psycopg.Cursor": _ASYNC,
    "psycopg2.connection": _ASYNC,
    "sqlalchemy.AsyncEngine": "a connection, not an engine: async with engine.begin() as conn",
    "sqlalchemy.AsyncTransaction": "the connection, not its transaction: async with engine.begin() as conn",
    "sqlalchemy.AsyncSessionTransaction": "the session, not its transaction: async with session.begin()",
    "sqlalchemy.async_sessionmaker": "a session, not its maker: async with maker.begin() as session",
    "sqlalchemy.Engine": _ASYNC,
    "sqlalchemy.Connection": _ASYNC,
    "sqlalchemy.Session": _ASYNC,
    "sqlalchemy.scoped_session": _ASYNC,
    "sqlalchemy.sessionmaker": _ASYNC,
    "builtins.str": "a connection, not its address",
}

_NOT_THERE = {"42883", "3F000", "42P01"}  # no such function, schema, table
_NO_RIGHTS = "42501"
_MIGRATE = "is it the database of the daemons, which have it as JOBSD_DATABASE_URL? If so, run `jobsd migrate`"
_GRANT = (
    "an administrator may type, with the name of its role: "
    "GRANT USAGE ON SCHEMA jobsd TO …; GRANT EXECUTE ON FUNCTION jobsd.put_in_outbox(json) TO …"
)


def check_connection(conn: object) -> None:
    """See that ``conn`` is a connection, or a session. Raises InvalidOptionError, which shows its type alone."""
    _kind(conn)


async def put(conn: object, jobs: str) -> list[str]:
    """Put jobs into the outbox in the transaction of ``conn``, and return what jobsd.put_in_outbox tells of each.

    ``jobs`` is a JSON array as that reads it. Raises InvalidOptionError (no connection, or in no
    transaction), OutboxError (the database takes none), UnreachableError (no answer in time), or what its library
    raises: that is the caller's, as the transaction is.
    """
    patience = asyncio.timeout(PATIENCE_S)
    try:
        async with patience:
            stored = await _put(conn, jobs)
    except Exception as error:
        if patience.expired():
            cause = f"no answer within {PATIENCE_S:g} s"
            raise UnreachableError(server="Postgres", url="the caller's connection", cause=cause) from error
        if (refusal := _refusal(error)) is not None:
            raise refusal from error
        raise
    return json.loads(stored)


async def _put(conn: object, jobs: str) -> str | bytes:
    caller = await _kind(conn).of(conn)
    if not caller.in_transaction():
        # One that begins its transactions by itself has begun one after any statement.
        await caller.fetchval(query("begin_by_itself"))
        if not caller.in_transaction():
            given = f"{_told(conn)} outside of a transaction"
            raise InvalidOptionError(option="conn", given=given, allowed=caller.allowed)
    return await caller.fetchval(query("put_jobs"), jobs)


class _Caller:
    """A connection, narrowed to what is asked of it. Parameters of its statements are $1 …, as everywhere here."""

    allowed: str

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    @classmethod
    async def of(cls, conn: Any) -> Self:
        return cls(conn)

    def in_transaction(self) -> bool:
        raise NotImplementedError

    async def fetchval(self, statement: str, *args: str) -> Any:
        raise NotImplementedError


class _Asyncpg(_Caller):
    allowed = "a connection in a transaction: async with conn.transaction()"

    def in_transaction(self) -> bool:
        return self._conn.is_in_transaction()

    async def fetchval(self, statement: str, *args: str) -> Any:
        return await self._conn.fetchval(statement, *args)


class _Blocking(_Asyncpg):
    """That of a plain function (blocking.py)."""

    def __init__(self, conn: Any) -> None:
        super().__init__(conn.connection)


class _Psycopg(_Caller):
    allowed = "a connection in a transaction: async with conn.transaction(), or one that is not in autocommit"

    def in_transaction(self) -> bool:
        return not self._conn.autocommit or self._conn.info.transaction_status.name in {"INTRANS", "INERROR"}

    async def fetchval(self, statement: str, *args: str) -> Any:
        from psycopg import AsyncCursor  # noqa: PLC0415 - it is loaded: the connection is of it
        from psycopg.rows import tuple_row  # noqa: PLC0415

        # Not conn.cursor(), which may be of a class with other parameters, and with other rows.
        async with AsyncCursor(self._conn, row_factory=tuple_row) as cursor:
            named = _named(args)
            await cursor.execute(_with_names(statement, named, "%({})s").encode(), named)
            found: Any = await cursor.fetchone()
            return found[0]


class _Sqlalchemy(_Caller):
    allowed = "a connection in a transaction, not one in AUTOCOMMIT: async with engine.begin() as conn"

    def __init__(self, conn: Any, driver: _Caller) -> None:
        super().__init__(conn)
        self._driver = driver

    @classmethod
    async def of(cls, conn: Any) -> Self:
        connection = conn if hasattr(conn, "get_raw_connection") else await conn.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        kind = next((_KINDS[name] for name in _names(driver) if name in _KINDS), None)
        if kind is None:
            given = f"{_told(conn)} on {_told(driver)}"
            raise InvalidOptionError(option="conn", given=given, allowed="one to Postgres, by asyncpg or psycopg")
        return cls(connection, await kind.of(driver))

    def in_transaction(self) -> bool:
        return self._driver.in_transaction()

    async def fetchval(self, statement: str, *args: str) -> Any:
        from sqlalchemy import text  # noqa: PLC0415 - it is loaded: the connection is of it

        named = _named(args)
        return (await self._conn.execute(text(_with_names(statement, named, ":{}")), named)).scalar_one()


_KINDS: dict[str, type[_Caller]] = {
    "asyncpg.Connection": _Asyncpg,
    "asyncpg.PoolConnectionProxy": _Asyncpg,
    "jobsd.BlockingConnection": _Blocking,
    "psycopg.AsyncConnection": _Psycopg,
    "sqlalchemy.AsyncConnection": _Sqlalchemy,
    "sqlalchemy.AsyncSession": _Sqlalchemy,
    "sqlalchemy.async_scoped_session": _Sqlalchemy,
}


def _kind(conn: object) -> type[_Caller]:
    for name in _names(conn):
        if name in _KINDS:
            return _KINDS[name]
        if name in _REFUSED:
            raise InvalidOptionError(option="conn", given=_told(conn), allowed=_REFUSED[name])
    raise InvalidOptionError(option="conn", given=_told(conn), allowed=_ANY)


def _names(conn: object) -> Iterator[str]:
    """Return the package and name of each class of the object; a proxy that tracing puts around it says another's."""
    for kind in conn.__class__.__mro__:
        yield f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _told(conn: object) -> str:
    """Return an object's type: as a text the object itself may show a password."""
    kind = conn.__class__
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _named(args: tuple[str, ...]) -> dict[str, str]:
    return {f"p{n}": value for n, value in enumerate(args, 1)}


def _with_names(statement: str, names: dict[str, str], form: str) -> str:
    for n, name in enumerate(names, 1):
        statement = statement.replace(f"${n}", form.format(name))
    return statement


def _refusal(error: BaseException) -> OutboxError | None:
    """Return the error for a database that takes no jobs, from the server's own among those that were wrapped."""
    found: Any = getattr(error, "orig", None) or error
    while getattr(found.__cause__, "sqlstate", None):
        found = found.__cause__
    state = getattr(found, "sqlstate", None)
    if state not in _NOT_THERE and state != _NO_RIGHTS:
        return None
    cause = str(found).partition("\n")[0]
    return OutboxError(cause=cause, remedy=_GRANT if state == _NO_RIGHTS else _MIGRATE)
