"""jobsd history: what ran, from the ledger."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer

from jobsd.cli.output import print_rows
from jobsd.cli.servers import ConfigOption, JsonOption, ledger
from jobsd.records import history as records

_COLUMNS = ("started", "task", "queue", "attempt", "outcome", "transition", "duration_s", "job_id", "message")


def history(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")] = None,
    job: Annotated[str | None, typer.Option("--job", "-j", help="Only this job's id.")] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", "-o", help="succeeded, failed, timed_out, lost, …")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show executions, the latest first: one line for every attempt of every job."""

    async def found() -> list[dict[str, Any]]:
        async with ledger(config) as pool:
            page = await records.page(pool, job_id=job, task=task, outcome=outcome, limit=limit)
            return [asdict(execution) for execution in page.executions]

    rows = asyncio.run(found())
    for row in rows:
        row["started"] = row["started_at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
    print_rows(rows, columns=_COLUMNS, json_output=json_output, empty="no execution is recorded")
