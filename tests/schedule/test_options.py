"""What may be written of a schedule, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import SecretStr

from jobsd import cron
from jobsd.errors import ScheduleDefinitionError
from jobsd.schedule.definition import Schedule
from jobsd.schedule.options import OPTIONS, schedule_of

RIGHT = {"task": "reports:daily", "at": "0 2 * * *"}
INSTANT = "is not an instant with its zone, such as 2026-11-30T09:00:00+07:00"
DURATION = 'is not a duration such as "500ms", "30s", "5m", "1h30m", "2d"'
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def made(**written: Any) -> Schedule:
    return schedule_of("nightly", RIGHT | written, source="code")


def refused(name: object = "nightly", **written: Any) -> str:
    with pytest.raises(ScheduleDefinitionError) as caught:
        schedule_of(name, RIGHT | written, source="code")
    assert caught.value.exit_code == 2
    return str(caught.value).removeprefix(f"schedule {name!r}: ")


def test_what_is_not_written_is_as_ever():
    assert made() == Schedule(name="nightly", task="reports:daily", at="0 2 * * *")
    assert schedule_of("nightly", RIGHT, source="config", zone="Asia/Jakarta").zone == "Asia/Jakarta"
    assert made(**dict.fromkeys(set(OPTIONS) - RIGHT.keys())) == made()


def test_everything_that_may_be_written_arrives():
    def closed(at: datetime) -> bool:
        return at.day == 25

    written = {
        "zone": "Asia/Jakarta",
        "seconds": True,
        "at": "0 0 2 * * *",
        "args": {"older_than": "30d", "when": NOON},
        "queue": "low",
        "timeout": "10m",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "missed": "all",
        "missed_limit": 7,
        "missed_window": "2d",
        "overlap": "queue",
        "jitter": "30s",
        "start": NOON,
        "end": "2026-12-01T00:00:00+07:00",
        "max_runs": 10,
        "enabled": False,
        "description": "Removes files",
        "holidays": closed,
    }
    assert {*written, "task", "every"} == set(OPTIONS)
    schedule = made(**written)
    assert schedule == Schedule(
        name="nightly",
        task="reports:daily",
        at="0 0 2 * * *",
        zone="Asia/Jakarta",
        seconds=True,
        kwargs={"older_than": "30d", "when": "2026-11-30T12:00:00Z"},
        queue="low",
        timeout_ms=600_000,
        retries=3,
        retry_delay_ms=60_000,
        missed="all",
        missed_limit=7,
        missed_window_ms=172_800_000,
        overlap="queue",
        jitter_ms=30_000,
        start_ms=int(NOON.timestamp()) * 1000,
        end_ms=int(datetime(2026, 11, 30, 17, tzinfo=UTC).timestamp()) * 1000,
        max_runs=10,
        enabled=False,
        description="Removes files",
        holidays=f"{__name__}:test_everything_that_may_be_written_arrives.<locals>.closed",
    )
    assert schedule.is_holiday is closed
    assert Schedule.from_wire({"name": "nightly", **schedule.to_wire()}, "code") == schedule


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ({"every": "1h30m"}, "@every 1h30m"),
        ({"every": timedelta(minutes=90)}, "@every 1h30m"),
        ({"every": "@every 90s"}, "@every 90s"),
        ({"at": datetime(2026, 11, 30, 9, tzinfo=timezone(timedelta(hours=7)))}, "@once 2026-11-30T09:00:00+07:00"),
        ({"at": "@daily 2:00"}, "@daily 2:00"),
    ],
)
def test_when_it_is_due_can_be_written_in_several_ways(written, at):
    assert schedule_of("x", {"task": "t", **written}, source="code").at == at


def test_arguments_are_by_name_or_by_position():
    assert (made(args={"n": 1}).args, made(args={"n": 1}).kwargs) == ((), {"n": 1})
    assert (made(args=[1, "b"]).args, made(args=(1, "b")).kwargs) == ((1, "b"), {})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"timout": "5m"}, "timout: unknown option; did you mean 'timeout'?"),
        ({"colour": "blue"}, f"colour: unknown option; allowed are {', '.join(OPTIONS)}"),
        ({"at": None, "cron": "@daily"}, "cron: unknown option; did you mean 'at'?"),
        ({"task": None}, "task: it is missing: the name of the task that is run"),
        (
            {"task": "no such name"},
            "task: 'no such name' is no name of a task; one has 1 to 200 of A-Z a-z 0-9 _ . : -",
        ),
        ({"at": None}, 'at: when it is due is missing: at = "0 2 * * *", or every = "1h30m"'),
        ({"every": "1h"}, "every: at is given as well; a schedule has one of the two"),
        ({"at": None, "every": 3600}, f"every: 3600 {DURATION}"),
        ({"at": None, "every": timedelta(milliseconds=1500)}, "whole seconds"),
        ({"at": 5}, 'at: 5 is no expression, such as "0 2 * * *" or "@daily 2:00"'),
        (
            {"at": cron("@daily", zone="UTC", retries=3)},
            "at: <cron '@daily'> is no expression; write its text, '@daily', and beside it zone = 'UTC', retries = 3",
        ),
        ({"at": cron("@daily")}, "at: <cron '@daily'> is no expression; write its text, '@daily'"),
        (
            {"at": cron(every="90s", name="often")},
            "at: <cron often '@every 90s'> is no expression; write its text, '@every 90s'",
        ),
        ({"at": cron()}, "at: None is no expression, such as"),
        ({"at": NOON.replace(tzinfo=None)}, f"at: 2026-11-30T12:00:00 {INSTANT}"),
        ({"at": "0 25 * * *"}, "at: '0 25 * * *', characters 3 to 4: hour '25' is over 23; 0 to 23 are allowed"),
        ({"at": "0 0 31 2 *"}, "at: '0 0 31 2 *'"),
        ({"zone": "Asia/Jakart"}, "zone: 'Asia/Jakart' is not the name of a time zone; did you mean \"Asia/Jakarta\"?"),
        ({"zone": 7}, 'zone: 7 is not the name of a time zone, such as "UTC" or "Asia/Jakarta"'),
        ({"seconds": "yes"}, "seconds: 'yes' is not true or false"),
        ({"args": 5}, "args: 5 is neither a table of arguments by name nor a list of them"),
        ({"args": {"_x": 1}}, "args: '_x' is no name of a parameter"),
        ({"args": {"x": object}}, "args: they have no JSON form: "),
        ({"args": {"x": float("nan")}}, "args: they have no JSON form: NaN is no number of JSON"),
        ({"args": {"x": [float("-inf")]}}, "args: they have no JSON form: -Infinity is no number of JSON"),
        ({"args": {"x": "a\0"}}, "args: they hold a zero character, which Postgres takes in no text"),
        ({"args": {"key": SecretStr("s3cret")}}, "args: they hold a secret, and definitions are kept as they are"),
        ({"args": ["x" * 1_000_001]}, "args: they are 1,000,005 bytes of JSON; at most 1,000,000 are allowed"),
        ({"queue": "a b"}, "queue: 'a b' is no name for a queue; allowed are 1 to 128 of A-Z a-z 0-9 . _ -"),
        ({"timeout": "0s"}, "timeout: '0s' is out of range; allowed is more than 0 to 366d"),
        ({"timeout": 30}, f"timeout: 30 {DURATION}"),
        ({"retries": True}, "retries: True is not a whole number, 0 to 1,000"),
        ({"retry_delay": "400d"}, "retry_delay: '400d' is out of range; allowed is 0s to 366d"),
        ({"missed": "Once"}, 'missed: \'Once\' is not one of "skip", "once", "all"; did you mean "once"?'),
        ({"missed_limit": 0}, "missed_limit: 0 is not a whole number, 1 to 1,000"),
        ({"overlap": []}, 'overlap: [] is not one of "allow", "skip", "queue"'),
        ({"jitter": "2d"}, "jitter: '2d' is out of range; allowed is 0s to 1d"),
        ({"start": NOON.replace(tzinfo=None)}, f"start: 2026-11-30T12:00:00 {INSTANT}"),
        ({"start": date(2026, 1, 1)}, f"start: datetime.date(2026, 1, 1) {INSTANT}"),
        ({"end": "soon"}, f"end: 'soon' {INSTANT}"),
        ({"start": NOON, "end": NOON}, "end: 2026-11-30T12:00:00+00:00 is not after start, 2026-11-30T12:00:00+00:00"),
        ({"max_runs": 0}, "max_runs: 0 is not a whole number, 1 to 1,000,000,000"),
        ({"enabled": 1}, "enabled: 1 is not true or false"),
        ({"description": "x" * 1001}, "is not a text of at most 1,000 characters"),
        ({"description": "a\ud800"}, "none of them zero or half of a pair"),
        ({"start": datetime(9999, 12, 31, tzinfo=UTC)}, "lies outside of the years 1970 to 9997"),
        ({"end": datetime.min.replace(tzinfo=UTC)}, "lies outside of the years 1970 to 9997"),
        (
            {"holidays": "is_holiday"},
            "holidays: 'is_holiday' is not a callable by its name, \"module:function\", such as",
        ),
        ({"holidays": 5}, "holidays: 5 is not a callable"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(written, said):
    assert said in refused(**written)


async def _is_closed(at: datetime) -> bool:
    return at.day == 25


def test_an_async_callable_for_holidays_is_refused():
    assert "is async; the scheduler waits for no answer, so it must be a plain function" in refused(holidays=_is_closed)


@pytest.mark.parametrize("name", ["", "a b", "x" * 81, "näht", None, 5, "a\n"])
def test_a_name_that_is_none_is_refused(name):
    assert refused(name).startswith("name: ")
    assert refused(name).endswith("is no name for a schedule; allowed are 1 to 80 of A-Z a-z 0-9 . _ : -")


def test_what_is_called_otherwise_elsewhere_is_not_missing_besides():
    assert refused(at=None, when="@daily") == "when: unknown option; did you mean 'at'?"


def test_all_that_is_wrong_is_said_at_once():
    said = refused(zone="Mars", overlap="no", at="x")
    assert [part.partition(":")[0] for part in said.split("; ") if part.split(":")[0] in OPTIONS] == [
        "zone",
        "overlap",
        "at",
    ]
