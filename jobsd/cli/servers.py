"""Where the servers are, as a command finds them: settings first, then the sockets of a running ``jobsd dev``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobsd.addresses import masked
from jobsd.daemon.settings import Loaded, load_settings, redis_address
from jobsd.errors import NotConfiguredError, UnreachableError
from jobsd.records import History
from jobsd.records.migrate import ensure_schema
from jobsd.records.pool import open_pool
from jobsd.store.connection import AWAY, connect
from jobsd.store.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from jobsd.records.pool import Pool

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="PATH", help="The settings file, instead of the one found.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


async def redis_url(loaded: Loaded) -> str:
    """Return the address of Redis. Raises NotConfiguredError or DisabledError."""
    try:
        return redis_address(loaded.settings)
    except NotConfiguredError:
        servers = await _dev_servers(loaded)
        if servers is None or servers.redis_url is None:
            raise
        return servers.redis_url


async def database_url(loaded: Loaded) -> str | None:
    """Return the address of Postgres, or None. A ``jobsd dev`` is asked only by who has no Redis of its own either."""
    if loaded.settings.database_url is not None:
        return loaded.settings.database_url.get_secret_value()
    if loaded.settings.redis_url is not None:
        return None
    servers = await _dev_servers(loaded)
    return None if servers is None else servers.database_url


@asynccontextmanager
async def redis_jobs(config: Path | None) -> AsyncGenerator[Jobs]:
    """Open the queues. A server that does not answer is an UnreachableError, wherever it is noticed."""
    url = await redis_url(load_settings(config))
    redis = connect(url, connections=2)
    try:
        yield Jobs(redis)
    except AWAY as error:
        raise UnreachableError(server="Redis", url=masked(url), cause=str(error) or repr(error)) from error
    finally:
        await redis.aclose()


@asynccontextmanager
async def ledger(config: Path | None, *, migrated: bool = True) -> AsyncGenerator[Pool]:
    """Open the ledger. Raises NotConfiguredError, and SchemaError where it should be ``migrated`` and is not."""
    url = await database_url(load_settings(config))
    if url is None:
        raise NotConfiguredError(what="Postgres", ways="set JOBSD_DATABASE_URL or database_url in jobsd.toml")
    pool = await open_pool(url)
    try:
        if migrated:
            await ensure_schema(pool, "manual")
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def history_of(config: Path | None) -> AsyncGenerator[History]:
    """Open the ledger to ask it. What it cannot be asked, such as a year 20000, is wrong usage."""
    async with ledger(config) as pool:
        try:
            yield History(pool)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None


async def _dev_servers(loaded: Loaded):  # noqa: ANN202 - Servers | None, of a room that may not be installed
    try:
        from jobsd.embedded import running_servers  # noqa: PLC0415 - embedded is an extra
    except ModuleNotFoundError:
        return None
    return await running_servers(loaded.settings.state)
