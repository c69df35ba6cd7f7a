"""What people ask of a large ledger is answered from a few of its pages: plans at 100,000 executions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.ledger import load, questions
from jobsd.records import History
from jobsd.records.schedules import PostgresSchedules
from tests.records.ledger import a_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
ROWS = 100_000
MOST_BLOCKS = 700  # of some 9,000 in the table and its indexes, and 10,000 in the statistics


class Explainer:
    """Stands where the pool does, and keeps the plan that each statement was carried out by."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        [row] = await self._pool.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
        self.plans.append(json.loads(row["QUERY PLAN"])[0]["Plan"])
        return []


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def problems(name: str, plan: dict[str, Any]) -> Iterator[str]:
    blocks = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    most = 4 * MOST_BLOCKS if "all tasks" in name else MOST_BLOCKS
    if blocks > most:
        yield f"{name}: {blocks} blocks"
    for node in nodes(plan):
        table = node.get("Relation Name", "")
        read = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        if (
            read
            and table.startswith("executions")
            and (name.startswith(("statistics", "errors")) or node["Node Type"] == "Seq Scan")
        ):
            yield f"{name}: {node['Node Type']} of {table}"


@pytest.mark.timeout(120)
async def test_pages_and_statistics_are_answered_from_a_few_blocks(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await load(pool, ROWS, until=NOW)
        found: list[str] = []
        for name, ask in questions(History(explainer := Explainer(pool)), NOW).items():
            await ask()
            found += problems(name, explainer.plans[-1])
    assert not found, "\n".join(found)


RUNS = """INSERT INTO jobsd.schedule_runs (schedule, due_at, state, last_due_at)
SELECT 'schedule-' || n % 50, at, CASE n % 1000 WHEN 7 THEN 'passed' ELSE 'fired' END, at
FROM generate_series(1, $1::integer) AS n, LATERAL (SELECT now() - n * interval '2 s') AS run (at)"""


@pytest.mark.timeout(120)
async def test_the_history_of_schedules_is_answered_from_a_few_blocks(ledger_url):
    async with a_ledger(ledger_url) as pool:
        await pool.execute(RUNS, ROWS)
        await pool.execute("VACUUM ANALYZE jobsd.schedule_runs")
        [row] = await pool.fetch("SELECT (extract(epoch FROM now()) * 1000)::bigint AS now")
        found: list[str] = []
        for name in (None, "schedule-7", "unknown"):
            for passed in (False, True):
                for since in (None, row["now"] - 60_000):
                    store = PostgresSchedules(explainer := Explainer(pool))
                    await store.history(name, 20, since=since, passed=passed)
                    found += problems(f"history of {name}, passed {passed}, since {since}", explainer.plans[-1])
                    found += [
                        f"{name}, {passed}, {since}: {node['Node Type']} of schedule_runs"
                        for node in nodes(explainer.plans[-1])
                        if node.get("Relation Name") == "schedule_runs" and node["Node Type"] == "Seq Scan"
                    ]
    assert not found, "\n".join(found)
