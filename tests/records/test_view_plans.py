"""How Postgres goes about the printed queries on 100,000 executions of three months."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from jobsd.records.views import ensure_views
from tests.records.ledger import a_ledger
from tests.records.test_views import FAILED, RECENT, STATISTICS

ROWS = 100_000
FILL = """
INSERT INTO jobsd.executions (
    job_id, task, queue, attempt, outcome, transition, started_at, finished_at, worker, message, schedule_id)
SELECT 'job-' || n, 'task-' || n % 20, 'default', 1,
       CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END,
       CASE WHEN n % 50 = 0 THEN 'archived' ELSE 'completed' END,
       now() - n * interval '90 days' / $1, now() - n * interval '90 days' / $1 + interval '1 second', 'host-1',
       CASE WHEN n % 50 = 0 THEN 'no' END, CASE WHEN n % 3 = 0 THEN 'nightly' END
FROM generate_series(1, $1::integer) AS n
"""


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in nodes(plan) if "Relation Name" in node]


def oldest(plan: dict[str, Any]) -> str:
    """Return the oldest month that is read. The default partition always is: its rows are of any month."""
    return min({node["Relation Name"] for node in scans(plan)} - {"executions_default"})


def month(days: int) -> str:
    return f"executions_{datetime.now(UTC) - timedelta(days=days):%Y_%m}"


async def test_the_printed_queries_read_an_index_or_the_months_that_they_ask_for(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await ensure_views(pool, "public")
        for months in (1, 2, 3):
            await pool.execute("SELECT jobsd.ensure_partition(now() - $1::integer * interval '1 month')", months)
        await pool.execute(FILL, ROWS)
        await pool.execute("ANALYZE jobsd.executions")
        recent, failed, statistics = [
            json.loads(await pool.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"))[0]["Plan"]
            for sql in (RECENT, FAILED, STATISTICS)
        ]

    assert "Sort" not in {node["Node Type"] for node in nodes(recent)}
    assert {node["Node Type"] for node in scans(recent)} == {"Index Scan"}
    assert sum(node["Actual Rows"] for node in scans(recent)) <= 20 + len(scans(recent))

    assert oldest(failed) == month(1)
    assert sum(node["Actual Rows"] for node in scans(failed)) < ROWS / 90 / 50 * 2
    assert sum(node.get("Rows Removed by Filter", 0) for node in scans(failed)) < ROWS / 90 * 2

    assert oldest(statistics) == month(7)
