"""What a daemon's ledger shows of arguments, of the runs that it did and of those that nobody did."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from jobsd import CancelState, Client
from tests.waiting import until


async def test_settings_redact_the_records_of_workers_and_those_of_scripts(
    daemon: Any, redis_url: str, database_url: str
) -> None:
    daemon(JOBSD_DATABASE_URL=database_url, JOBSD_RECORDS__MIGRATE="auto", JOBSD_RECORDS__REDACT="B, c")
    async with Client(redis_url) as client:
        assert await (await client.enqueue("add", 1, 2)).result(30) == 3
        waiting = await client.enqueue("add", 1, b=2, _delay="1h")
        assert await waiting.cancel() is CancelState.CANCELLED
    ledger = await asyncpg.connect(database_url)
    found: list[Any] = []

    async def both() -> bool:
        found[:] = await ledger.fetch("SELECT outcome, args FROM jobsd.executions ORDER BY outcome")
        return len(found) == 2

    try:
        await until(both)
    finally:
        await ledger.close()
    assert {row["outcome"]: json.loads(row["args"]) for row in found} == {
        "cancelled": {"args": [1], "kwargs": {"b": "[redacted]"}},
        "succeeded": {"args": [1, "[redacted]"], "kwargs": {}},
    }
