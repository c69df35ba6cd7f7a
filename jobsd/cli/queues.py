"""jobsd queues: how much waits where."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import typer

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


queues = typer.Typer(invoke_without_command=True)


@queues.callback()
def show(ctx: typer.Context, config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Show every queue and how many jobs it has in each state; pause and resume them."""
    if ctx.invoked_subcommand is not None:
        return
    rows = asyncio.run(_queues(config))
    if not json_output:
        rows = [row | {"latency": _latency(row["latency_ms"]), "note": _note(row)} for row in rows]
    print_rows(rows, columns=_COLUMNS, json_output=json_output, empty="no queue was ever used")


@queues.command("pause")
def pause(queue: str, config: ConfigOption = None) -> None:
    """Let a queue hand out no jobs, on any worker; what runs goes on."""

    async def paused() -> bool:
        async with redis_jobs(config) as jobs:
            return await Inspector(jobs).pause(queue)

    typer.echo(f"{queue} is paused" if asyncio.run(paused()) else f"{queue} was paused already")


@queues.command("resume")
def resume(queue: str, config: ConfigOption = None) -> None:
    """Let a paused queue hand out jobs again."""

    async def resumed() -> bool:
        async with redis_jobs(config) as jobs:
            return await Inspector(jobs).resume(queue)

    typer.echo(f"{queue} hands out jobs again" if asyncio.run(resumed()) else f"{queue} was not paused")


async def _queues(config: Any) -> list[dict[str, Any]]:
    async with redis_jobs(config) as jobs:
        return [asdict(queue) for queue in await Inspector(jobs).queues()]


def _latency(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:,.1f} s"  # noqa: PLR2004


def _note(queue: dict[str, Any]) -> str:
    if queue["paused"]:
        return "paused"
    return "" if queue["served"] else "not served"
