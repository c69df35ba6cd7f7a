"""jobsd history: what ran, from the ledger: every attempt, or all of one job; beside it sums, errors and the lag."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsd.cli.fitting import Form, fitting
from jobsd.cli.history_sums import errors, stats
from jobsd.cli.instants import SinceOption, UntilOption, instant
from jobsd.cli.lag import lag
from jobsd.cli.output import as_json, print_rows, printable
from jobsd.cli.servers import ConfigOption, JsonOption, history_of
from jobsd.execution import OutcomeName  # noqa: TC001 - typer looks at it
from jobsd.records import Page, Place

if TYPE_CHECKING:
    from jobsd.records import PastExecution

_FORMS = (
    ("started", "task", "attempt", "outcome", "transition", "duration_s", "job_id", "message"),
    ("started", "task", "attempt", "outcome", "duration_s", "job_id", "message"),
    ("started", "task", "outcome", "job_id", "message"),
    ("at", "task", "outcome", "job_id", "message"),
    ("at", "task", "outcome", "message"),
)
_TOLD = (
    "job_id",
    "task",
    "queue",
    "attempt",
    "outcome",
    "transition",
    "message",
    "error_type",
    "enqueued_at",
    "scheduled_for",
    "started_at",
    "finished_at",
    "duration_s",
    "worker",
    "schedule_id",
    "batch_id",
    "trace_id",
    "fingerprint",
    "args",
    "result_data",
    "altered",
    "error_trace",
)

history = typer.Typer(help="Show what ran: every attempt, sums by task, failures that are alike.")
history.command("stats")(stats)
history.command("errors")(errors)
history.command("lag")(lag)


@history.callback(invoke_without_command=True)
def executions(
    context: typer.Context,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")] = None,
    job: Annotated[str | None, typer.Option("--job", "-j", help="Only this job's id.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Only this queue.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="Only what this schedule made.")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Only this batch.")] = None,
    outcome: Annotated[OutcomeName | None, typer.Option("--outcome", "-o", help="Only those that ended so.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="Only failures of this kind, as `errors` lists them.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    after: Annotated[
        str | None, typer.Option("--after", metavar="PLACE", help="Go on where the page before has ended.")
    ] = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show executions, the latest first: one line for every attempt of every job."""
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    place = _place(after)

    async def found() -> Page:
        async with history_of(config) as asked:
            return await asked.executions(
                task=task,
                job_id=job,
                queue=queue,
                schedule=schedule,
                batch=batch,
                outcome=outcome,
                fingerprint=fingerprint,
                since=None if since is None else instant(since),
                until=None if until is None else instant(until),
                limit=limit,
                after=place,
            )

    page = asyncio.run(found())
    if json_output:
        more = None if page.more is None else str(page.more)
        typer.echo(as_json({"executions": [asdict(execution) for execution in page.executions], "more": more}))
        return
    lines = [_line(execution) for execution in page.executions]
    columns, _ = fitting(*(Form(one, lines) for one in _FORMS))
    print_rows(lines, columns=columns, json_output=False, empty="no such execution is recorded")
    if page.more:
        typer.echo(f"there are more: --after {page.more}", err=True)


@history.command("show")
def show(
    job_id: Annotated[str, typer.Argument(help="The job's id.")],
    attempt: Annotated[int | None, typer.Option("--attempt", "-a", help="Only this one.")] = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show all that is recorded of a job's latest attempts: arguments, result, trace."""

    async def found() -> list[PastExecution]:
        async with history_of(config) as asked:
            page = await asked.executions(job_id=job_id, limit=1000)
            return [one for one in page.executions if attempt in {None, one.attempt}]

    executions = asyncio.run(found())
    if json_output:
        typer.echo(as_json([asdict(one) for one in executions]))
    elif not executions:
        typer.echo("no such execution is recorded", err=True)
    else:
        typer.echo("\n\n".join(_in_full(one) for one in reversed(executions)))
    if not executions:
        raise typer.Exit(1)


def _refuse_options(context: typer.Context) -> None:
    """What stands before a command would be passed over without a word."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            said = f"put it behind {context.invoked_subcommand!r}, if that has it"
            raise typer.BadParameter(said, param_hint=f"--{name.removesuffix('_output')}")


def _place(text: str | None) -> Place | None:
    try:
        return None if text is None else Place.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None


def _line(execution: PastExecution) -> dict[str, Any]:
    started = execution.started_at.astimezone()
    return asdict(execution) | {"started": f"{started:%Y-%m-%d %H:%M:%S}", "at": f"{started:%m-%d %H:%M:%S}"}


def _in_full(execution: PastExecution) -> str:
    facts = {name: value for name in _TOLD if (value := getattr(execution, name)) is not None and value is not False}
    names = {name: name.removesuffix("_at").removesuffix("_data").replace("_", " ") for name in facts}
    width = max(map(len, names.values()))
    return "\n".join(f"{names[name]:<{width}}  {_text(value)}" for name, value in facts.items())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return printable(f"\n{value}" if "\n" in value else value)
    if hasattr(value, "astimezone"):
        return value.astimezone().isoformat(sep=" ", timespec="milliseconds")
    return f"{value:.3f}" if isinstance(value, float) else as_json(value)
