from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from jobsd.records.pool import open_task_pool
from tests.engine.commit_wire import a_wire
from tests.engine.hall import Hall
from tests.engine.nursery import TASKS, setup_of
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Any

    from redis.asyncio import Redis

    from jobsd.embedded import Servers
    from jobsd.engine.worker import Worker
    from tests.engine.commit_wire import CommitWire


@pytest.fixture
async def hall(redis_url: str, redis: Redis) -> AsyncIterator[Hall]:
    opened = Hall(redis_url, redis)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def ledger_of_effects(servers: Servers) -> str:
    """Return the address of a ledger with a table ``seats``, made once: to make one takes longer than most tests."""

    async def make() -> str:
        admin = await asyncpg.connect(servers.database_url)
        await admin.execute("CREATE DATABASE effects")
        await admin.close()
        url = urlsplit(servers.database_url)._replace(path="/effects").geturl()
        async with a_ledger(url) as ledger:
            await ledger.execute("CREATE TABLE public.seats (name text, attempt integer)")
        return url

    return asyncio.run(make())


@pytest.fixture
async def db(ledger_of_effects: str) -> AsyncIterator[Any]:
    """Return a pool for tasks, on a ledger of which nobody has an effect yet, with a table ``seats`` to write in."""
    pool = await open_task_pool(ledger_of_effects)
    await pool.execute("TRUNCATE seats, jobsd.effects, jobsd.steps")
    yield pool
    pool.terminate()


@pytest.fixture
async def wired(ledger_of_effects, db) -> AsyncIterator[tuple[CommitWire, Any]]:
    """Return a wire, and a pool that goes through it to the ledger of ``db``."""
    folder = Path(tempfile.mkdtemp(prefix="jobsd-wire-"))  # pytest's own paths are too long for a socket
    async with a_wire(ledger_of_effects, folder) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture
def open_worker(hall: Hall, redis_url: str) -> Callable[..., Worker]:
    """Return a function that starts a worker which may have two children, or as many as are asked for."""
    return lambda **options: hall.open(*TASKS, child=setup_of(redis_url), **({"children": 2} | options))
