"""jobsd enqueue: one job, by its task's name."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from jobsd.cli.servers import ConfigOption, JsonOption, redis_url
from jobsd.client import Client
from jobsd.daemon.settings import load_settings
from jobsd.duration import ALLOWED, parse_duration
from jobsd.errors import InvalidOptionError


def enqueue(
    task: Annotated[str, typer.Argument(help="The task's name.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Arguments; a value is JSON, else text.")
    ] = None,
    config: ConfigOption = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="The queue, instead of default.")] = None,
    delay: Annotated[str | None, typer.Option("--delay", metavar="DURATION", help='How long to wait: "5m".')] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="An id of your own.")] = None,
    limit_key: Annotated[
        str | None, typer.Option("--limit-key", metavar="KEY", help="Whose job it is, where limits are per key.")
    ] = None,
    unique_for: Annotated[
        str | None,
        typer.Option("--unique-for", metavar="DURATION", help="Store nothing while a job of the same arguments lives."),
    ] = None,
    unique_key: Annotated[
        str | None, typer.Option("--unique-key", metavar="KEY", help="The same key, rather than the same arguments.")
    ] = None,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="DURATION", help="Wait for the result, at most so long.")
    ] = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Enqueue one job and print its id; with --wait, print its result."""
    given = {
        "_queue": queue,
        "_delay": delay,
        "_id": job_id,
        "_limit_key": limit_key,
        "_unique_for": unique_for,
        "_unique_key": unique_key,
    }
    options = {name: value for name, value in given.items() if value is not None}
    wait_s = None if wait is None else seconds_of(wait)  # before anything is stored
    asyncio.run(_enqueue(config, task, _parsed(arguments or []), options, wait_s, json_output=json_output))


async def _enqueue(
    config: Any,
    task: str,
    arguments: dict[str, Any],
    options: dict[str, str],
    wait_s: float | None,
    *,
    json_output: bool,
) -> None:
    async with Client(await redis_url(load_settings(config))) as client:
        reference = await client.enqueue(task, **arguments, **options)
        answer: dict[str, Any] = {"id": reference.id, "queue": reference.queue, "duplicate": reference.duplicate}
        if wait_s is not None:
            answer["result"] = await reference.result(wait_s)
    if json_output:
        typer.echo(json.dumps(answer))
    elif wait_s is not None:
        typer.echo(json.dumps(answer["result"], ensure_ascii=False, indent=2))
    else:
        typer.echo(reference.id)
        if reference.duplicate:
            held = "this id" if reference.id == options.get("_id") else "this key"
            typer.echo(f"a job with {held} exists already; nothing was stored", err=True)


def _parsed(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.isidentifier() or name.startswith("_"):
            raise InvalidOptionError(option="argument", given=argument, allowed="NAME=VALUE, such as to=a@example.com")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def seconds_of(text: str, option: str = "--wait") -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError:
        raise InvalidOptionError(option=option, given=text, allowed=ALLOWED) from None
