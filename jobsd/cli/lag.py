"""jobsd history lag: how much waits for the ledger, or in the outbox, and whether it gets there."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from jobsd.admin.inspector import Inspector
from jobsd.cli.servers import ConfigOption, JsonOption, ledger, redis_jobs
from jobsd.clock import now_ms, utc_from_ms
from jobsd.daemon.settings import load_settings
from jobsd.duration import format_duration
from jobsd.errors import NotConfiguredError, SchemaError, UnreachableError
from jobsd.records.outbox import outbox_lag
from jobsd.records.recorded import recorded
from jobsd.size import format_size

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_ALL = 100


def lag(config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Show how many records wait in Redis for the ledger, and from how many on fewer jobs are claimed."""
    # This hour may have begun a moment ago.
    since = utc_from_ms(now_ms()).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)

    async def found() -> dict[str, Any]:
        async with redis_jobs(config) as jobs:
            waiting = await Inspector(jobs).records(load_settings(config).settings.records.backlog)
        return asdict(waiting) | {"since": since.isoformat()} | await _in_ledger(config, since)

    facts = asyncio.run(found())
    if json_output:
        typer.echo(json.dumps(facts))
        return
    for name, text in _lines(facts, since):
        typer.echo(f"{name:<10} {text}")


async def _in_ledger(config: Path | None, since: datetime) -> dict[str, Any]:
    """Tell what Postgres knows. That it does not answer is an answer here: then records wait."""
    try:
        async with ledger(config) as pool:
            told = asdict(await recorded(pool, since))
            return told | {"ledger": "answers", "outbox": asdict(await outbox_lag(pool))}
    except (UnreachableError, NotConfiguredError, SchemaError) as error:
        return {"runs": None, "rejected": None, "ledger": str(error), "outbox": None}


def _lines(facts: dict[str, Any], since: datetime) -> list[tuple[str, str]]:
    age_ms, limit = facts["oldest_age_ms"], facts["limit_bytes"]
    oldest = "" if age_ms is None else f", the oldest since {format_duration(timedelta(seconds=age_ms // 1000))}"
    batches = "batch" if facts["entries"] == 1 else "batches"
    waiting = (
        f"{format_size(facts['bytes'])} in {facts['entries']:,} {batches}{oldest}" if facts["entries"] else "nothing"
    )
    claims = "as ever" if facts["claims_percent"] == _ALL else f"slowed to {facts['claims_percent']}%"
    lines = [
        ("waiting", waiting),
        ("limit", f"{format_size(limit)}, of which {facts['bytes'] / limit:.0%} is taken; claims: {claims}"),
        ("ledger", facts["ledger"]),
    ]
    if facts["runs"] is None:
        return lines
    started = since.astimezone().strftime("%H:%M")
    return [
        *lines,
        ("recorded", f"{facts['runs']:,} executions that started since {started}"),
        ("rejected", f"{facts['rejected']:,} records, ever"),
        ("outbox", _outbox(facts["outbox"])),
    ]


def _outbox(facts: dict[str, Any]) -> str:
    jobs = f"{facts['jobs']:,} {'job' if facts['jobs'] == 1 else 'jobs'} that have not ended"
    if not facts["unpushed"]:
        return jobs
    age = format_duration(timedelta(seconds=facts["unpushed_age_ms"] // 1000))
    problem = f": {facts['problem']}" if facts["problem"] else ""
    return f"{jobs}; {facts['unpushed']:,} not in Redis yet, the oldest since {age}{problem}"
