"""What one round of a daemon does, each told to begin: no clock is waited for."""

from __future__ import annotations

import pytest

from jobsd.errors import UnreachableError
from jobsd.schedule.state import Change, State
from jobsd.scheduler import roster
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.scheduler import Scheduler
from jobsd.store.schedules import RedisSchedules
from jobsd.store.spare_schedules import SpareSchedules
from tests.scheduler.conftest import HOUR_MS, a_schedule

on_redis = pytest.mark.parametrize("ground", ["redis"], indirect=True)
on_postgres = pytest.mark.parametrize("ground", ["postgres"], indirect=True)


class Daemon(Scheduler):
    """A scheduler that nobody runs: it looks at what there is when it is told to."""

    def __init__(self, ground, *schedules):
        bridge = None if ground.pool is None else Bridge(SpareSchedules(ground.redis))
        super().__init__(ground.store, RedisSchedules(ground.redis).live, schedules, bridge=bridge)

    async def round(self):
        self._news.set()  # or it would sleep at its end
        await self.tick()

    async def beat(self):
        self._beat_at = 0.0
        await self.round()


# --- what it knows of the store ------------------------------------------------------------------------------------


@on_redis
async def test_what_redis_has_lost_goes_on_from_where_it_was_seen_last(ground):
    schedule = a_schedule("@every 1h", overlap="queue")
    await ground.store.declare([schedule], "f", at_start=True)
    await ground.set_back(HOUR_MS // 2)
    entry = await ground.entry()
    seen = entry.state._replace(runs=7, last_job="cron:nightly:before abcdefghjkmn", paused_at=1, paused_by="somebody")
    assert await ground.store.apply([Change("nightly", entry.version, seen)])
    daemon = Daemon(ground, schedule)
    await daemon.beat()
    await ground.redis.flushdb()
    await daemon.beat()
    assert (await ground.entry()).state == seen
    assert daemon.plans["nightly"].state == seen


async def test_all_entries_are_looked_at_after_300_seconds_whatever_was_told_of_them(ground, monkeypatch):
    schedule = a_schedule("@yearly")
    daemon = Daemon(ground, schedule)
    await daemon.beat()
    entry = await ground.entry()
    assert await ground.store.apply([Change("nightly", entry.version, entry.state._replace(runs=7))])  # untold
    now = roster.monotonic()
    monkeypatch.setattr(roster, "monotonic", lambda: now + 290)
    await daemon.beat()
    assert daemon.plans["nightly"].state.runs == 0
    monkeypatch.setattr(roster, "monotonic", lambda: now + 301)
    await daemon.beat()
    assert daemon.plans["nightly"].state.runs == 7


@on_postgres
async def test_what_is_gone_when_its_time_has_come_is_planned_no_more(ground):
    assert await ground.store.put(a_schedule("@yearly", source="runtime"), version=None)
    daemon = Daemon(ground)
    await daemon.beat()
    assert await ground.store.remove("nightly")
    daemon.plans.again("nightly", 0)
    await daemon.round()
    await daemon.round()  # the next beat, of its own accord
    assert "nightly" not in daemon.plans
    assert daemon.plans.soonest() is None


# --- what has to be decided although nothing is due ----------------------------------------------------------------


async def test_what_waits_for_a_run_that_has_ended_fires_though_nothing_else_is_due_for_long(ground):
    schedule = a_schedule("@yearly", overlap="queue")
    await ground.store.declare([schedule], "f", at_start=True)
    entry = await ground.entry()
    due = entry.state.cursor
    assert await ground.store.apply(
        [Change("nightly", entry.version, entry.state._replace(waiting=(due,)), waits=[due])]
    )
    await Daemon(ground, schedule).beat()
    assert await ground.fired() == [due]
    assert (await ground.entry()).state.waiting == ()


async def test_a_pause_that_has_ended_is_settled_though_nothing_is_due_for_long(ground):
    schedule = a_schedule("@yearly")
    await ground.store.declare([schedule], "f", at_start=True)
    entry = await ground.entry()
    resumed = entry.state._replace(resumed_at=entry.state.cursor, paused_from=entry.state.cursor)
    assert await ground.store.apply([Change("nightly", entry.version, resumed)])
    await Daemon(ground, schedule).beat()
    state = (await ground.entry()).state
    assert (state.resumed_at, state.paused_from) == (None, None)


# --- while Postgres is away ----------------------------------------------------------------------------------------


@on_postgres
async def test_a_due_time_waits_for_postgres_before_redis_decides_about_it(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 30_000)  # the test itself may take a second
    daemon = Daemon(ground, *(a_schedule("@every 1h", name=name) for name in ("long", "nightly")))
    await daemon.beat()
    for name, overdue_ms in {"long": 45_000, "nightly": 15_000}.items():
        entry = await ground.entry(name)
        began = entry.state.cursor - HOUR_MS - overdue_ms
        daemon.plans.plan(entry._replace(state=State(began, began)), entry.schedule)
    ground.judge.away = True
    with pytest.raises(UnreachableError):
        await daemon.round()
    assert [job.split(":")[1] for job in await ground.jobs()] == ["long"]
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 10_000)
    with pytest.raises(UnreachableError):
        await daemon.round()
    assert sorted(job.split(":")[1] for job in await ground.jobs()) == ["long", "nightly"]
