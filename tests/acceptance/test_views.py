"""Who asks a daemon to bring the schema up to date gets the views from it; who does not, does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobsd.client import Client
from jobsd.records.views import ensure_views
from tests.acceptance.witness import runs, until
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

VIEWS = "SELECT count(*) FROM pg_views WHERE viewname IN ('job_executions', 'job_log')"


@pytest.mark.parametrize(("mode", "schema", "count"), [("auto", "", 2), ("auto", "none", 0), ("manual", "", 0)])
async def test_a_daemon_makes_the_views_where_it_makes_the_tables(
    daemon: Callable[..., Any], redis_url: str, database_url: str, mode: str, schema: str, count: int
) -> None:
    async with a_ledger(database_url) as pool:
        daemon(
            JOBSD_LOG__FORMAT="json",
            JOBSD_DATABASE_URL=database_url,
            JOBSD_RECORDS__MIGRATE=mode,
            JOBSD_RECORDS__VIEWS=schema,
        )
        async with Client(redis_url) as client:
            await client.enqueue("add", a=1, b=2)
        await until(lambda: runs(database_url))
        assert await pool.fetchval(VIEWS) == count
        if mode == "auto" and not schema:
            assert await ensure_views(pool, "public") == []
