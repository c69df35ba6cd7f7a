"""The pool that tasks have as ctx.db."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from jobsd.records import pool as pools
from jobsd.records.pool import close_task_pool, open_task_pool


async def test_a_function_that_does_not_end_keeps_a_stopping_daemon_no_longer_than_its_connections_take(
    database_url, monkeypatch
):
    monkeypatch.setattr(pools, "CONNECT_TIMEOUT_S", 0.05)
    pool = await open_task_pool(database_url)
    held = await pool.acquire()
    async with asyncio.timeout(5):
        await close_task_pool(pool)
    with pytest.raises((asyncpg.InterfaceError, asyncpg.ConnectionDoesNotExistError)):
        await held.fetchval("SELECT 1")
