"""What `jobsd cron` says of a run: of one that goes on, of one that failed, and of a due time that was passed over."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobsd import SkipRetry
from jobsd.admin.past_runs import past_due
from jobsd.admin.schedule_views import ScheduleView, view_of
from jobsd.cli.cron_runs import came_of_last, came_of_previous, note_of, outcome_of
from jobsd.cli.cron_tables import history_table, schedules_table
from jobsd.clock import ms_from_datetime, now_ms
from jobsd.schedule.state import Change, Entry, Passed, Past, State
from tests.admin.bureau import a_schedule
from tests.cli.cron_answers import said
from tests.waiting import until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = ms_from_datetime(NOW)
HOUR = 3_600_000
JOB = "cron:nightly:2026-11-23T11:00:00Z"
LOST: dict[str, Any] = {"outcome": "lost", "attempts": 1, "message": "lost: worker vm-1 fell silent"}


def a_line(due: int = AT - HOUR, **facts: Any) -> Past:
    known = {"state": "fired", "reason": "", "due_times": 1, "job_id": JOB, "manual": False, "decided_at": due}
    return Past(**{"name": "nightly", "due": due} | known | facts)


def a_view(*, live: bool = False, **state: Any) -> ScheduleView:
    past = {"cursor": AT - 1, "anchor": AT - 30 * 24 * HOUR, "last_job": f"{JOB} abcdefghijkl", "last_due": AT - HOUR}
    return view_of(Entry(a_schedule(at="@hourly"), State(**past | state), 1), AT, live=live, served={"default"})


def words_of(*lines: Past, **view: Any) -> tuple[str, str]:
    shown, past = a_view(**view), [past_due(line, "UTC") for line in lines]
    return came_of_previous(shown, past), came_of_last(shown, past)


@pytest.mark.parametrize(
    ("facts", "outcome", "note"),
    [
        (LOST | {"live": True}, "not ended", "attempt 1 lost: worker vm-1 fell silent"),
        (LOST, "lost", "worker vm-1 fell silent"),
        (LOST | {"attempts": 3}, "lost", "attempt 3; worker vm-1 fell silent"),
        ({"live": True}, "not ended", ""),
        ({"live": True, "outcome": "failed", "attempts": 2}, "not ended", "attempt 2 failed"),
        ({"outcome": "succeeded", "attempts": 1, "message": "100 visits"}, "succeeded", "100 visits"),
        ({"state": "passed", "reason": "overlap", "job_id": ""}, "", "the run before had not ended"),
    ],
    ids=str,
)
def test_a_run_that_goes_on_has_no_outcome_yet(facts, outcome, note):
    line = past_due(a_line(**facts), "UTC")
    assert (outcome_of(line), note_of(line)) == (outcome, note)


def test_in_the_table_a_run_that_goes_on_is_not_that_of_its_last_attempt(monkeypatch):
    for columns in ("80", "170"):
        monkeypatch.setenv("COLUMNS", columns)
        [row] = history_table([past_due(a_line(**LOST, live=True), "UTC")], of_one=True).rows
        assert (row["outcome"], row["note"]) == ("not ended", "attempt 1 lost: worker vm-1 fell silent")


@pytest.mark.parametrize(
    ("facts", "previous"),
    [
        ({"reason": "holiday"}, ", passed over: a holiday"),
        ({"reason": "missed"}, ", passed over: no daemon was there to fire it"),
        ({"reason": "holiday", "due": AT - 9 * HOUR, "last": AT - HOUR, "due_times": 9}, ", passed over: a holiday"),
        ({"reason": "holiday", "due": AT - 9 * HOUR, "last": AT - 2 * HOUR, "due_times": 8}, ""),
        ({"state": "waiting"}, ", waits"),
    ],
    ids=str,
)
def test_what_came_of_the_previous_due_time_is_said_behind_it(facts, previous):
    by_hand = a_line(job_id=f"{JOB}:abcdef", manual=True)
    assert words_of(by_hand, a_line(**{"state": "passed", "job_id": ""} | facts)) == (previous, "")


def test_why_it_failed_is_said_once_and_in_one_line():
    failed = a_line(outcome="failed", attempts=1, message="the disk\nis full")
    assert words_of(failed) == (", failed", ": the disk …")
    assert words_of(failed, last_job="cron:nightly:other abcdefghijkl") == (", failed: the disk …", "")
    assert words_of(a_line(**LOST, live=True), live=True) == (
        ", not ended",
        ", attempt 1 lost: worker vm-1 fell silent",
    )
    assert words_of(a_line(outcome="succeeded", message="100 visits")) == (", succeeded", "")
    assert words_of(a_line()) == ("", "")
    assert words_of() == ("", "")


async def test_next_says_what_came_of_the_due_time_before_and_why_the_last_run_failed(run, bureau):
    async def tidy(ctx) -> None:
        raise SkipRetry("the disk is full")

    bureau.work(tidy)
    await bureau.declare(a_schedule())
    entry = await bureau.entry()
    first = ms_from_datetime(datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC))
    known = entry.state._replace(anchor=first - 1)
    await bureau.store.apply([Change("nightly", entry.version, known, passed=[Passed(first, first, 1, "holiday")])])
    assert (await bureau.schedules.trigger("nightly")).state == "failed"

    async def recorded() -> bool:
        last = (await bureau.schedules.get("nightly")).last
        return last.outcome == "failed" and not last.live

    await until(recorded)
    _, previous, _, last, *_ = (await said(run, "next", "nightly", "-n", "1")).splitlines()
    assert re.fullmatch(r"previous 20\d\d-01-01 00:00\+00:00 \w+( \w+)? ago, passed over: a holiday", previous)
    assert re.fullmatch(r"last run cron:nightly:\S+ failed (just now|\ds ago): the disk is full", last)


async def test_where_no_daemon_is_alive_ls_says_so_of_what_was_declared_and_of_what_fires(run, bureau):
    await bureau.declare(a_schedule("one"))
    await bureau.nobody_declares()
    assert "undeclared: no daemon is alive" in await said(run, "ls")
    await bureau.declare(a_schedule("one"))
    await bureau.schedules.trigger("one", wait=None)
    assert "active: no daemon is alive" in await said(run, "ls")


def test_what_was_taken_out_of_the_code_is_told_from_what_no_daemon_is_there_for():
    entry = Entry(a_schedule(source="code"), State(cursor=now_ms(), anchor=0), 1, declared=False)
    gone, unknown = (view_of(entry, now_ms(), live=False, served=served) for served in ({"default"}, set()))
    states = [row["state"] for row in schedules_table([gone, replace(unknown, name="other")]).rows]
    assert states == ["undeclared", "undeclared: no daemon is alive"]


@pytest.mark.parametrize(
    ("served", "state"),
    [
        ({"other"}, "active: its last job is in a queue that no daemon serves"),
        (set(), "active: no daemon is alive"),
    ],
)
def test_in_a_narrow_terminal_no_queue_is_named_where_no_daemon_is_alive(served, state, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    entry = Entry(a_schedule(), State(cursor=AT, anchor=0, last_job=JOB, last_queue="default"), 1)
    [row] = schedules_table([view_of(entry, AT, live=True, served=served)]).rows
    assert row["state"] == state


def test_a_line_of_a_run_says_how_late_it_was_and_where_its_due_times_end():
    line = past_due(a_line(last=AT, due_times=2, started_at=AT), "UTC")
    assert (line.last_due_at, line.lateness) == (NOW, timedelta(hours=1))
    assert past_due(a_line(), "UTC").last_due_at == NOW - timedelta(hours=1)
