"""How a schedule stands, in one word and a sentence: pure, so each case is an entry and an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobsd.admin.schedule_views import upcoming_of, view_of
from jobsd.admin.schedules import check
from jobsd.expressions import ExpressionError
from jobsd.schedule.definition import Schedule
from jobsd.schedule.state import Ended, Entry, State

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW = int(NOON.timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR
PASSED = "meanwhile are passed over"
JOB = "cron:hourly:2026-11-23T11:00:00Z abcdefghijkl"


def an_entry(state: dict[str, Any] | None = None, *, declared: bool = True, **options: Any) -> Entry:
    schedule = Schedule(**{"name": "hourly", "task": "tidy", "at": "30 * * * *", "zone": "Asia/Jakarta", **options})
    return Entry(schedule, State(**{"cursor": NOW - 1, "anchor": NOW - DAY, **(state or {})}), 1, declared=declared)


def seen(entry: Entry, *, live: bool = False, parked: str = "", served: set[str] | None = None) -> tuple[str, str]:
    view = view_of(entry, NOW, live=live, parked=parked, served=served)
    return view.state, view.why


def previous(state: dict[str, Any] | None = None, **options: Any) -> datetime | None:
    return view_of(an_entry(state, **options), NOW, live=False).previous_at


def test_what_only_waits_for_its_next_due_time_has_nothing_to_say():
    view = view_of(an_entry(source="config"), NOW, live=False)
    assert (view.state, view.why, view.last) == ("active", "", None)
    assert view.words == "at minute 30 of every hour, Asia/Jakarta"
    assert (view.previous_at, view.next_at) == (NOON.replace(hour=11, minute=30), NOON.replace(minute=30))


@pytest.mark.parametrize(
    ("state", "options", "told"),
    [
        ({"paused_at": NOW, "paused_by": "ana"}, {}, "paused: it is paused by ana since 2026-11-23 19:00:00+07:00"),
        ({"paused_at": NOW}, {"enabled": False}, "paused: it is paused since 2026-11-23 19:00:00+07:00"),
        ({}, {"enabled": False, "source": "config"}, "disabled: it is disabled in the settings"),
        ({}, {"enabled": False, "source": "runtime"}, "disabled: it is disabled in its definition"),
        ({"runs": 1}, {"max_runs": 1}, "ended: it has had its 1 run"),
        ({"runs": 1200}, {"max_runs": 1200}, "ended: it has had its 1,200 runs"),
        ({}, {"end_ms": NOW}, "ended: its end was at 2026-11-23 19:00:00+07:00"),
        (
            {},
            {"end_ms": NOW + HOUR // 2},
            "ended: nothing is due any more before its end at 2026-11-23 19:30:00+07:00",
        ),
        ({}, {"at": "@once 2026-11-23T11:00:00Z"}, "ended: nothing is due any more"),
        (
            {"cursor": NOW - HOUR},
            {},
            "active: it is due since 2026-11-23 18:30:00+07:00, and no daemon has taken that up",
        ),
        ({}, {"start_ms": NOW + HOUR}, "active: it begins at 2026-11-23 20:00:00+07:00"),
        (
            {"waiting": (NOW - HOUR,)},
            {},
            "active: the due time 2026-11-23 18:00:00+07:00 waits for a daemon to take it up",
        ),
        (
            {"cursor": NOW + HOUR},
            {},
            (
                "active: due times are decided up to 2026-11-23 20:00:00+07:00 already: the server's clock was set "
                "back, and nothing fires before then"
            ),
        ),
        ({"cursor": NOW + 59_000}, {}, "active: "),
    ],
    ids=str,
)
def test_what_stands_in_its_way_is_said_in_a_sentence(state, options, told):
    assert ": ".join(seen(an_entry(state, **options))) == told


def test_what_no_daemon_declares_says_so():
    told = "undeclared", "no daemon is alive that declares it so in code"
    entry = an_entry(declared=False, source="code")
    assert seen(entry) == told
    assert view_of(entry, NOW, live=False).next_at is None  # at that time nothing would happen


def test_a_run_that_has_not_ended_holds_up_the_next_by_its_policy():
    job = {"last_job": JOB, "last_queue": "default", "last_due": NOW - HOUR}
    id_ = JOB.partition(" ")[0]
    assert seen(an_entry(job), live=True)[1] == f"job {id_} has not ended; due times meanwhile are passed over"
    queued = an_entry(job, overlap="queue")
    assert seen(queued, live=True)[1] == f"job {id_} has not ended; due times meanwhile wait for it"
    assert seen(an_entry(job, overlap="allow"), live=True)[1] == ""
    assert seen(an_entry(job), live=False)[1] == ""
    waiting = an_entry(job | {"waiting": (1, 2)}, overlap="queue")
    assert seen(waiting, live=True)[1] == f"2 due times wait for job {id_} to end"


def test_of_a_parked_job_it_is_said_for_what_it_waits():
    job = {"last_job": JOB, "last_queue": "default", "last_due": NOW - HOUR}
    id_, parked = JOB.partition(" ")[0], "task:stock:repotr"
    unknown = f"job {id_} is parked: no daemon knows task 'stock:repotr'"
    assert seen(an_entry(job), live=True, parked=parked)[1] == f"{unknown}; due times meanwhile are passed over"
    queued = an_entry(job, overlap="queue")
    assert seen(queued, live=True, parked=parked)[1] == f"{unknown}; due times meanwhile wait for it"
    assert seen(an_entry(job, overlap="allow"), live=True, parked=parked)[1] == unknown
    assert seen(an_entry(job, overlap="allow"), live=True, parked="executor:process")[1] == (
        f"job {id_} is parked: no child process is free"
    )
    waiting = an_entry(job | {"waiting": (1, 2)}, overlap="queue")
    assert seen(waiting, live=True, parked=parked)[1] == (
        f"2 due times wait for job {id_} to end, which is parked: no daemon knows task 'stock:repotr'"
    )
    assert seen(an_entry(job), live=False, parked=parked)[1] == ""  # it has ended meanwhile


def test_of_a_job_in_a_queue_that_no_daemon_serves_that_is_said():
    job = {"last_job": JOB, "last_queue": "other", "last_due": NOW - HOUR}
    waits = f"job {JOB.partition(' ')[0]} waits in queue 'other', which no daemon serves"
    assert seen(an_entry(job), live=True, served={"default"})[1] == f"{waits}; due times meanwhile are passed over"
    assert seen(an_entry(job, overlap="allow"), live=True, served={"default"})[1] == waits
    assert seen(an_entry(job), live=True, served={"default", "other"})[1].endswith("has not ended; due times " + PASSED)
    assert seen(an_entry(job), live=True, served=None)[1].endswith("has not ended; due times " + PASSED)
    waiting = an_entry(job | {"waiting": (1, 2)}, overlap="queue")
    assert seen(waiting, live=True, served={"default"})[1] == (
        f"2 due times wait for {waits.replace(' waits', ' to end, which waits', 1)}"
    )
    view = view_of(an_entry(job), NOW, live=True, served={"default"})
    assert view.last is not None
    assert view.last.stranded
    ended = view_of(an_entry(job), NOW, live=False, served={"default"})
    assert ended.last is not None
    assert (ended.last.stranded, ended.why) == (False, "")


def test_where_no_daemon_is_alive_that_is_said_of_all_that_might_run():
    job = {"last_job": JOB, "last_queue": "default", "last_due": NOW - HOUR}
    for entry in (an_entry(), an_entry(job), an_entry(job | {"waiting": (1, 2)}), an_entry({"cursor": NOW - HOUR})):
        assert seen(entry, live=True, served=set()) == ("active", "no daemon is alive")
    assert seen(an_entry(declared=False, source="code"), served=set()) == ("undeclared", "no daemon is alive")
    assert seen(an_entry(enabled=False, source="code"), served=set()) == ("disabled", "it is disabled in code")


def test_a_queue_that_no_daemon_serves_is_said_before_anything_is_due():
    told = "active", "no daemon serves queue 'other', in which its jobs would wait"
    assert seen(an_entry(queue="other"), served={"default"}) == told
    assert seen(an_entry(queue="other"), served={"default", "other"}) == ("active", "")


def test_before_a_schedule_was_known_it_was_not_due():
    half_past_eleven = NOON.replace(hour=11, minute=30)
    assert previous() == half_past_eleven
    assert previous({"anchor": NOW - HOUR // 2}) == half_past_eleven
    assert previous({"anchor": NOW - HOUR // 2 + 1}) is None
    assert previous(start_ms=NOW - HOUR // 2 + 1) is None
    assert previous(end_ms=NOW - HOUR) == NOON.replace(hour=10, minute=30)
    assert previous(at="@once 2026-11-01T00:00:00Z") is None


def test_what_has_had_its_runs_was_due_last_with_the_last_of_them():
    had = {"runs": 1, "last_due": NOW - 2 * HOUR + HOUR // 2, "cursor": NOW - HOUR}
    half_past_ten = NOON.replace(hour=10, minute=30)
    of_due_time = had | {"last_job": "cron:hourly:2026-11-23T10:30:00Z abcdefghijkl"}
    assert previous(of_due_time, max_runs=1) == half_past_ten
    assert previous(of_due_time, max_runs=2) == NOON.replace(hour=11, minute=30)
    by_hand = had | {"last_due": NOW - 60_000, "last_job": "cron:hourly:2026-11-23T11:59:00Z:a1b2c3 abcdefghijkl"}
    assert previous(by_hand, max_runs=1) == half_past_ten


def test_how_it_is_set_is_shown_with_its_units():
    view = view_of(
        an_entry(
            seconds=True, at="0 30 * * * *", timeout_ms=1500, retries=3, retry_delay_ms=600_000, jitter_ms=30_000,
            missed_window_ms=HOUR, missed_limit=7, start_ms=NOW - HOUR, end_ms=NOW + DAY, max_runs=9,
        ),
        NOW,
        live=False,
    )  # fmt: skip
    assert (view.timeout, view.retries, view.retry_delay) == (timedelta(seconds=1.5), 3, timedelta(minutes=10))
    assert (view.jitter, view.missed_window, view.missed_limit) == (timedelta(seconds=30), timedelta(hours=1), 7)
    assert (view.start_at, view.end_at) == (NOON - timedelta(hours=1), NOON + timedelta(days=1))
    assert (view.max_runs, view.seconds) == (9, True)
    unset = view_of(an_entry(), NOW, live=False)
    assert (unset.timeout, unset.retries, unset.retry_delay, unset.start_at, unset.end_at) == (None,) * 5
    assert (unset.jitter, unset.missed_window) == (timedelta(0), timedelta(days=1))


def test_how_the_last_run_has_ended_is_told_with_its_instant():
    entry = an_entry({"last_job": JOB, "last_queue": "default", "last_due": NOW - HOUR})
    last = view_of(entry, NOW, live=False, ended=Ended("succeeded", NOW)).last
    assert last is not None
    assert (last.outcome, last.ended_at, last.parked) == ("succeeded", NOON, "")


def test_an_entry_that_this_version_cannot_read_is_shown_all_the_same():
    view = view_of(an_entry(at="0 99 * * *"), NOW, live=False)
    assert (view.state, view.words, view.next_at) == ("unreadable", "", None)
    assert view.why.startswith("schedule '0 99 * * *', characters 3 to 4: hour '99'")


def test_the_next_due_times_end_with_the_schedule_whether_it_is_paused_or_not():
    def times(state: dict[str, Any], **options: Any) -> list[int]:
        entry = an_entry(state, at="0 * * * *", **options)
        return [(at - NOW) // HOUR for at in upcoming_of(entry.schedule, entry.state, NOW, 3)]

    assert times({}) == [1, 2, 3]
    assert times({"paused_at": NOW}, enabled=False) == [1, 2, 3]
    assert times({"runs": 2}, max_runs=4) == [1, 2]
    assert times({}, start_ms=NOW + 5 * HOUR, end_ms=NOW + 7 * HOUR) == [5, 6]
    assert times({"cursor": NOW + HOUR}) == [2, 3, 4]


def test_an_expression_is_read_without_a_server():
    found = check("0 23 L * *", zone="Asia/Jakarta", count=2)
    assert found.words == "at 23:00 on the last day of the month, Asia/Jakarta"
    assert [at.hour for at in found.next_at] == [16, 16]
    assert check("@once 2001-01-01T00:00:00Z").next_at == ()
    with pytest.raises(ExpressionError, match="hour '24' is over 23"):
        check("0 24 * * *")
