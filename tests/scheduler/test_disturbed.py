"""What becomes of schedules where servers were away for long, daemons slept, and entries were changed or came anew."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobsd.daemon.scheduling import scheduling
from jobsd.schedule.decide import decide
from jobsd.schedule.declared import fingerprint_of
from jobsd.schedule.state import Change, Fired, Passed
from jobsd.schedule_jobs import job_of
from jobsd.scheduler import roster
from jobsd.scheduler.bridge import Bridge
from jobsd.scheduler.plans import Plans
from jobsd.scheduler.roster import Roster
from jobsd.store.spare_schedules import SpareSchedules
from tests.scheduler.conftest import HOUR_MS, a_schedule
from tests.waiting import until

on_postgres = pytest.mark.parametrize("ground", ["postgres"], indirect=True)
EACH_SECOND = "* * * * * *"


class Daemon:
    """What a daemon knows of its schedules, with a beat only when it is told to."""

    def __init__(self, ground, *schedules):
        self.plans = Plans()
        self.roster = Roster(ground.store, self.plans, schedules)

    async def fires(self, name="nightly"):
        await self.roster.beat()
        return name in self.plans


async def nobody_was_heard(ground):
    """Let the last beat of all daemons lie 40 s ago."""
    if ground.pool is None:
        key = "jobsd:{main}::declared"
        for fingerprint, seen in await ground.redis.zrange(key, 0, -1, withscores=True):
            await ground.redis.zadd(key, {fingerprint: seen - 40_000})
    else:
        await ground.pool.execute("UPDATE jobsd.schedule_declarations SET seen_at = seen_at - interval '40 s'")


# --- more than is carried at once ------------------------------------------------------------------------------


@on_postgres
@pytest.mark.parametrize("state", ["fired", "passed"])
async def test_more_lines_than_are_carried_at_once_are_carried_one_lot_after_the_other(ground, monkeypatch, state):
    monkeypatch.setattr("jobsd.store.spare_schedules.MOST_LINES", 2)
    schedule = a_schedule(EACH_SECOND, seconds=True, max_runs=5)
    await ground.store.declare([schedule], fingerprint_of([schedule]), at_start=True)
    await ground.set_back(10_000)
    began, spares = (await ground.entry()).state, SpareSchedules(ground.redis)
    first = began.cursor // 1000 * 1000 + 1000
    due = [first + 1000 * number for number in range(5)]
    for version, one in enumerate(due):
        change = Change("nightly", version, began._replace(cursor=one, runs=5))
        if state == "passed":
            change = change._replace(passed=[Passed(one, one, 1, "overlap")])
        else:
            change = change._replace(fired=[Fired(one, job_of(schedule, one, one, outbox=True))])
        assert await spares.apply([change]) == {"nightly"}
    lots = 0
    while (await Bridge(spares).carry(ground.store))[0]:
        lots += 1
        assert lots <= len(due)
    assert await ground.redis.exists("jobsd:{main}::spared:nightly", "jobsd:{main}::spare") == 0
    past = await ground.store.history("nightly", 100)
    assert sorted(line.due for line in past if line.state == state) == due
    assert (await ground.entry()).state.cursor == due[-1]


# --- whose declaration counts ------------------------------------------------------------------------------------


async def test_the_daemon_that_came_later_takes_back_what_the_earlier_one_declared_after_an_outage(ground, monkeypatch):
    monkeypatch.setattr(roster, "_SETTLED_S", 0.0)
    earlier = Daemon(ground, a_schedule("@every 1h", description="earlier"))
    later = Daemon(ground, a_schedule("@every 2h", description="later"))
    assert await earlier.fires()
    assert await later.fires()
    assert not await earlier.fires()
    await nobody_was_heard(ground)
    assert await earlier.fires()
    assert (await ground.entry()).schedule.description == "earlier"
    assert await later.fires()
    assert (await ground.entry()).schedule.description == "later"
    assert not await earlier.fires()
    assert (await ground.entry()).schedule.description == "later"


async def test_after_an_outage_the_later_daemon_has_time_to_say_that_it_is_alive(ground):
    earlier = Daemon(ground, a_schedule("@every 1h", description="earlier"))
    later = Daemon(ground, a_schedule("@every 2h", description="later"))
    assert await earlier.fires()
    assert await later.fires()
    assert not await earlier.fires()
    anchor = (await ground.entry()).state.anchor
    earlier.roster.unheard()
    later.roster.unheard()
    await nobody_was_heard(ground)
    assert not await earlier.fires()
    assert not await earlier.fires()
    assert await later.fires()
    assert not await earlier.fires()
    entry = await ground.entry()
    assert (entry.schedule.description, entry.state.anchor) == ("later", anchor)


async def test_the_later_daemon_is_right_also_where_all_is_lost_that_was_known_of_both(ground, monkeypatch):
    clock = {"s": 1000.0}
    monkeypatch.setattr(roster, "monotonic", lambda: clock["s"])
    earlier = Daemon(ground, a_schedule("@every 1h", description="earlier"))
    later = Daemon(ground, a_schedule("@every 2h", description="later"))
    assert await earlier.fires()
    clock["s"] += 10
    assert await later.fires()
    if ground.pool is None:
        await ground.redis.flushdb()
    else:
        await ground.pool.execute("TRUNCATE jobsd.schedules, jobsd.schedule_declarations")
    assert await later.fires()
    for _ in range(2):
        assert not await earlier.fires()
        assert await later.fires()
    assert (await ground.entry()).schedule.description == "later"


@on_postgres
async def test_a_daemon_that_hears_postgres_again_takes_nothing_over_at_once(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._NEWS_EVERY_S", 0.0)
    monkeypatch.setattr(roster, "_SETTLED_S", 0.0)
    ours, theirs = a_schedule("@yearly", description="ours"), a_schedule("@yearly", description="theirs")
    async with ground.scheduler(ours) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        monkeypatch.setattr(roster, "_SETTLED_S", 60.0)
        await ground.store.declare([theirs], "theirs", at_start=True)
        scheduler.heard()
        await until(lambda: "nightly" not in scheduler.plans)
        ground.judge.away = True
        scheduler.heard()
        await until(lambda: scheduler.failures)
        await ground.pool.execute(
            "UPDATE jobsd.schedule_declarations SET seen_at = 'epoch' WHERE fingerprint = 'theirs'"
        )
        ground.judge.away = False
        await beats(ground, scheduler)
        assert (await ground.entry()).schedule.description == "theirs"


async def beats(ground, scheduler):
    """Wait until it has beaten and looked at all entries twice."""
    look, looks = ground.store.look, []

    async def counted(names=None):
        looked = await look(names)
        looks.append(names)
        return looked

    ground.store.look = counted
    for number in (1, 2):
        scheduler.heard()
        await until(lambda number=number: looks.count(None) >= number)
    del ground.store.look


# --- what had ended and goes on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["max_runs", "end_ms"])
async def test_what_had_ended_and_is_extended_makes_nothing_up_for_the_time_between(ground, how):
    ended = {"max_runs": 1} if how == "max_runs" else {"end_ms": (await ground.store.look([])).now - HOUR_MS}
    longer = {"max_runs": 100} if how == "max_runs" else {"end_ms": None}
    before = a_schedule("@every 10s", missed="all", overlap="allow", **ended)
    after = replace(before, **longer)
    await ground.store.declare([before], "f", at_start=True)
    await ground.set_back(2 * HOUR_MS)
    entry = await ground.entry()
    once = entry.state._replace(runs=1)
    assert await ground.store.apply([Change("nightly", entry.version, once)])
    anchor, extended_at = once.anchor, (await ground.store.look([])).now
    async with ground.scheduler(after, a_schedule(EACH_SECOND, name="other", seconds=True, overlap="allow")) as daemon:
        await until(lambda: "nightly" in daemon.plans)
        await until(lambda: ground.fired("other"))
    entry = await ground.entry()
    assert entry.state.anchor == anchor
    assert entry.state.cursor >= extended_at
    assert [due for due in await ground.fired() if due <= extended_at] == []
    assert await ground.passed() == []


@on_postgres
@pytest.mark.parametrize("how", ["max_runs", "end_ms"])
async def test_a_run_time_entry_that_had_ended_and_is_extended_makes_nothing_up(ground, how):
    now = (await ground.store.look([])).now
    ended = {"max_runs": 1} if how == "max_runs" else {"end_ms": now - HOUR_MS}
    longer = {"max_runs": 100} if how == "max_runs" else {"end_ms": now + HOUR_MS}
    before = a_schedule("@every 10s", missed="all", overlap="allow", source="runtime", **ended)
    assert await ground.store.put(before, version=None)
    await ground.set_back(2 * HOUR_MS)
    entry = await ground.entry()
    assert await ground.store.apply([Change("nightly", entry.version, entry.state._replace(runs=1))])
    entry = await ground.entry()
    assert await ground.store.put(replace(before, **longer), version=entry.version)
    after = await ground.entry()
    decision = decide(
        after.schedule, after.schedule.expression(after.state.anchor), after.state, after.state.cursor, live=False
    )
    assert (decision.fires, decision.passed) == ((), ())
    assert (after.state.anchor, after.state.runs) == (entry.state.anchor, 1)
    assert after.state.cursor >= now


# --- entries and daemons that are not what they were -----------------------------------------------------------------


@on_postgres
@pytest.mark.parametrize("changes", [0, 1, 2, 3])
async def test_what_was_decided_on_a_removed_entry_is_not_written_to_a_new_one_of_its_name(ground, changes):
    old = a_schedule("@every 1h", task="old:task", source="runtime")
    assert await ground.store.put(old, version=None)
    for _ in range(changes):
        entry = await ground.entry()
        assert await ground.store.apply([Change("nightly", entry.version, entry.state)])
    entry = await ground.entry()
    assert await ground.store.remove("nightly")
    assert await ground.store.put(replace(old, task="new:task"), version=None)
    job = job_of(old, entry.state.cursor, entry.state.cursor, outbox=True)
    change = Change("nightly", entry.version, entry.state._replace(runs=7), [Fired(entry.state.cursor, job)])
    assert await ground.store.apply([change]) == set()
    assert (await ground.entry()).state.runs == 0
    assert await ground.pool.fetch("SELECT FROM jobsd.outbox") == []


@pytest.mark.parametrize("ground", ["redis"], indirect=True)
async def test_what_was_decided_on_an_entry_that_redis_lost_is_not_written_to_a_new_one(ground):
    await ground.store.declare([a_schedule("@every 1h", task="old:task")], "f", at_start=True)
    entry = await ground.entry()
    await nobody_was_heard(ground)
    assert await ground.store.remove("nightly")
    await ground.store.declare([a_schedule("@every 1h", task="new:task")], "f", at_start=True)
    assert await ground.store.apply([Change("nightly", entry.version, entry.state._replace(runs=7))]) == set()
    assert (await ground.entry()).state.runs == 0


async def slept_through_an_outage(ground, scheduler):
    """Let Postgres be away and one plan be old. Return the jobs by then, and a call for those of the other since."""
    ground.judge.away = True
    now = (await ground.redis.time())[0] * 1000
    state = scheduler.plans["nightly"].state._replace(cursor=now - 600_000)
    scheduler.plans.note("nightly", state, now - 599_000)
    before = set(await ground.jobs())

    async def others_go_on():
        return {job for job in await ground.jobs() if ":other:" in job} - before

    return before, others_go_on


@on_postgres
async def test_a_daemon_that_has_slept_fires_nothing_old_while_postgres_is_away(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 100)
    slept = a_schedule(EACH_SECOND, seconds=True, overlap="allow", missed="all")
    async with ground.scheduler(slept, replace(slept, name="other")) as scheduler:
        await until(lambda: "other" in scheduler.plans)
        before, others_go_on = await slept_through_an_outage(ground, scheduler)
        await until(others_go_on)
        assert [job for job in set(await ground.jobs()) - before if ":nightly:" in job] == []
        ground.judge.away = False


@on_postgres
async def test_what_is_to_start_only_now_is_fired_while_postgres_is_away(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 100)
    now = (await ground.store.look([])).now
    schedule = a_schedule(EACH_SECOND, seconds=True, overlap="allow", start_ms=now + 1000)
    await ground.store.declare([schedule], fingerprint_of([schedule]), at_start=True)
    await ground.set_back(HOUR_MS)
    async with ground.scheduler(schedule) as scheduler:
        await until(lambda: "nightly" in scheduler.plans)
        ground.judge.away = True
        await until(ground.jobs, 2.5)
        ground.judge.away = False


@on_postgres
async def test_those_that_wait_for_postgres_keep_no_other_from_its_turn(ground, monkeypatch):
    monkeypatch.setattr("jobsd.scheduler.scheduler._PATIENCE_MS", 100)
    monkeypatch.setattr("jobsd.scheduler.scheduler._MOST", 1)
    schedule = a_schedule(EACH_SECOND, seconds=True, overlap="allow")
    async with ground.scheduler(schedule, replace(schedule, name="other")) as scheduler:
        await until(lambda: "other" in scheduler.plans)
        _, others_go_on = await slept_through_an_outage(ground, scheduler)
        await until(others_go_on, 2.5)
        ground.judge.away = False


async def test_a_daemon_that_is_stopping_fires_nothing_more(ground, redis_url, ledger_url):
    stopping, schedule = asyncio.Event(), a_schedule(EACH_SECOND, seconds=True, overlap="allow")
    database_url = None if ground.pool is None else ledger_url
    async with (
        scheduling(redis_url, database_url, [schedule], stopping),
        ground.scheduler(replace(schedule, name="other")),
    ):
        await until(ground.fired)
        stopping.set()
        stopped_at = (await ground.store.look([])).now

        async def others_go_on():
            return [due for due in await ground.fired("other") if due > stopped_at + 500]

        await until(others_go_on)
        assert [due for due in await ground.fired() if due > stopped_at] == []
