"""jobsd cron: what ls, next and history print, for people and for programs."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from jobsd.admin.schedule_views import LastRun, PastDue, ScheduleView
from jobsd.cli import app
from jobsd.cli.cron_words import ago, at_in_zone, distance, lateness, upcoming
from jobsd.clock import now_ms
from jobsd.schedule.state import Change, Passed
from tests.admin.bureau import a_schedule
from tests.cli.cron_answers import said, told, undocumented
from tests.waiting import until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


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
    assert re.search(
        rf"{closing} 20\d\d-\d\d-(28|29|30|31) 23:00\+07:00 \S.* active: no daemon is alive\n",
        shown.replace(" \n", "\n"),
    )
    assert re.search(r"off at 08:00 on Monday, UTC not served disabled", shown)
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
    last, why, task, *_ = (await said(run, "next", "other", "-n", "1")).splitlines()[2:]
    assert re.fullmatch(r"last run cron:other:\S+ parked", last)
    assert re.fullmatch(r"not now job \S+ is parked: no daemon knows task 'tydi'; .*", why)
    assert task == "task tydi in queue default"


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


async def test_history_shows_due_times_in_the_zone_of_the_schedule_and_the_job_id_where_it_has_room(
    run, bureau, monkeypatch
):
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
        ("90", rf" {due} nightly 2 passed over {why}"),
        ("80", rf" {due} nightly 2 passed over {why}"),
    ):
        monkeypatch.setenv("COLUMNS", columns)
        shown = (await said(run, "history")).splitlines()
        assert any(line.rstrip().endswith(job_id) for line in shown) == (int(columns) > 100)
        assert any(re.fullmatch(passed, line.rstrip()) for line in shown), (columns, shown)


async def test_where_one_due_time_has_seconds_all_of_the_table_have(run, bureau):
    await bureau.declare(a_schedule(), a_schedule("often", at="@every 7s"), a_schedule("noon", at="0 12 1 1 *"))
    shown = await said(run, "ls")
    assert re.search(r"nightly .* 20\d\d-01-01 00:00:00\+00:00 ", shown)
    assert re.search(r"noon .* 20\d\d-01-01 12:00:00\+00:00 ", shown)
    times = re.findall(r" (20\S+ [\d:]+)\+00:00 ", await said(run, "next", "often", "-n", "9"))
    assert {len(at) for at in times} == {len("2026-11-23 12:00:00")}
    entry, at = await bureau.entry(), now_ms() // 60_000 * 60_000
    passed = [Passed(at - 60_000, at - 60_000, 1, "overlap"), Passed(at - 59_000, at - 59_000, 1, "overlap")]
    await bureau.store.apply([Change("nightly", entry.version, entry.state, passed=passed)])
    times = re.findall(r" (20\S+ [\d:]+)\+00:00 ", await said(run, "history"))
    assert [at[-2:] for at in times] == ["01", "00"]
    sharp = CliRunner().invoke(app, ["cron", "check", "*/20 * * * * *", "--seconds", "--zone", "UTC"]).stdout
    assert {line[16:19] for line in sharp.splitlines()[1:]} == {":00", ":20", ":40"}


async def test_programs_get_every_key_of_each_schedule(run, bureau):
    await bureau.declare(a_schedule(description="tidies up", timeout_ms=1500))
    await bureau.schedules.trigger("nightly", wait=None)
    [view] = await told(run, "ls")
    assert (view["timeout_s"], view["retry_delay_s"], view["missed_window_s"]) == (1.5, None, 86_400.0)
    assert list(view["last"]) == [one.name for one in fields(LastRun)]
    assert undocumented(view["last"], "ls") == []
    durations = {"missed_window", "jitter", "timeout", "retry_delay"}
    assert list(view) == [f"{one.name}_s" if one.name in durations else one.name for one in fields(ScheduleView)]
    assert undocumented(view, "ls") == []
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
    assert re.fullmatch(r"next 20\d\d-01-01 00:00\+07:00 in \d+d", lines[1])  # none before: it is known since now
    assert re.fullmatch(r" 20\d\d-01-01 00:00\+07:00 in \d+d", lines[2])
    assert re.fullmatch(r"last run cron:nightly:\S+ not served", lines[3])
    assert re.fullmatch(r"not now it is paused by ana since \S+ \S+\+07:00", lines[4])
    assert lines[5:] == [
        'task tidy {"n": 2} in queue default',
        "missed once",
        "overlap skip",
        "except when shop.days:is_holiday says that it is a holiday",
        "declared 0 0 1 1 * in the settings",
    ]


async def test_next_says_how_it_is_set_where_that_is_not_as_ever(run, bureau, monkeypatch):
    begins, ends = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000 for year in (2020, 2099))
    await bureau.declare(
        a_schedule(
            source="code",
            args=("x" * 400,),
            retries=3,
            retry_delay_ms=600_000,
            timeout_ms=90_000,
            missed="all",
            missed_limit=10,
            missed_window_ms=7_200_000,
            overlap="queue",
            jitter_ms=30_000,
            start_ms=int(begins),
            end_ms=int(ends),
            max_runs=1200,
        ),
        a_schedule("hourly", retries=0, holidays="shop.days:is_holiday"),
        a_schedule("late", retry_delay_ms=1000),
    )
    _, _, why, task, *lines = (await said(run, "next", "nightly", "-n", "1")).splitlines()
    assert task == f'task tidy ["{"x" * 298}… in queue default'
    assert why == "not now no daemon is alive"
    assert lines == [
        "retries 3, each after 10m",
        "timeout 1m30s",
        "missed all, at most 10, none older than 2h",
        "overlap queue",
        "jitter up to 30s",
        "start 2020-01-01 00:00+00:00",
        "end 2099-01-01 00:00+00:00",
        "runs 0 of 1,200",
        "declared 0 0 1 1 * in code",
    ]
    assert "\nretries 0\n" in await said(run, "next", "hourly")
    assert "\nretries each after 1s\n" in await said(run, "next", "late")
    monkeypatch.setenv("COLUMNS", "60")
    ended = await asyncio.to_thread(run, "next", "hourly", "-n", "1")
    assert "except    when shop.days:is_holiday says that it is a\n          holiday\n" in ended.stdout


async def test_ls_shows_those_that_stand_so(run, bureau):
    await bureau.declare(a_schedule("one"), a_schedule("two", enabled=False))
    assert [view["name"] for view in await told(run, "ls", "--state", "disabled")] == ["two"]
    ended = await asyncio.to_thread(run, "ls", "--state", "ended")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "no schedule stands so\n")
    for given, hint in (("pausd", "; did you mean 'paused'?"), ("x", "")):
        ended = await asyncio.to_thread(run, "ls", "--state", given)
        assert (ended.exit_code, ended.stdout) == (2, "")
        known = "active, paused, disabled, ended, undeclared, unreadable"
        assert ended.stderr.endswith(f"Invalid value for '--state': '{given}' is not one of {known}{hint}\n")


async def test_history_shows_what_was_passed_over_and_what_was_due_since(run, bureau):
    await bureau.declare(a_schedule())
    entry, at = await bureau.entry(), now_ms() - 7_200_000
    passed = [Passed(at, at, 1, "overlap"), Passed(at + 3_600_000, at + 3_600_000, 1, "missed")]
    await bureau.store.apply([Change("nightly", entry.version, entry.state, passed=passed)])
    await bureau.schedules.trigger("nightly", wait=None)

    async def states(*words: str) -> list[str]:
        return [line["reason"][:6] or line["state"] for line in await told(run, "history", *words)]

    assert await states() == ["fired", "missed", "the ru"]
    assert await states("--passed") == ["missed", "the ru"]
    assert await states("--since", "90m") == ["fired", "missed"]
    assert await states("--since", f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}+00:00") == ["fired"]
    for words, nothing in (
        (("--since", "2099-01-01"), "nothing was due since then\n"),
        (("--since", "1s", "--passed"), "nothing was passed over\n"),
    ):
        ended = await asyncio.to_thread(run, "history", *words)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", nothing)
    refused_ = await asyncio.to_thread(run, "history", "--since", "soon")
    assert refused_.exit_code == 2
    assert "'soon' is neither how long ago, such as" in refused_.stderr


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
    assert undocumented(first, "history") == []
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


def test_times_are_said_as_people_say_them():
    assert at_in_zone(NOW + timedelta(seconds=5), "Asia/Jakarta") == "2026-11-23 19:00:05+07:00"
    assert [upcoming(NOW + timedelta(seconds=s), NOW) for s in (0, 59, 3660)] == ["now", "in 59s", "in 1h 1m"]
    assert [ago(NOW - timedelta(seconds=s), NOW) for s in (0, 90_000)] == ["just now", "1d 1h ago"]
    assert [distance(timedelta(**{unit: 1})) for unit in ("days", "hours", "minutes")] == ["1d", "1h", "1m"]
    assert distance(timedelta(days=1234)) == "1,234d"
    assert [lateness(timedelta(seconds=s)) for s in (0.0214, 9.9, 10)] == ["21 ms", "9,900 ms", "10s"]
