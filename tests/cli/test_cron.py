"""jobsd cron: what it prints for people and for programs, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobsd import SkipRetry
from jobsd.admin.schedule_views import PastDue, ScheduleView
from jobsd.admin.schedules import Schedules
from jobsd.cli import app
from jobsd.cli import run as run_command
from jobsd.cli.cron_words import ago, at_in_zone, distance, lateness, upcoming
from jobsd.clock import now_ms
from jobsd.errors import ScheduleError, ScheduleNotFoundError, ScheduleOwnedError
from jobsd.schedule.state import Change, Passed
from tests.admin.bureau import Bureau, a_bureau, a_schedule
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from click.testing import Result

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def run(monkeypatch, tmp_path, redis_url) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSD_REDIS_URL", redis_url)
    for name in ("JOBSD_DATABASE_URL", "DATABASE_URL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def asked(*words: str, catch_exceptions: bool = False) -> Result:
        return CliRunner().invoke(app, ["cron", *words], catch_exceptions=catch_exceptions)

    return asked


@pytest.fixture
async def bureau(redis_url, redis) -> AsyncIterator[Bureau]:
    async with a_bureau(redis_url, redis, None) as made:
        yield made


async def said(run: Callable[..., Result], *words: str) -> str:
    ended = await asyncio.to_thread(run, *words)
    assert (ended.exit_code, ended.stderr) == (0, "")
    return re.sub(" +", " ", ended.stdout)


async def told(run: Callable[..., Result], *words: str) -> Any:
    return json.loads(await said(run, *words, "--json"))


async def refused(run: Callable[..., Result], *words: str) -> tuple[type, str]:
    """Return the error that the command ends with, which has printed nothing."""
    ended = await asyncio.to_thread(run, *words, catch_exceptions=True)
    assert ended.stdout == ""
    return type(ended.exception), str(ended.exception)


def _undocumented(given: dict[str, Any], command: str) -> list[str]:
    """Return the keys that the command's help does not name."""
    text = CliRunner().invoke(app, ["cron", command, "--help"]).stdout
    return [key for key in given if not re.search(rf"\b{key}\b", text)]


async def test_ls_shows_each_schedule_in_its_own_zone(run, bureau):
    await bureau.declare(
        a_schedule("closing", at="0 23 L * *", zone="Asia/Jakarta"),
        a_schedule("off", at="0 8 * * MON", enabled=False),
        a_schedule("paused", at="0 8 * * MON"),
    )
    await bureau.schedules.pause("paused", by="ana")
    await bureau.schedules.trigger("off", wait=None)
    shown = await said(run, "ls")
    closing = "closing at 23:00 on the last day of the month, Asia/Jakarta"
    assert re.search(rf"{closing} 20\d\d-\d\d-(28|29|30|31) 23:00\+07:00 \S.* active", shown)
    assert re.search(r"off at 08:00 on Monday, UTC not ended disabled", shown)
    assert re.search(r"paused at 08:00 on Monday, UTC paused (just now|\ds ago) by ana", shown)


async def test_ls_says_how_long_ago_the_last_run_has_ended(run, bureau):
    bureau.work()
    await bureau.declare(a_schedule(), a_schedule("other", task="tydi"))
    await bureau.schedules.trigger("nightly")
    await bureau.schedules.trigger("other", wait=None)

    async def parked() -> bool:
        return bool((await bureau.schedules.get("other")).last.parked)

    await until(parked)
    shown = await said(run, "ls")
    assert re.search(r"nightly at .* succeeded (just now|\ds ago) active", shown)
    assert re.search(r"other at .* parked active", shown)
    lines = (await said(run, "next", "other")).splitlines()
    assert re.fullmatch(r"last run cron:other:\S+ parked", lines[-3])
    assert re.fullmatch(r"not now job \S+ is parked: no daemon knows task 'tydi'; .*", lines[-2])
    assert lines[-1] == "task tydi in queue default"


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        ("170", ["schedule", "when", "next", "in", "last", "state"]),
        ("90", ["schedule", "next", "in", "last", "state"]),
        ("80", ["schedule", "next", "in", "state"]),
    ],
)
async def test_ls_leaves_out_what_the_terminal_has_no_room_for_and_the_due_time_last(
    run, bureau, monkeypatch, columns, heads
):
    bureau.work()
    soon = datetime.now(UTC) + timedelta(days=3)
    at = f"{soon.minute} {soon.hour} {soon.day} {soon.month} *"
    await bureau.declare(a_schedule("invoices-of-the-month", at=at), a_schedule("stock"), a_schedule(task="tydi"))
    await bureau.schedules.trigger("invoices-of-the-month")
    await bureau.schedules.pause("stock", by="ana")
    await bureau.schedules.trigger("nightly", wait="50ms")
    monkeypatch.setenv("COLUMNS", columns)
    shown = await said(run, "ls")
    assert shown.splitlines()[1].split() == heads
    assert f"{soon:%m-%d %H:%M}+00:00" in shown
    assert (f"{soon:%Y}-" in shown) == (columns == "170")
    assert "parked" in shown


async def test_history_shows_due_times_in_the_zone_of_the_schedule_and_the_job_id_always(run, bureau, monkeypatch):
    await bureau.declare(a_schedule(zone="Asia/Jakarta"))
    entry = await bureau.entry()
    at = now_ms() // 60_000 * 60_000 - 53_000  # with seconds, which are not shown where there are none
    late = Passed(at, at, 2, "overlap")
    await bureau.store.apply([Change("nightly", entry.version, entry.state, passed=[late])])
    job_id = (await bureau.schedules.trigger("nightly", wait=None)).job_id
    due, why = r"\d\d-\d\d \d\d:\d\d(:\d\d)?\+07:00", "the run before had not ended"
    for columns, passed in (
        ("170", rf" 20\d\d-{due} nightly 2 passed over {why}"),
        ("140", rf" {due} nightly 2 passed over {why}"),
        ("130", rf" {due} 2 passed over {why} nightly"),
        ("100", rf" {due} 2 passed over nightly: {why}"),
        ("85", rf" {due} 2 passed over nightly: {why}"),
        ("80", rf" 2 passed over {due} nightly: {why}"),
    ):
        monkeypatch.setenv("COLUMNS", columns)
        shown = (await said(run, "history")).splitlines()
        assert any(line.rstrip().endswith(job_id) for line in shown)
        assert any(re.fullmatch(passed, line.rstrip()) for line in shown), (columns, shown)


async def test_remove_takes_away_what_is_of_run_time_or_left_over_and_nothing_else(run, bureau, redis):
    await bureau.declare(a_schedule("one"), a_schedule("two"))
    assert (await refused(run, "remove", "one"))[1] == (
        "schedule 'one' is declared in the settings, and is changed or removed there; a pause works here"
    )
    await redis.delete("jobsd:{main}::declared")  # as if no daemon were alive that declares them
    assert (await refused(run, "remove", "one", "three"))[0] is ScheduleNotFoundError
    assert len(await bureau.schedules.list()) == 2
    assert await said(run, "remove", "one", "one") == "one is removed\n"
    assert await told(run, "remove", "two") == [{"name": "two", "removed": True, "changed": True}]
    assert await bureau.schedules.list() == []


async def test_remove_of_run_time_schedules_in_postgres(run, redis_url, redis, ledger_url, monkeypatch):
    monkeypatch.setenv("JOBSD_DATABASE_URL", ledger_url)
    async with a_bureau(redis_url, redis, ledger_url) as bureau:
        await bureau.declare(a_schedule())
        await bureau.schedules.add("hourly", task="tidy", every="1h")
        assert (await refused(run, "remove", "hourly", "nightly"))[0] is ScheduleOwnedError
        assert [view.name for view in await bureau.schedules.list()] == ["hourly", "nightly"]
        assert await said(run, "remove", "hourly") == "hourly is removed\n"
        assert [view.name for view in await bureau.schedules.list()] == ["nightly"]


@pytest.mark.parametrize("command", ["pause", "resume"])
async def test_if_one_of_several_names_is_unknown_nothing_is_done(run, bureau, command):
    await bureau.declare(a_schedule("one"), a_schedule("two"))
    await bureau.schedules.pause("two")
    assert await refused(run, command, "one", "two", "nope") == (
        ScheduleNotFoundError,
        "there is no schedule 'nope'; known are one, two",
    )
    assert [view.state for view in await bureau.schedules.list()] == ["active", "paused"]


async def test_what_was_done_before_another_failed_is_told(run, bureau, monkeypatch):
    await bureau.declare(a_schedule("one"), a_schedule("two"))
    pause = Schedules.pause

    async def fails(schedules, name, *, by):
        if name == "two":
            raise ScheduleError("the server is away")
        return await pause(schedules, name, by=by)

    monkeypatch.setattr(Schedules, "pause", fails)
    for words, said_ in (
        ((), "one is paused\n"),
        (("--json",), '[{"name": "one", "paused": true, "changed": false}]\n'),
    ):
        ended = await asyncio.to_thread(run, "pause", "one", "two", *words, catch_exceptions=True)
        assert (str(ended.exception), ended.stdout) == ("the server is away", said_)


async def test_programs_get_every_key_of_each_schedule(run, bureau):
    await bureau.declare(a_schedule(description="tidies up"))
    [view] = await told(run, "ls")
    assert list(view) == [field.name for field in fields(ScheduleView)]
    assert _undocumented(view, "ls") == []
    assert view["next_at"].endswith("-01-01T00:00:00+00:00")
    shown = await told(run, "next", "nightly", "-n", "2")
    assert shown.pop("next")[0] == view["next_at"]
    assert shown == view


async def test_next_says_when_and_why_not_now(run, bureau):
    await bureau.declare(
        a_schedule(zone="Asia/Jakarta", description="tidies up", holidays="shop.days:is_holiday", kwargs={"n": 2})
    )
    await bureau.schedules.pause("nightly", by="ana")
    await bureau.schedules.trigger("nightly", wait=None)
    lines = (await said(run, "next", "nightly", "-n", "2")).splitlines()
    assert lines[0] == "nightly: at 00:00 on 1 January, Asia/Jakarta · tidies up"
    assert re.fullmatch(r"previous 20\d\d-01-01 00:00\+07:00 \d+d ago", lines[1])
    assert re.fullmatch(r"next 20\d\d-01-01 00:00\+07:00 in \d+d", lines[2])
    assert re.fullmatch(r" 20\d\d-01-01 00:00\+07:00 in \d+d", lines[3])
    assert re.fullmatch(r"last run cron:nightly:\S+ not ended", lines[4])
    assert re.fullmatch(r"not now it is paused by ana since \S+ \S+\+07:00", lines[5])
    assert lines[6] == "except when shop.days:is_holiday says that it is a holiday"
    assert lines[7:] == ['task tidy {"n": 2} in queue default']


async def test_trigger_prints_the_outcome_and_ends_with_1_only_if_it_failed(run, bureau):
    async def tidy(ctx, n: int) -> Any:
        if n:
            return {"success": True, "message": f"tidied {n}"}
        raise SkipRetry("the disk is full")

    bureau.work(tidy)
    await bureau.declare(a_schedule("good", kwargs={"n": 2}), a_schedule("bad", kwargs={"n": 0}))
    lines = (await said(run, "trigger", "good")).splitlines()
    assert lines[0] == "good has succeeded: tidied 2"
    assert re.fullmatch(r"job cron:good:\S+", lines[1])
    assert lines[2] == 'result {"success": true, "message": "tidied 2"}'
    failed = await asyncio.to_thread(run, "trigger", "bad")
    assert failed.exit_code == 1
    assert failed.stdout.startswith("bad has failed: the disk is full\njob ")
    failed = await asyncio.to_thread(run, "trigger", "bad", "--json")
    answer = json.loads(failed.stdout)
    assert _undocumented(answer, "trigger") == []
    assert answer.pop("job_id").startswith("cron:bad:")
    assert (failed.exit_code, answer) == (
        1,
        {"schedule": "bad", "queue": "default", "state": "failed", "result": None, "message": "the disk is full"},
    )


@pytest.mark.parametrize("words", [("--no-wait",), ("--wait", "20ms")], ids=str)
async def test_what_has_not_ended_in_time_is_accepted(run, bureau, words):
    await bureau.declare(a_schedule())
    said_ = await said(run, "trigger", "nightly", *words)
    assert re.match(r"nightly is accepted(: job \S+ is pending after 0.02 s)?\njob cron:nightly:", said_)


async def test_pause_and_resume_take_several_names(run, bureau, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ben")
    await bureau.declare(a_schedule("one"), a_schedule("two"))
    assert await said(run, "pause", "one", "--by", "ana") == "one is paused\n"
    assert await said(run, "pause", "one", "two") == "one was paused already\ntwo is paused\n"
    assert [view.paused_by for view in await bureau.schedules.list()] == ["ana", "ben"]
    assert await told(run, "resume", "two", "one") == [
        {"name": "two", "paused": False, "changed": True},
        {"name": "one", "paused": False, "changed": True},
    ]
    assert await said(run, "resume", "one") == "one was not paused\n"


async def test_history_says_how_late_and_why_not(run, bureau):
    bureau.work()
    await bureau.declare(a_schedule(), a_schedule("other"))
    entry = await bureau.entry()
    at = now_ms() - 3_600_000
    await bureau.store.apply(
        [
            Change(
                "nightly",
                entry.version,
                entry.state,
                passed=[Passed(at, at, 1, "overlap"), Passed(at, at, 7, "no\x1b[2J")],
            )
        ]
    )
    await bureau.schedules.trigger("other")
    shown = await said(run, "history")
    assert re.search(r"\d\d:\d\d(:\d\d)?\+00:00 other by hand \d+ ms succeeded", shown)
    assert re.search(r"nightly passed over the run before had not ended", shown)
    assert re.search(r"nightly 7 passed over no\\x1b\[2J", shown)
    first, *_ = await told(run, "history", "-n", "1")
    assert _undocumented(first, "history") == []
    assert set(first) == {field.name for field in fields(PastDue)} - {"lateness"} | {"lateness_s"}
    assert 0 <= first["lateness_s"] < 10
    assert "other" not in await said(run, "history", "nightly")


async def test_where_nothing_is_scheduled_that_is_said(run, bureau):
    nothing = (
        "nothing is scheduled in Redis; no Postgres is configured here, in which daemons that have one keep theirs\n"
    )
    for words, told_ in ((("ls",), nothing), (("history",), "nothing was due yet\n")):
        ended = await asyncio.to_thread(run, *words)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", told_)


@pytest.mark.parametrize(
    ("words", "told_"),
    [
        (("next", "nighly"), "jobsd: there is no schedule 'nighly'; did you mean 'nightly'?\n"),
        (
            ("trigger", "nightly", "--wait", "soon"),
            """jobsd: option '--wait' is 'soon'; allowed is a duration such as "500ms", "30s", "5m", "1h30m", "2d"\n""",
        ),
    ],
    ids=str,
)
async def test_an_error_is_one_line_and_an_exit_code(run, bureau, monkeypatch, capsys, words, told_):
    await bureau.declare(a_schedule())
    monkeypatch.setattr("sys.argv", ["jobsd", "cron", *words])
    with pytest.raises(SystemExit) as ended:
        await asyncio.to_thread(run_command)
    assert ended.value.code == (1 if "next" in words else 2)
    assert capsys.readouterr().err.startswith(told_)


async def test_check_says_an_expression_in_words_and_needs_no_server(run, monkeypatch):
    monkeypatch.delenv("JOBSD_REDIS_URL")
    monkeypatch.setenv("JOBSD_TIMEZONE", "Asia/Jakarta")
    lines = (await said(run, "check", "0 23 L * *", "-n", "2")).splitlines()
    assert lines[0] == "at 23:00 on the last day of the month, Asia/Jakarta"
    assert len(lines) == 3
    assert re.fullmatch(r"20\d\d-\d\d-\d\d 23:00\+07:00 in .+", lines[1])
    unquoted = await told(run, "check", "@daily", "2:00", "--zone", "UTC", "-n", "1")
    assert sorted(unquoted) == ["expression", "next", "words", "zone"]
    assert unquoted["words"] == "at 02:00 every day, UTC"
    assert "every 5 seconds" in await said(run, "check", "--seconds", "*/5 * * * * *")
    assert (await told(run, "check", "@once 2001-01-01T00:00:00Z"))["next"] == []
    over = (await said(run, "check", "@once 2001-01-01T00:00:00Z")).splitlines()
    assert (len(over), over[-1]) == (2, "nothing is due any more")


@pytest.mark.parametrize(
    ("expression", "mark"),
    [
        ("0 24 * * *", "  0 24 * * *\n    ^^\n"),
        ("0 0 31 2 *", "  0 0 31 2 *\n      ^^\n"),
        ("@reboot", "  @reboot\n  ^^^^^^^\n"),
    ],
)
def test_check_marks_what_is_wrong(run, expression, mark):
    ended = run("check", expression)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"jobsd: schedule {expression!r}")
    assert ended.stderr.endswith("\n\n" + mark)


@pytest.mark.parametrize("expression", ["", "0 2 \x1b[2J * *", "x" * 300], ids=["empty", "control", "long"])
def test_check_survives_what_is_no_expression_at_all(run, expression):
    ended = run("check", expression)
    assert ended.exit_code == 2
    assert ended.stderr.startswith("jobsd: schedule ")
    assert "\x1b" not in ended.stderr


def test_check_refuses_an_unknown_zone_with_the_one_that_was_meant(run):
    ended = run("check", "@daily", "--zone", "Asia/Jakrta")
    assert ended.exit_code == 2
    assert 'did you mean "Asia/Jakarta"' in re.sub(r"\s+", " ", ended.stderr)


def test_times_are_said_as_people_say_them():
    assert at_in_zone(NOW + timedelta(seconds=5), "Asia/Jakarta") == "2026-11-23 19:00:05+07:00"
    assert [upcoming(NOW + timedelta(seconds=s), NOW) for s in (0, 59, 3660)] == ["now", "in 59s", "in 1h 1m"]
    assert [ago(NOW - timedelta(seconds=s), NOW) for s in (0, 90_000)] == ["just now", "1d 1h ago"]
    assert [distance(timedelta(**{unit: 1})) for unit in ("days", "hours", "minutes")] == ["1d", "1h", "1m"]
    assert distance(timedelta(days=1234)) == "1,234d"
    assert [lateness(timedelta(seconds=s)) for s in (0.0214, 9.9, 10)] == ["21 ms", "9,900 ms", "10s"]
