"""jobsd cron: what is scheduled, when it runs next and why not now; and to run, pause and resume it by hand."""

from __future__ import annotations

import asyncio
import getpass
import shutil
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobsd.admin.opening import open_schedules
from jobsd.cli.cron_check import check
from jobsd.cli.cron_words import ago, at_in_zone, lateness, upcoming
from jobsd.cli.output import as_json, print_rows, printable
from jobsd.cli.servers import ConfigOption, JsonOption, database_url, redis_url
from jobsd.clock import now_ms, utc_from_ms
from jobsd.daemon.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from jobsd.admin.schedule_views import PastDue, ScheduleView, Triggered
    from jobsd.admin.schedules import Schedules

_NARROW, _WIDE = 120, 160
"""Columns of a terminal: below the first the dates of `ls` do not fit, from the second on job ids do."""

cron = typer.Typer(
    no_args_is_help=True, help="Show schedules, ask when they run and why they do not; trigger, pause and resume them."
)
cron.command("check")(check)

NameArgument = Annotated[str, typer.Argument(help="The schedule's name.")]
NamesArgument = Annotated[list[str], typer.Argument(help="Names of schedules.")]


@asynccontextmanager
async def schedules_of(config: Path | None) -> AsyncGenerator[Schedules]:
    loaded = load_settings(config)
    urls = await redis_url(loaded), await database_url(loaded)
    async with open_schedules(*urls, zone=loaded.settings.timezone) as opened:
        yield opened


@cron.command("ls")
def show_all(config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Show every schedule: when it is due, in its own time zone, how its last run ended, and whether it runs.

    JSON is a list of objects: name, task, queue, at, words, zone, description, source, enabled, state (active, paused,
    disabled, ended, undeclared, unreadable), why, next_at, previous_at, paused_at, paused_by, last (due_at, job_id,
    queue, live, outcome), runs, max_runs, waiting, missed, overlap, holidays. Instants are UTC.
    """

    async def found() -> Any:
        async with schedules_of(config) as schedules:
            return await schedules.list()

    views: list[ScheduleView] = asyncio.run(found())
    rows = [asdict(view) for view in views] if json_output else [_row(view) for view in views]
    times = ("in",) if _width() < _NARROW else ("next", "in")
    columns = ("schedule", "when", *times, "last", "state")
    print_rows(rows, columns=columns, json_output=json_output, empty="nothing is scheduled")


@cron.command("next")
def show_next(
    name: NameArgument,
    count: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many due times.")] = 5,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show when one is due next, when it was last, and why it does not run now.

    JSON is an object as in `ls`, and in it next, a list of instants.
    """

    async def found() -> tuple[ScheduleView, Any]:
        async with schedules_of(config) as schedules:
            return await schedules.get(name), await schedules.next(name, count)

    view, times = asyncio.run(found())
    if json_output:
        typer.echo(as_json(asdict(view) | {"next": times}))
        return
    now = utc_from_ms(now_ms())
    lines: list[tuple[str, str, str]] = []
    if view.previous_at is not None:
        lines.append(("previous", at_in_zone(view.previous_at, view.zone), ago(view.previous_at, now)))
    lines += [("next", at_in_zone(at, view.zone), upcoming(at, now)) for at in times]
    typer.echo(printable(f"{view.name}: {view.words}{f' · {view.description}' if view.description else ''}"))
    width = max((len(at) for _, at, _ in lines), default=0)
    before = ""
    for label, at, distance in lines:
        typer.echo(f"{'' if label == before else label:<9} {at:<{width}}  {distance}")
        before = label
    if view.last is not None:
        typer.echo(printable(f"{'last run':<9} {view.last.job_id}  {_last(view)}"))
    if view.why:
        typer.echo(printable(f"{'not now':<9} {view.why}"))
    if view.holidays:
        typer.echo(printable(f"{'except':<9} when {view.holidays} says that it is a holiday"))


@cron.command("trigger")
def trigger(
    name: NameArgument,
    wait: Annotated[str, typer.Option("--wait", metavar="DURATION", help="Wait for its end, at most so long.")] = "30s",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait.")] = False,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Run a schedule's task now, also if it is paused or disabled; this counts as none of its runs.

    Exit code 1 if it failed. JSON is an object: schedule, job_id, queue, state (succeeded, failed, accepted: it had not
    ended in that time), result, message.
    """

    async def triggered() -> Triggered:
        async with schedules_of(config) as schedules:
            return await schedules.trigger(name, wait=None if no_wait else wait)

    ended = asyncio.run(triggered())
    if json_output:
        typer.echo(as_json(asdict(ended)))
    else:
        said = f": {ended.message}" if ended.message else ""
        typer.echo(printable(f"{name} {'is' if ended.state == 'accepted' else 'has'} {ended.state}{said}"))
        typer.echo(f"job     {ended.job_id}")
        if ended.result is not None:
            typer.echo(f"result  {as_json(ended.result)}")
    if ended.state == "failed":
        raise typer.Exit(1)


@cron.command("pause")
def pause(
    names: NamesArgument,
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who says so; by default the user.")] = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Let schedules fire no more until they are resumed, whatever is declared; what is due meanwhile is passed over.

    JSON is a list of objects: name, paused, changed.
    """
    who = _user() if by is None else by

    async def paused() -> list[bool]:
        async with schedules_of(config) as schedules:
            return [await schedules.pause(name, by=who) for name in names]

    _say_steered(
        names, asyncio.run(paused()), ("is paused", "was paused already"), json_output=json_output, paused=True
    )


@cron.command("resume")
def resume(names: NamesArgument, config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Let paused schedules fire again, from now on.

    JSON is a list of objects: name, paused, changed.
    """

    async def resumed() -> list[bool]:
        async with schedules_of(config) as schedules:
            return [await schedules.resume(name) for name in names]

    _say_steered(
        names, asyncio.run(resumed()), ("fires again", "was not paused"), json_output=json_output, paused=False
    )


@cron.command("history")
def history(
    name: Annotated[str | None, typer.Argument(help="Only this schedule.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show what came of due times, the latest first: how late each ran and how it ended, or why it was passed over.

    JSON is a list of objects: schedule, due_at, state (fired, passed, waiting), reason, due_times, manual, job_id,
    decided_at, started_at, finished_at, lateness_s, outcome, attempts, message. Instants are UTC.
    """

    async def found() -> Any:
        async with schedules_of(config) as schedules:
            return await schedules.history(name, limit)

    lines: list[PastDue] = asyncio.run(found())
    rows = [_told(line) if json_output else _past(line) for line in lines]
    wide = shutil.get_terminal_size((200, 24)).columns >= _WIDE
    columns = (
        "due",
        *(() if name else ("schedule",)),
        "what",
        "late",
        "outcome",
        "note",
        *(("job_id",) if wide else ()),
    )
    print_rows(rows, columns=columns, json_output=json_output, empty="nothing was due yet")


def _width() -> int:
    return shutil.get_terminal_size((_WIDE, 24)).columns


def _row(view: ScheduleView) -> dict[str, Any]:
    now = utc_from_ms(now_ms())
    state = view.state
    if view.state == "paused" and view.paused_at is not None:
        state = f"paused {ago(view.paused_at, now)}{f' by {view.paused_by}' if view.paused_by else ''}"
    elif view.state == "active" and view.why and not (view.waiting or (view.last and view.last.live)):
        state = f"active: {view.why}"
    return {
        "schedule": view.name,
        "when": view.words or view.at,
        "next": "" if view.next_at is None else at_in_zone(view.next_at, view.zone),
        "in": "" if view.next_at is None else upcoming(view.next_at, now).removeprefix("in "),
        "last": _last(view),
        "state": state,
    }


def _last(view: ScheduleView) -> str:
    if view.last is None:
        return ""
    return "not ended" if view.last.live else view.last.outcome or "unknown"


def _past(line: PastDue) -> dict[str, Any]:
    what = "by hand" if line.manual else line.state
    if line.state == "passed":
        what = "passed over" if line.due_times == 1 else f"{line.due_times:,} passed over"
    again = f"attempt {line.attempts}" if line.attempts > 1 else ""
    return {
        "due": line.due_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "schedule": line.schedule,
        "what": what,
        "late": "" if line.lateness is None else lateness(line.lateness),
        "outcome": line.outcome or "",
        "note": "; ".join(filter(None, (line.reason, again, line.message))),
        "job_id": line.job_id,
    }


def _told(line: PastDue) -> dict[str, Any]:
    told = asdict(line)
    late = told.pop("lateness")
    return told | {"lateness_s": None if late is None else late.total_seconds()}


def _say_steered(
    names: list[str], changed: list[bool], words: tuple[str, str], *, json_output: bool, paused: bool
) -> None:
    if json_output:
        pairs = zip(names, changed, strict=True)
        typer.echo(as_json([{"name": name, "paused": paused, "changed": changes} for name, changes in pairs]))
        return
    for name, changes in zip(names, changed, strict=True):
        typer.echo(printable(f"{name} {words[0] if changes else words[1]}"))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return ""
