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
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(servers.database_url)
    yield parts._replace(path=f"/{name}").geturl()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
