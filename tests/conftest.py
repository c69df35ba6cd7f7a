"""A real Valkey and a real Postgres, started once per run on private sockets; each test has a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis as sync_redis

from jobsd.embedded import Embedded, Servers
from jobsd.store.connection import connect
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

_numbers = itertools.count(1)
_DATABASES = 16


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    # Not pytest's own directory: as root the servers run as another user, who must be able to reach it.
    state = Path(tempfile.mkdtemp(prefix="jobsd-test-"))
    state.chmod(0o755)
    embedded = Embedded(state, fsync=False)
    with asyncio.Runner() as runner:
        runner.run(embedded.start())
        try:
            yield embedded.servers
        finally:
            runner.run(embedded.stop())
            shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """Return the address of an empty Valkey database, of this test alone."""
    url = f"{servers.redis_url}?db={next(_numbers) % _DATABASES}"
    with contextlib.closing(sync_redis.Redis.from_url(url)) as client:
        client.flushdb()
    return url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def database_url(servers: Servers) -> AsyncIterator[str]:
    """Return the address of an empty Postgres database, of this test alone."""
    async with _a_copy_of("template1", servers) as url:
        yield url


@pytest.fixture(scope="session")
def migrated(servers: Servers) -> str:
    """Return the name of a database with the ledger's schema, to be copied: that is quicker than to migrate."""
    name = "migrated"
    with asyncio.Runner() as runner:
        runner.run(_make_ledger(name, servers))
    return name


@pytest.fixture
async def ledger_url(migrated: str, servers: Servers) -> AsyncIterator[str]:
    """Return the address of a Postgres database of this test alone that has the ledger's schema, and no rows."""
    async with _a_copy_of(migrated, servers) as url:
        yield url


@contextlib.asynccontextmanager
async def _a_copy_of(template: str, servers: Servers) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(servers.database_url)
    # Copied as files: the other strategy writes every block to the log as well.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield _url_of(name, servers)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def _make_ledger(name: str, servers: Servers) -> None:
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    async with a_ledger(_url_of(name, servers)):
        pass


def _url_of(name: str, servers: Servers) -> str:
    return urlsplit(servers.database_url)._replace(path=f"/{name}").geturl()
