"""jobsd queues: how much waits where."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from jobsd.admin.inspector import Inspector
from jobsd.cli.output import print_rows
from jobsd.cli.servers import ConfigOption, JsonOption, redis_jobs

_COLUMNS = (
    "queue",
    "pending",
    "active",
    "scheduled",
    "retry",
    "parked",
    "archived",
    "completed",
    "processed",
    "failed",
    "latency",
    "note",
)


def queues(config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Show every queue and how many jobs it has in each state."""
    rows = asyncio.run(_queues(config))
    if not json_output:
        rows = [row | {"latency": _latency(row["latency_ms"]), "note": _note(row)} for row in rows]
    print_rows(rows, columns=_COLUMNS, json_output=json_output, empty="no queue was ever used")


async def _queues(config: Any) -> list[dict[str, Any]]:
    async with redis_jobs(config) as jobs:
        return [asdict(queue) for queue in await Inspector(jobs).queues()]


def _latency(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:,.1f} s"  # noqa: PLR2004


def _note(queue: dict[str, Any]) -> str:
    if queue["paused"]:
        return "paused"
    return "" if queue["served"] else "not served"
