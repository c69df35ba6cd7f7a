"""jobsd jobs: list them, look at one, cancel one, run an archived one again."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import typer

from jobsd.admin.inspector import Inspector
from jobsd.cli.enqueue import seconds_of
from jobsd.cli.fitting import Form, fitting
from jobsd.cli.output import as_json, print_rows, printable
from jobsd.cli.servers import ConfigOption, JsonOption, redis_jobs, redis_url
from jobsd.client import Client
from jobsd.daemon.settings import load_settings
from jobsd.job import CancelState, JobState

jobs = typer.Typer(help="List jobs, look at one, cancel one, run an archived one again.", no_args_is_help=True)

QueueOption = Annotated[str, typer.Option("--queue", "-q", help="The queue.")]
_FORMS = (
    ("id", "task", "at", "attempt", "message"),
    ("id", "task", "at", "message"),
    ("id", "task", "at"),
    ("id", "at"),
)
ListedState = Literal["pending", "scheduled", "active", "retry", "parked", "completed", "archived"]


@jobs.command("ls")
def ls(
    state: Annotated[ListedState, typer.Argument()] = "pending",
    queue: QueueOption = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """List jobs of a queue in one state, the next due or the latest first."""

    async def listed() -> list[dict[str, Any]]:
        async with redis_jobs(config) as store:
            return await Inspector(store).list(queue, JobState(state), limit=limit)

    rows = asyncio.run(listed())
    columns, _ = fitting(*(Form(one, rows) for one in _FORMS))
    print_rows(rows, columns=columns, json_output=json_output, empty=f"no {state} job in {queue}")


@jobs.command("show")
def show(
    job_id: str,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="The queue, instead of all.")] = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show all that is known of one job."""

    async def found() -> dict[str, Any]:
        async with redis_jobs(config) as store:
            return await Inspector(store).show(queue, job_id)

    facts = asyncio.run(found())
    if json_output:
        typer.echo(as_json(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = printable(value) if isinstance(value, str) else as_json(value)
        separator = "\n" if "\n" in text else ""
        typer.echo(f"{name.replace('_', ' '):<{width}}  {separator}{text}")


@jobs.command("retry")
def retry(job_id: str, queue: QueueOption = "default", config: ConfigOption = None) -> None:
    """Run an archived job again, with a fresh count of retries."""

    async def again() -> None:
        async with redis_jobs(config) as store:
            await Inspector(store).retry(queue, job_id)

    asyncio.run(again())
    typer.echo(f"{job_id} is pending again")


@jobs.command("cancel")
def cancel(
    job_id: str,
    queue: QueueOption = "default",
    wait: Annotated[
        str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the end of one that runs.")
    ] = "10s",
    config: ConfigOption = None,
) -> None:
    """Let a job run no more: one that waits at once, one that runs by cancelling its function. It is archived."""
    wait_s = seconds_of(wait)

    async def cancelled() -> tuple[CancelState, JobState]:
        async with Client(await redis_url(load_settings(config))) as client:
            reference = client.job(job_id, queue=queue)
            return await reference.cancel(wait_s), await reference.status()

    how, state = asyncio.run(cancelled())
    if how is CancelState.CANCELLED:
        typer.echo(f"{job_id} is cancelled")
        return
    typer.echo(f"{job_id} {_not_cancelled(how, state, wait)}", err=True)
    raise typer.Exit(1)


def _not_cancelled(how: CancelState, state: JobState, wait: str) -> str:
    match how:
        case CancelState.CANCELLED:
            return "is cancelled"
        case CancelState.ENDED:
            return f"was not cancelled: it has ended, and is {'gone' if state is JobState.UNKNOWN else state}"
        case CancelState.REQUESTED:
            return f"still runs: its worker has not answered within {wait}; the request stands"
        case CancelState.DELIVERED:
            return f"still runs: its function was cancelled and has not ended within {wait}; it will not be retried"
        case CancelState.RESISTING:
            return "still runs: its function was cancelled and resists; it keeps its slot until it ends"
