"""A daemon that is to bring the schema up to date, and cannot yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from jobsd.records import migrate as migrate_module
from tests.relay.conveyor import a_pool

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


async def test_a_daemon_that_waits_for_a_reader_of_the_ledger_says_so_and_ends_when_told(
    daemon: Callable[..., Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = migrate_module.known()[:1]
    async with a_pool(database_url) as pool:
        with monkeypatch.context() as older:
            older.setattr(migrate_module, "known", lambda: first)
            await migrate_module.migrate(pool)
        async with pool.transaction() as reader:
            await reader.fetchval("SELECT count(*) FROM jobsd.executions")
            waiting = daemon(JOBSD_LOG__FORMAT="json", JOBSD_DATABASE_URL=database_url, JOBSD_RECORDS__MIGRATE="auto")
            await asyncio.to_thread(waiting.wait_for, "migration.waiting")
            assert await asyncio.to_thread(waiting.terminate) == 0
