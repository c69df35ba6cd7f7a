"""Callers' own connections, as each library has them: in a transaction, and at large."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg
import sqlalchemy
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Opened = Callable[[str], AbstractAsyncContextManager[Any]]


class OwnRecord(asyncpg.Record):
    def __getattr__(self, name: str) -> Any:
        return self[name]


@asynccontextmanager
async def asyncpg_connection(url: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(url)
    try:
        async with conn.transaction():
            yield conn
    finally:
        await conn.close()


@asynccontextmanager
async def asyncpg_with_manners_of_its_own(url: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(url, record_class=OwnRecord, statement_cache_size=0)
    try:
        for name in ("json", "jsonb"):
            await conn.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        async with conn.transaction(isolation="serializable"), conn.transaction():
            yield conn
    finally:
        await conn.close()


@asynccontextmanager
async def asyncpg_of_a_pool(url: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(url, min_size=0) as pool, pool.acquire() as conn, conn.transaction():
        yield conn


@asynccontextmanager
async def psycopg_connection(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url) as conn:
        yield conn


@asynccontextmanager
async def psycopg_with_manners_of_its_own(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.AsyncRawCursor
    ) as conn:
        set_json_loads(lambda text: ["loaded", text], conn)
        async with conn.transaction():
            yield conn


@asynccontextmanager
async def psycopg_of_a_pool(url: str) -> AsyncIterator[Any]:
    async with AsyncConnectionPool(url, min_size=0, max_size=1, open=False) as pool, pool.connection() as conn:
        yield conn


@asynccontextmanager
async def psycopg_in_a_pipeline(url: str) -> AsyncIterator[Any]:
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as conn,
        conn.pipeline(),
        conn.transaction(),
    ):
        yield conn


@asynccontextmanager
async def an_engine(url: str, driver: str, **settings: Any) -> AsyncIterator[AsyncEngine]:
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    address = sqlalchemy.URL.create(
        f"postgresql+{driver}", parts.username, database=parts.path[1:], query={"host": host}
    )
    engine = create_async_engine(address, poolclass=NullPool, **settings)
    try:
        yield engine
    finally:
        await engine.dispose()


def sqlalchemy_connection(driver: str) -> Opened:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Any]:
        async with an_engine(url, driver) as engine, engine.begin() as conn:
            yield conn

    return opened


def sqlalchemy_that_begins_by_itself(driver: str) -> Opened:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Any]:
        async with an_engine(url, driver) as engine, engine.connect() as conn:
            yield conn
            await conn.commit()

    return opened


def sqlalchemy_session(driver: str) -> Opened:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Any]:
        async with an_engine(url, driver) as engine, async_sessionmaker(engine).begin() as session:
            yield session

    return opened


@asynccontextmanager
async def sqlalchemy_scoped_session(url: str) -> AsyncIterator[Any]:
    async with an_engine(url, "asyncpg") as engine:
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        try:
            async with scoped.begin():
                yield scoped
        finally:
            await scoped.remove()


KINDS: list[Opened] = [
    asyncpg_connection,
    asyncpg_with_manners_of_its_own,
    asyncpg_of_a_pool,
    psycopg_connection,
    psycopg_with_manners_of_its_own,
    psycopg_of_a_pool,
    psycopg_in_a_pipeline,
    *(
        make(driver)
        for make in (sqlalchemy_connection, sqlalchemy_that_begins_by_itself, sqlalchemy_session)
        for driver in ("asyncpg", "psycopg")
    ),
    sqlalchemy_scoped_session,
]


@asynccontextmanager
async def asyncpg_at_large(url: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(url)
    yield conn
    await conn.close()


@asynccontextmanager
async def psycopg_in_autocommit(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        yield conn


def sqlalchemy_in_autocommit(driver: str) -> Opened:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Any]:
        async with an_engine(url, driver, isolation_level="AUTOCOMMIT") as engine, engine.begin() as conn:
            yield conn

    return opened


@asynccontextmanager
async def a_session_in_autocommit(url: str) -> AsyncIterator[Any]:
    async with an_engine(url, "asyncpg") as engine:
        bound = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with AsyncSession(bound) as session, session.begin():
            yield session
