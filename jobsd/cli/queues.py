"""jobsd queues: how much waits where, and how much of it may run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsd.admin.inspector import Inspector
from jobsd.cli.fitting import Form, fitting
from jobsd.cli.output import print_rows
from jobsd.cli.servers import ConfigOption, JsonOption, redis_jobs
from jobsd.daemon.settings import load_settings
from jobsd.errors import UnknownQueueError

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATES = ("pending", "active", "scheduled", "retry", "parked", "archived")
_FORMS = (
    ("queue", *_STATES, "completed", "processed", "failed", "latency", "note"),
    ("queue", *_STATES, "processed", "failed", "latency", "note"),
    ("queue", *_STATES, "latency", "note"),
    ("queue", "pending", "active", "retry", "archived", "latency", "note"),
    ("queue", "pending", "active", "latency"),
)


queues = typer.Typer(invoke_without_command=True)


@queues.callback()
def show(ctx: typer.Context, config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Show every queue and how many jobs it has in each state; pause, resume and limit them."""
    if ctx.invoked_subcommand is not None:
        return
    rows = asyncio.run(_queues(config))
    if not json_output:
        rows = [row | {"latency": _latency(row["latency_ms"]), "note": _note(row)} for row in rows]
    columns = _FORMS[0] if json_output else fitting(*(Form(one, rows) for one in _FORMS)).columns
    print_rows(rows, columns=columns, json_output=json_output, empty="no queue was ever used")


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


def _option(name: str, metavar: str, help_: str) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=f"{help_}; none: no such limit.")


@queues.command("limit")
def limit(
    name: Annotated[str, typer.Argument(help="The queue; with --resource, the resource.")],
    config: ConfigOption = None,
    concurrency: Annotated[
        str | None, _option("concurrency", "N", "Jobs at the same time in one process; of a resource, in all")
    ] = None,
    global_concurrency: Annotated[
        str | None, _option("global-concurrency", "N", "Jobs at the same time across all workers")
    ] = None,
    rate: Annotated[str | None, _option("rate", "5/10s", "Starts in any such time, across all workers")] = None,
    per_key_concurrency: Annotated[
        str | None, _option("per-key-concurrency", "N", "Jobs of one limit key at the same time")
    ] = None,
    per_key_rate: Annotated[str | None, _option("per-key-rate", "5/10s", "Starts of one limit key's jobs")] = None,
    hours: Annotated[str | None, _option("hours", "22:00-06:00", "When jobs start; a zone may follow")] = None,
    *,
    resource: Annotated[bool, typer.Option("--resource", help="NAME is that of a resource.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Let the configuration decide again.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show what limits a queue, or change some of it on all workers until --reset; what is not named stays."""
    options = {
        "concurrency": concurrency,
        "global_concurrency": global_concurrency,
        "rate": rate,
        "per_key_concurrency": per_key_concurrency,
        "per_key_rate": per_key_rate,
        "hours": hours,
    }
    given = {option: value for option, value in options.items() if value is not None}
    if reset and given:
        msg = "--reset stands alone: it takes away every limit that was set here"
        raise typer.BadParameter(msg)
    zone = load_settings(config).settings.timezone

    async def limited() -> dict[str, int | str]:
        async with redis_jobs(config) as jobs:
            inspector = Inspector(jobs)
            if reset:
                return await inspector.reset(name, resource=resource)
            if given:
                return await inspector.limit(name, given, resource=resource, zone=zone)
            return await inspector.limits(name, resource=resource)

    try:
        limits = asyncio.run(limited())
    except UnknownQueueError as error:
        raise typer.BadParameter(str(error)) from None
    if json_output:
        typer.echo(json.dumps(limits))
    else:
        typer.echo(f"{name}: {_limits(limits, resource=resource) or 'no limits'}")


async def _queues(config: Any) -> list[dict[str, Any]]:
    async with redis_jobs(config) as jobs:
        return [asdict(queue) for queue in await Inspector(jobs).queues()]


def _latency(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:,.1f} s"  # noqa: PLR2004


def _note(queue: dict[str, Any]) -> str:
    state = "paused" if queue["paused"] else "" if queue["served"] else "not served"
    return "; ".join(filter(None, (state, _limits(queue["limits"]))))


def _limits(limits: Mapping[str, int | str], *, resource: bool = False) -> str:
    words = {
        "concurrency": "{} at a time" if resource else "{} at a time in each process",
        "global_concurrency": "{} at a time",
        "rate": "{}",
        "per_key_concurrency": "{} at a time of each key",
        "per_key_rate": "{} of each key",
        "hours": "{}",
    }
    return ", ".join(words[name].format(value) for name, value in limits.items())
