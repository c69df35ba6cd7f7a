"""jobsd cron: what is scheduled, when it runs next and why not now; to run, pause, resume and remove it by hand."""

from __future__ import annotations

import asyncio
import getpass
from contextlib import asynccontextmanager
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Self, get_args

import typer

from jobsd.admin.opening import open_schedules
from jobsd.admin.schedule_standing import Standing
from jobsd.admin.schedules import NO_POSTGRES
from jobsd.cli.cron_check import check
from jobsd.cli.cron_facts import as_told, facts_of
from jobsd.cli.cron_tables import history_table, schedules_table
from jobsd.cli.instants import SinceOption, instant
from jobsd.cli.output import as_json, print_rows, printable
from jobsd.cli.servers import ConfigOption, JsonOption, database_url, redis_url
from jobsd.clock import now_ms, utc_from_ms
from jobsd.daemon.settings import load_settings
from jobsd.duration import ALLOWED as DURATION
from jobsd.duration import parse_duration
from jobsd.errors import InvalidOptionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import datetime
    from pathlib import Path

    from jobsd.admin.schedule_views import PastDue, ScheduleView, Triggered
    from jobsd.admin.schedules import Schedules

cron = typer.Typer(
    no_args_is_help=True,
    help="Show schedules, ask when they run and why they do not; trigger, pause, resume and remove them.",
)
cron.command("check")(check)

_STANDINGS: tuple[str, ...] = get_args(Standing)

NameArgument = Annotated[str, typer.Argument(help="The schedule's name.")]
NamesArgument = Annotated[list[str], typer.Argument(help="Names of schedules.")]


@asynccontextmanager
async def schedules_of(config: Path | None) -> AsyncGenerator[Schedules]:
    loaded = load_settings(config)
    urls = await redis_url(loaded), await database_url(loaded)
    async with open_schedules(*urls, zone=loaded.settings.timezone) as opened:
        yield opened


async def _has_database(config: Path | None) -> bool:
    return await database_url(load_settings(config)) is not None


def _standing(state: str | None) -> str | None:
    if state is None or state in _STANDINGS:
        return state
    near = get_close_matches(state.lower(), _STANDINGS, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise typer.BadParameter(f"{state!r} is not one of {', '.join(_STANDINGS)}{hint}")


@cron.command("ls")
def show_all(
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", callback=_standing, help="Only those that stand so."),
    ] = None,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show every schedule: when it is due, in its own time zone, how its last run ended, and whether it runs.

    JSON is a list of objects: name, task, args, queue, at, seconds, words, zone, description, source, enabled, state
    (active, paused, disabled, ended, undeclared, unreadable), why, next_at, previous_at, paused_at, paused_by, last
    (due_at, job_id, queue, live, parked, stranded, outcome, ended_at), runs, max_runs, waiting, missed, missed_limit,
    missed_window_s, overlap, jitter_s, start_at, end_at, timeout_s, retries, retry_delay_s, holidays. Instants are UTC.
    """

    async def found() -> Any:
        async with schedules_of(config) as schedules:
            return await schedules.list()

    known: list[ScheduleView] = asyncio.run(found())
    views = [view for view in known if state in {None, view.state}]
    columns, rows = schedules_table(views)
    rows = [as_told(view) for view in views] if json_output else rows
    empty = "no schedule stands so" if known else "nothing is scheduled"
    if not known and not asyncio.run(_has_database(config)):
        empty += f" in Redis; {NO_POSTGRES}"
    print_rows(rows, columns=columns, json_output=json_output, empty=empty)


@cron.command("next")
def show_next(
    name: NameArgument,
    count: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="How many due times.")] = 5,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show when one is due next, what came of it last, why it does not run now, what it runs, and how it is set.

    JSON is an object as in `ls`, and in it next, a list of instants.
    """

    async def found() -> tuple[ScheduleView, Sequence[datetime], Sequence[PastDue]]:
        async with schedules_of(config) as schedules:
            lines = () if json_output else await schedules.history(name)
            return await schedules.get(name), await schedules.next(name, count), lines

    view, times, lines = asyncio.run(found())
    if json_output:
        typer.echo(as_json(as_told(view) | {"next": times}))
    else:
        typer.echo(facts_of(view, times, lines, utc_from_ms(now_ms())))


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
    try:
        parse_duration(wait)
    except ValueError:
        raise InvalidOptionError(option="--wait", given=wait, allowed=DURATION) from None

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

    If there is none of one of these names, nothing is done. JSON is a list of objects: name, paused, changed.
    """
    who = _user() if by is None else by

    async def paused() -> None:
        async with schedules_of(config) as schedules:
            await schedules.expect(names)
            with _Steered("is paused", "was paused already", json_output=json_output, paused=True) as steered:
                for name in dict.fromkeys(names):
                    steered.say(name, changed=await schedules.pause(name, by=who))

    asyncio.run(paused())


@cron.command("resume")
def resume(names: NamesArgument, config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Let paused schedules fire again, from now on.

    If there is none of one of these names, nothing is done. JSON is a list of objects: name, paused, changed.
    """

    async def resumed() -> None:
        async with schedules_of(config) as schedules:
            await schedules.expect(names)
            with _Steered("fires again", "was not paused", json_output=json_output, paused=False) as steered:
                for name in dict.fromkeys(names):
                    steered.say(name, changed=await schedules.resume(name))

    asyncio.run(resumed())


@cron.command("remove")
def remove(names: NamesArgument, config: ConfigOption = None, *, json_output: JsonOption = False) -> None:
    """Remove schedules of run time, and those that no daemon declares any more; jobs that they have made stay.

    What settings or code declare is removed there. If one of these names is not to be removed, nothing is done. JSON is
    a list of objects: name, removed, changed.
    """

    async def removed() -> None:
        async with schedules_of(config) as schedules:
            await schedules.expect(names, removable=True)
            with _Steered("is removed", "was removed already", json_output=json_output, removed=True) as steered:
                for name in dict.fromkeys(names):
                    steered.say(name, changed=await schedules.remove(name))

    asyncio.run(removed())


@cron.command("history")
def history(
    name: Annotated[str | None, typer.Argument(help="Only this schedule.")] = None,
    since: SinceOption = None,
    passed: Annotated[bool, typer.Option("--passed", help="Only what was passed over.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    *,
    json_output: JsonOption = False,
) -> None:
    """Show what came of due times, the latest first: how late each ran and how it ended, or why it was passed over.

    Due times are shown in the schedule's own zone. JSON is a list of objects: schedule, zone, due_at, last_due_at,
    state (fired, passed, waiting), reason, due_times, manual, job_id, live, decided_at, started_at, finished_at,
    lateness_s, outcome, attempts, message. Instants are UTC; of a live job outcome and message are of the attempt
    before.
    """

    async def found() -> Any:
        async with schedules_of(config) as schedules:
            start = None if since is None else instant(since)
            return await schedules.history(name, limit, since=start, passed=passed)

    lines: list[PastDue] = asyncio.run(found())
    columns, rows = history_table(lines, of_one=name is not None)
    rows = [as_told(line) for line in lines] if json_output else rows
    empty = "nothing was passed over" if passed else f"nothing was due {'yet' if since is None else 'since then'}"
    print_rows(rows, columns=columns, json_output=json_output, empty=empty)


class _Steered:
    """Says of each schedule what was done, also if the next one fails; JSON is one list in the end."""

    def __init__(self, done: str, already: str, *, json_output: bool, **facts: bool) -> None:
        self._words = {True: done, False: already}
        self._json_output = json_output
        self._facts = facts
        self._told: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def say(self, name: str, *, changed: bool) -> None:
        self._told.append({"name": name, **self._facts, "changed": changed})
        if not self._json_output:
            typer.echo(printable(f"{name} {self._words[changed]}"))

    def __exit__(self, *_: object) -> None:
        if self._json_output:
            typer.echo(as_json(self._told))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return ""
