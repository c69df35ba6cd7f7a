"""jobsd cron: schedules steered by hand, expressions checked, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from jobsd import SkipRetry
from jobsd.admin.schedules import Schedules
from jobsd.cli import run as run_command
from jobsd.errors import ScheduleError, ScheduleNotFoundError, ScheduleOwnedError
from tests.admin.bureau import a_bureau, a_schedule
from tests.cli.cron_answers import refused, said, told, undocumented
from tests.waiting import until


async def test_remove_takes_away_what_is_of_run_time_or_left_over_and_nothing_else(run, bureau):
    await bureau.declare(a_schedule("one"), a_schedule("two"))
    assert (await refused(run, "remove", "one"))[1] == (
        "schedule 'one' is declared in the settings, and is changed or removed there; a pause works here"
    )
    await bureau.nobody_declares()
    assert (await refused(run, "remove", "one"))[0] is ScheduleError  # nobody is alive to say whether it still is
    bureau.work()

    async def is_heard_of() -> bool:
        return (await bureau.schedules.get("one")).why != "no daemon is alive"

    await until(is_heard_of)
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


@pytest.mark.parametrize("words", [("next", "nightly"), ("pause", "nightly"), ("trigger", "nightly")], ids=str)
async def test_where_nothing_is_known_without_postgres_that_is_said(run, bureau, words):
    assert await refused(run, *words) == (
        ScheduleNotFoundError,
        (
            "there is no schedule 'nightly'; known are none; no Postgres is configured here, "
            "in which daemons that have one keep theirs"
        ),
    )


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
    assert undocumented(answer, "trigger") == []
    assert answer.pop("job_id").startswith("cron:bad:")
    assert (failed.exit_code, answer) == (
        1,
        {"schedule": "bad", "queue": "default", "state": "failed", "result": None, "message": "the disk is full"},
    )


@pytest.mark.parametrize("words", [("--no-wait",), ("--wait", "20ms")], ids=str)
async def test_what_has_not_ended_in_time_is_accepted(run, bureau, words):
    await bureau.declare(a_schedule())
    said_ = await said(run, "trigger", "nightly", *words)
    why = "is pending after 0.02 s; no daemon serves queue 'default'"
    assert re.match(rf"nightly is accepted(: job \S+ {why})?\njob cron:nightly:", said_)


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
