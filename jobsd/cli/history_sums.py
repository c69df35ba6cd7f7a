"""jobsd history stats, errors: what the ledger says of many executions at once."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from jobsd.cli.fitting import Form, fitting
from jobsd.cli.instants import WHEN, SinceOption, UntilOption, checked, instant
from jobsd.cli.output import as_json, print_rows
from jobsd.cli.servers import ConfigOption, JsonOption, history_of

if TYPE_CHECKING:
    from jobsd.records import ErrorGroup, Statistics

_DAY = "24h"
_SUMS = (
    ("task", "runs", "succeeded", "failures", "retries", "p50_s", "p95_s", "p99_s", "wait_p50_s", "wait_p95_s"),
    ("task", "runs", "failures", "retries", "p50_s", "p95_s", "p99_s", "wait_p95_s"),
    ("task", "runs", "failures", "p50_s", "p95_s", "wait_p95_s"),
    ("task", "runs", "failures", "p95_s"),
)
_GROUPS = (
    ("fingerprint", "task", "error_type", "failures", "first_seen", "last_seen", "message"),
    ("fingerprint", "task", "error_type", "failures", "last_seen", "message"),
    ("fingerprint", "task", "failures", "last_seen", "message"),
    ("fingerprint", "failures", "message"),
)

TaskOption = Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")]


def stats(
    task: TaskOption = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Only this queue.")] = None,
    by: Annotated[
        Literal["task", "day", "hour"],
        typer.Option("--by", help="A line for each task, or for each day or hour of it."),
    ] = "task",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help=f"From then on: {WHEN}.", callback=checked)
    ] = _DAY,
    until: UntilOption = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show how many attempts there were in the last 24 h, how they ended, how long they took and waited.

    It counts in whole hours. JSON has a number for every outcome.
    """

    async def found() -> list[Statistics]:
        async with history_of(config) as asked:
            return await asked.statistics(
                since=instant(since),
                until=None if until is None else instant(until),
                task=task,
                queue=queue,
                step="all" if by == "task" else by,
            )

    sums = asyncio.run(found())
    if json_output:
        typer.echo(as_json([asdict(one) for one in sums]))
        return
    rows = [_sums(one, by) for one in sums]
    forms = _SUMS if by == "task" else [(by, *columns) for columns in _SUMS]
    columns, _ = fitting(*(Form(one, rows) for one in forms))
    print_rows(rows, columns=columns, json_output=False, empty="no execution is recorded in that time")


def errors(
    task: TaskOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show failures folded by error and place, those seen last first; --since: seen then or later."""

    async def found() -> list[ErrorGroup]:
        async with history_of(config) as asked:
            return await asked.errors(task=task, since=None if since is None else instant(since), limit=limit)

    groups = asyncio.run(found())
    if json_output:
        typer.echo(as_json([asdict(one) for one in groups]))
        return
    rows = [_group(one) for one in groups]
    columns, _ = fitting(*(Form(one, rows) for one in _GROUPS))
    print_rows(rows, columns=columns, json_output=False, empty="no such failure is recorded")


def _sums(one: Statistics, by: str) -> dict[str, Any]:
    row = asdict(one)
    if by == "day":
        row["day"] = one.at.strftime("%Y-%m-%d")
    elif by == "hour":
        row["hour"] = one.at.astimezone().strftime("%Y-%m-%d %H:%M")
    return row


def _group(one: ErrorGroup) -> dict[str, Any]:
    return asdict(one) | {
        "first_seen": one.first_seen_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "last_seen": one.last_seen_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
    }
