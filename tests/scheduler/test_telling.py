"""What a daemon says of its schedules at its start, once they are planned."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from jobsd.schedule.definition import Schedule
from jobsd.schedule.state import Change, Entry, State
from jobsd.scheduler import telling
from jobsd.scheduler.plans import Plans
from jobsd.scheduler.telling import tell_of
from tests.engine.hall import said
from tests.scheduler.conftest import Ground, a_schedule
from tests.waiting import until

NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000


def a_plan(plans: Plans, name: str, state: dict[str, Any] | None = None, **options: Any) -> str:
    schedule = Schedule(**{"name": name, "task": "tidy", "at": "0 * * * *", **options})
    plans.plan(Entry(schedule, State(**{"cursor": NOON, "anchor": NOON, **(state or {})}), 1), schedule)
    return name


async def told(declared: list[str], plans: Plans, caplog: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the facts of what is said of all, and of those that are over."""
    with caplog.at_level(logging.INFO, "jobsd"):
        await tell_of(declared, plans, NOON)
    facts = ("schedules", "next", "next_at", "more")
    return tuple(
        [{fact: getattr(line, fact) for fact in facts if hasattr(line, fact)} for line in said(caplog, event)]
        for event in ("schedules.declared", "schedules.ended")
    )  # pyright: ignore[reportReturnType]


async def test_how_many_there_are_and_which_is_next_in_its_zone(caplog):
    plans = Plans()
    names = [
        a_plan(plans, "hourly", zone="Asia/Jakarta"),
        a_plan(plans, "sooner", {"paused_at": NOON}, at="@every 1m"),
        a_plan(plans, "off", enabled=False),
        a_plan(plans, "was-missed", {"cursor": NOON - HOUR}, at="30 11 * * *"),
        "superseded",
    ]
    a_plan(plans, "of-run-time", at="@every 1s")
    assert await told(names, plans, caplog) == (
        [{"schedules": 5, "next": "hourly", "next_at": "2026-11-23T20:00:00+07:00"}],
        [],
    )


async def test_where_nothing_is_declared_nothing_is_said(caplog):
    plans = Plans()
    a_plan(plans, "of-run-time")
    assert await told([], plans, caplog) == ([], [])


async def test_what_will_not_be_due_any_more_is_named_in_a_warning(caplog, monkeypatch):
    plans = Plans()
    names = [
        a_plan(plans, "once", at="@once 2020-12-24T18:00:00Z"),
        a_plan(plans, "over", end_ms=NOON - HOUR),
        a_plan(plans, "too-short", start_ms=NOON + 1, end_ms=NOON + HOUR),
        a_plan(plans, "paused", {"paused_at": NOON}, end_ms=NOON),
        a_plan(plans, "off", enabled=False),
        a_plan(plans, "has-had-its-runs", {"runs": 2}, max_runs=2),
        a_plan(plans, "waits", {"waiting": (NOON,)}, end_ms=NOON),
    ]
    assert await told(names, plans, caplog) == ([{"schedules": 7}], [{"schedules": ["once", "over", "too-short"]}])
    assert said(caplog, "schedules.ended")[0].levelno == logging.WARNING
    caplog.clear()
    monkeypatch.setattr(telling, "_MOST_NAMED", 2)
    assert (await told(names, plans, caplog))[1] == [{"schedules": ["once", "over"], "more": 1}]


async def test_a_daemon_says_it_once_when_it_has_seen_how_they_stand(ground: Ground, caplog):
    with caplog.at_level(logging.INFO, "jobsd"):
        async with ground.scheduler(a_schedule("@every 1h"), a_schedule("@every 2h", "other")) as scheduler:

            async def are_planned() -> bool:
                return bool(said(caplog, "schedules.declared"))

            await until(are_planned)
            entry = await ground.entry()
            paused = Change("nightly", entry.version, entry.state._replace(paused_at=1), tell=True)
            assert await ground.store.apply([paused])
            scheduler.heard()

            async def is_heard() -> bool:
                return scheduler.plans["nightly"].state.paused_at is not None

            await until(is_heard)
    [line] = said(caplog, "schedules.declared")
    at = datetime.fromtimestamp((entry.state.anchor // 1000) + 3600, UTC).isoformat()
    assert (line.schedules, line.next, line.next_at) == (2, "nightly", at)
