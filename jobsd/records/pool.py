"""Connections to Postgres, typed at this door, with one error for "it does not answer".

A pool opens no connection before the first use, so it can be made while Postgres is away; it heals by itself.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, cast

import asyncpg

from jobsd.addresses import masked
from jobsd.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 10.0
POOL_SIZE = 4
TASK_POOL_SIZE = 10
_SETTINGS: Any = {
    "timeout": CONNECT_TIMEOUT_S,
    "command_timeout": COMMAND_TIMEOUT_S,
    "server_settings": {"application_name": "jobsd", "timezone": "UTC"},
}

# A connection may be used again after none of these. Some are refusals of the moment rather than silence: a server
# that starts, shuts down, has no slot left, or is not (yet, or any more) the one that takes writes.
OUT_OF_REACH = (
    OSError,  # TimeoutError among them
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's own state machine, when a server dies under it
)


class Connection(Protocol):
    """As much of an asyncpg connection as the ledger uses."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...  # noqa: ASYNC109 - asyncpg's
    async def fetch(self, query: str, *args: object) -> Sequence[Mapping[str, Any]]: ...
    async def fetchval(self, query: str, *args: object) -> Any: ...


class Pool:
    """Every method raises UnreachableError when Postgres does not answer; nothing is known of the statement then."""

    def __init__(self, pool: Any, url: str) -> None:
        self.url = masked(url)
        self._dsn = url
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        with self._reaching():
            async with self._pool.acquire() as connection:
                yield cast("Connection", connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        with self._reaching():
            async with self._pool.acquire() as connection, connection.transaction():
                yield cast("Connection", connection)

    async def execute(self, query: str, *args: object) -> str:
        async with self.connection() as connection:
            return await connection.execute(query, *args)

    async def fetch(self, query: str, *args: object) -> Sequence[Mapping[str, Any]]:
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *args)

    async def listener(self, channel: str, heard: Callable[[], None]) -> Any:
        """Return a connection of its own, apart from the pool, that calls ``heard`` at every NOTIFY; close it."""
        with self._reaching():
            connection = cast("Any", await asyncpg.connect(self._dsn, **_SETTINGS))  # pyright: ignore[reportUnknownMemberType]

            def told(*_: object) -> None:
                heard()

            await connection.add_listener(channel, told)
            return connection

    async def close(self) -> None:
        """Say goodbye, but to a server that does not answer not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._pool.close()

    @contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except OUT_OF_REACH as error:
            raise UnreachableError(server="Postgres", url=self.url, cause=in_words(error)) from error


async def open_pool(url: str, *, size: int = POOL_SIZE, answer_within_s: float = COMMAND_TIMEOUT_S) -> Pool:
    """Return a pool of at most ``size`` connections. No server is needed yet."""
    settings = _SETTINGS | {"command_timeout": answer_within_s}
    made: Any = await asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType] - asyncpg has no types here
        url, min_size=0, max_size=size, **settings
    )
    return Pool(made, url)


async def open_task_pool(url: str, *, size: int = TASK_POOL_SIZE) -> Any:
    """Return an asyncpg pool for what tasks do in Postgres themselves: ``ctx.db``. No server is needed yet.

    Its statements have no time limit of their own: an export may take as long as its job.
    """
    return await asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType]
        url, min_size=0, max_size=size, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "jobsd tasks"}
    )


async def close_task_pool(pool: Any) -> None:
    """Close it; a function that does not end keeps its connection no longer than this."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def in_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
